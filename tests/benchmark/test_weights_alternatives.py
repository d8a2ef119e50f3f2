"""A metric that takes any one of several weight files, and what it says when there is none."""

from __future__ import annotations

import hashlib

import pytest

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.weights import REGISTRY, WeightEntry, first_located, missing


@pytest.fixture(autouse=True)
def given(tmp_path, monkeypatch):
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(folder))
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    return folder


def put(monkeypatch, name, content, **changes):
    """Registers a file of this content; nothing is written."""
    facts = {"url": f"https://example.org/{name}", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    entry = WeightEntry(name=name, file=f"{name}.pth", licence="MIT", purpose="tests", **{**facts, **changes})
    monkeypatch.setitem(REGISTRY, name, entry)
    return entry


def test_alternatives_take_the_first_that_is_there(given, monkeypatch):
    for name in ("big", "rounded"):
        put(monkeypatch, name, name.encode())
    absent = missing(["big", "rounded"])
    assert (absent.reason, absent.remedy) == ("big and rounded weights unavailable", "anonbench weights fetch big")
    (given / "rounded.pth").write_bytes(b"rounded")
    assert missing(["big", "rounded"]) is None
    sha256 = hashlib.sha256(b"rounded").hexdigest()
    assert first_located(["big", "rounded"]) == ("rounded", given / "rounded.pth", sha256)


def test_a_wrong_file_does_not_hide_a_right_alternative(given, monkeypatch):
    for name in ("big", "rounded"):
        put(monkeypatch, name, name.encode())
    (given / "big.pth").write_bytes(b"b")
    problem = missing(["big", "rounded"])
    assert "truncated, 1 of 3 bytes" in problem.reason
    assert "rounded weights unavailable" in problem.reason
    assert problem.remedy == "remove it, then type: anonbench weights fetch big"
    with pytest.raises(EnvironmentProblem, match="truncated"):
        first_located(["big", "rounded"])
    (given / "rounded.pth").write_bytes(b"rounded")
    assert missing(["big", "rounded"]) is None


def test_missing_names_the_first_that_can_be_fetched(monkeypatch):
    put(monkeypatch, "by-hand", b"1", url="")
    put(monkeypatch, "public", b"2")
    assert missing(["by-hand", "public"]).remedy == "anonbench weights fetch public"
    assert missing(["by-hand"]).remedy == (
        "put by-hand.pth (it has no public address) by hand into the folder named by ANONBENCH_WEIGHTS"
    )
    with pytest.raises(UsageError):
        missing(["no-such-thing"])
