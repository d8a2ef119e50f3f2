"""Reading weights: tensors are taken out, nothing is executed, and what cannot be read is said in one line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmark.errors import EnvironmentProblem
from benchmark.weights import load_state

PAGE = b"\n<!DOCTYPE html><html><body>Please sign in</body></html>"


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))])
@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".pkl"])
def test_a_pickle_is_not_executed(tmp_path, save, suffix):
    path = tmp_path / f"attack{suffix}"
    save({"weight": Attack(tmp_path / "made")}, path)
    with pytest.raises(EnvironmentProblem, match="a pickle that may run code, which is never done") as caught:
        load_state(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()
    pickle.loads(pickle.dumps(Attack(tmp_path / "made")))
    assert (tmp_path / "made").exists()  # the attack was a real one


@pytest.mark.parametrize("nest", [None, "state_dict", "net_state_dict"])
def test_tensors_are_read_and_taken_out(tmp_path, nest):
    state = {"conv.weight": torch.arange(6.0).reshape(2, 3)}
    torch.save(state if nest is None else {"epoch": 3, nest: state}, tmp_path / "net.pth")
    read = load_state(tmp_path / "net.pth")
    assert list(read) == ["conv.weight"]
    assert torch.equal(read["conv.weight"], state["conv.weight"])


def test_safetensors_are_read(tmp_path):
    save_file({"weight": torch.ones(3)}, tmp_path / "net.safetensors")
    assert torch.equal(load_state(tmp_path / "net.safetensors")["weight"], torch.ones(3))


def write_truncated(path):
    if path.suffix == ".safetensors":
        save_file({"weight": torch.ones(1000)}, path)
    else:
        torch.save({"weight": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (write_truncated, "truncated or damaged"),
        (lambda path: path.write_bytes(PAGE), "it is an HTML page"),
        (lambda path: path.write_bytes(b""), "truncated or damaged"),
        (lambda path: path.write_bytes(b"some words"), "truncated or damaged"),
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "Is a directory"),
    ],
)
def test_an_unreadable_file_is_one_line(tmp_path, name, write, kind):
    write(tmp_path / name)
    with pytest.raises(EnvironmentProblem, match=kind) as caught:
        load_state(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "anonbench weights verify" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ([torch.ones(2)], "list"),
        ({}, "dict"),
        ({"weight": 3}, "int under 'weight'"),
        ({1: torch.ones(2)}, "under 1"),
        ({"state_dict": {"name": "net"}}, "str under 'name'"),
    ],
)
def test_something_else_than_tensors_by_name_is_refused(tmp_path, content, kind):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(EnvironmentProblem, match=f"it holds .*{kind}"):
        load_state(tmp_path / "net.pth")
