"""Finding and fetching weights, with real files, folders and a real server on this machine."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import os
import pickle
import shutil
import threading
from pathlib import Path

import pytest
import torch

from benchmark import weights
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.weights import (
    REGISTRY,
    WeightEntry,
    WeightsMissing,
    fetch,
    found_hash,
    load_state,
    locate,
    missing,
)

CONTENT = b"a very small model"
WEIGHTS = Path(__file__).parents[2].parent / "shared" / "weights"
PAGE = b"\n<!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.fixture
def given(tmp_path, monkeypatch):
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("ANONBENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(tmp_path):
    """Serves a folder over HTTP; gives the folder and its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def tiny(server, monkeypatch):
    folder, address = server
    (folder / "tiny.onnx").write_bytes(CONTENT)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    entry = WeightEntry("tiny", "tiny.onnx", f"{address}/tiny.onnx", sha256, len(CONTENT), "MIT", "tests")
    monkeypatch.setitem(REGISTRY, "tiny", entry)
    return entry


def test_registry_is_well_formed():
    for name, entry in REGISTRY.items():
        assert entry.name == name
        assert entry.sha256 == "" or 8 <= len(entry.sha256) <= 64
        assert entry.url == "" or entry.url.startswith("https://")
        assert Path(entry.file).suffix in {".onnx", ".safetensors", ".pth", ".pt", ".ckpt", ".pkl"}
        assert entry.licence
        assert entry.purpose
        if entry.url.startswith("https://download.pytorch.org/"):
            assert entry.sha256.startswith(Path(entry.file).stem.rsplit("-", 1)[1])
    files = [entry.file for entry in REGISTRY.values()]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize("change", [{"sha256": "123"}, {"sha256": "not a hash"}, {"size": -1}, {"file": "../up.pth"}])
def test_an_entry_that_would_weaken_the_check_is_refused(change):
    with pytest.raises(ValueError, match="yunet: "):
        dataclasses.replace(REGISTRY["yunet"], **change)


@pytest.mark.parametrize("name", ["yunet", "mobilefacenet", "squeezenet1_1-fp16rounded"])
def test_real_files_are_the_registered_ones(cache, given, name):
    real = WEIGHTS / REGISTRY[name].file
    if not real.is_file():
        pytest.skip(f"no {name} weights beside the repository")
    shutil.copy(real, given)
    assert locate(name) == given / real.name
    assert real.stat().st_size == REGISTRY[name].size
    if real.suffix != ".onnx":
        assert all(isinstance(value, torch.Tensor) for value in load_state(real).values())


def test_given_folder_comes_first(cache, tiny, given):
    fetch("tiny")
    (given / "tiny.onnx").write_bytes(CONTENT)
    assert locate("tiny") == given / "tiny.onnx"


def test_wrong_file_in_the_given_folder_names_both_hashes(cache, tiny, given):
    fetch("tiny")
    (given / "tiny.onnx").write_bytes(b"other")
    with pytest.raises(EnvironmentProblem) as caught:
        locate("tiny")
    for part in (str(given / "tiny.onnx"), tiny.sha256, hashlib.sha256(b"other").hexdigest()):
        assert part in str(caught.value)
    assert not isinstance(caught.value, WeightsMissing)


def test_missing_says_what_to_do_and_does_not_download(cache, tiny):
    with pytest.raises(WeightsMissing, match=r"anonbench weights fetch tiny.*http.*ANONBENCH_WEIGHTS$") as caught:
        locate("tiny")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert not cache.exists()


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_empty_or_absent_folder_counts_as_missing(cache, tiny, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(tmp_path / folder) if folder else "")
    with pytest.raises(WeightsMissing):
        locate("tiny")


def test_a_variable_that_names_no_folder_is_said(cache, tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(CONTENT)
    for folder in ("nowhere", "file", "~nobody-of-this-name/weights"):
        named = folder if folder.startswith("~") else str(tmp_path / folder)
        monkeypatch.setenv("ANONBENCH_WEIGHTS", named)
        said = f"tiny weights unavailable (ANONBENCH_WEIGHTS is set to {named}, which is no folder)"
        with pytest.raises(WeightsMissing) as caught:
            locate("tiny")
        assert caught.value.reason == missing(["tiny"]).reason == said


def test_fetched_once_then_found(cache, tiny, server):
    path = fetch("tiny")
    assert path.read_bytes() == CONTENT
    assert cache in path.parents
    (server[0] / "tiny.onnx").unlink()
    assert fetch("tiny") == locate("tiny") == path


def test_damaged_cache_counts_as_missing_and_is_mended(cache, tiny):
    path = fetch("tiny")
    path.write_bytes(b"damaged")
    with pytest.raises(WeightsMissing):
        locate("tiny")
    assert fetch("tiny").read_bytes() == CONTENT


def test_download_with_another_hash_is_refused(cache, tiny, server):
    (server[0] / "tiny.onnx").write_bytes(b"other")
    with pytest.raises(EnvironmentProblem, match="cannot fetch tiny from http"):
        fetch("tiny")
    with pytest.raises(WeightsMissing):
        locate("tiny")


def test_failed_download_is_an_environment_problem(cache, tiny, monkeypatch):
    monkeypatch.setitem(REGISTRY, "tiny", dataclasses.replace(tiny, url=f"{tiny.url}.absent"))
    with pytest.raises(EnvironmentProblem, match="cannot fetch tiny"):
        fetch("tiny")


def test_unknown_name_is_a_usage_error():
    with pytest.raises(UsageError, match="Did you mean 'yunet'"):
        locate("yunett")


def test_cache_is_the_users_unless_named(monkeypatch, tmp_path):
    monkeypatch.delenv("ANONBENCH_CACHE", raising=False)
    assert weights.cache_root().name == "anonbench"
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    assert weights.cache_root() == tmp_path


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (CONTENT[:-1], f"truncated, 17 of {len(CONTENT)} bytes"),
        (PAGE, "an HTML page"),
        (b"", "an empty file"),
        (CONTENT[::-1], "registry: expected sha256"),
    ],
)
def test_a_wrong_file_is_called_what_it_is(cache, tiny, given, content, kind):
    (given / "tiny.onnx").write_bytes(content)
    with pytest.raises(EnvironmentProblem, match=kind) as caught:
        locate("tiny")
    assert str(caught.value).endswith("remove it, then type: anonbench weights fetch tiny")
    assert f"expected sha256 {tiny.sha256}" in str(caught.value)


def test_found_by_content_under_another_name(cache, tiny, given):
    (given / "of-the-same-size").write_bytes(CONTENT[::-1])
    (given / "renamed.onnx").write_bytes(CONTENT)
    assert locate("tiny") == given / "renamed.onnx"
    assert found_hash("tiny") == tiny.sha256


def test_found_by_content_with_the_publishers_digits_only(cache, tiny, given, monkeypatch):
    monkeypatch.setitem(REGISTRY, "tiny", dataclasses.replace(tiny, sha256=tiny.sha256[:8]))
    (given / "renamed.onnx").write_bytes(CONTENT)
    assert locate("tiny") == given / "renamed.onnx"
    assert found_hash("tiny") == tiny.sha256


@pytest.mark.parametrize("unknown", [{"sha256": ""}, {"size": 0}])
def test_not_found_by_content_where_too_little_is_known(cache, tiny, given, monkeypatch, unknown):
    monkeypatch.setitem(REGISTRY, "tiny", dataclasses.replace(tiny, **unknown))
    (given / "renamed.onnx").write_bytes(CONTENT)
    with pytest.raises(WeightsMissing):
        locate("tiny")


def test_a_file_is_hashed_once_until_it_changes(cache, tiny, given, monkeypatch):
    from benchmark.weights import content

    hashed = []
    real = content.sha256_file
    monkeypatch.setattr(content, "sha256_file", lambda path: hashed.append(path) or real(path))
    path = given / "tiny.onnx"
    path.write_bytes(CONTENT)
    locate("tiny"), locate("tiny"), found_hash("tiny")
    assert hashed == [path]
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(1, 1))
    with pytest.raises(EnvironmentProblem, match="expected sha256"):
        locate("tiny")
    assert hashed == [path, path]


def test_without_a_hash_it_is_never_downloaded(cache, tiny, given, monkeypatch):
    monkeypatch.setitem(REGISTRY, "tiny", dataclasses.replace(tiny, sha256="", size=0))
    with pytest.raises(EnvironmentProblem, match=r"never downloaded.*tiny\.onnx \(http.*by hand.*ANONBENCH_WEIGHTS"):
        fetch("tiny")
    assert not cache.exists()
    (given / "tiny.onnx").write_bytes(b"whatever they gave us")
    assert fetch("tiny") == locate("tiny") == given / "tiny.onnx"
    assert found_hash("tiny") == hashlib.sha256(b"whatever they gave us").hexdigest()
    (given / "tiny.onnx").write_bytes(PAGE)
    with pytest.raises(EnvironmentProblem, match=r"an HTML page.*put tiny\.onnx there again"):
        locate("tiny")


@pytest.mark.parametrize(("content", "kind"), [(PAGE, "an HTML page"), (CONTENT[:4], "truncated, 4 of 18 bytes")])
def test_a_download_of_something_else_says_what_came(cache, tiny, server, content, kind):
    (server[0] / "tiny.onnx").write_bytes(content)
    with pytest.raises(EnvironmentProblem, match=f"cannot fetch tiny from http.*{kind}.*ANONBENCH_WEIGHTS"):
        fetch("tiny")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_progress_counts_every_byte_once(cache, server, monkeypatch):
    import contextlib

    content = bytes(3 << 20) + b"and a bit"
    (server[0] / "large.pth").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    entry = WeightEntry("large", "large.pth", f"{server[1]}/large.pth", sha256, 0, "MIT", "tests")
    monkeypatch.setitem(REGISTRY, "large", entry)
    told = []

    @contextlib.contextmanager
    def report(title, total):
        told.append((title, total))
        yield told.append

    fetch("large", report)
    assert told[0] == ("fetch large, bytes", len(content))
    assert sum(told[1:]) == len(content)
