"""Finding and fetching weights, with real files, folders and a real server on this machine."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import shutil
import threading
from pathlib import Path

import pytest

from benchmark import weights
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.weights import REGISTRY, WeightEntry, WeightsMissing, fetch, locate

CONTENT = b"a very small model"
REAL = Path(__file__).parents[2].parent / "shared" / "weights" / REGISTRY["yunet"].file


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
        assert 8 <= len(entry.sha256) <= 64
        assert int(entry.sha256, 16) > 0
        assert entry.url.startswith("https://")
        assert Path(entry.file).suffix in {".onnx", ".safetensors", ".pth", ".pt"}
        assert entry.size > 0


@pytest.mark.skipif(not REAL.is_file(), reason="no YuNet weights beside the repository")
def test_real_yunet_is_the_registered_file(cache, given):
    shutil.copy(REAL, given)
    assert locate("yunet") == given / REAL.name
    assert REAL.stat().st_size == REGISTRY["yunet"].size


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
    with pytest.raises(WeightsMissing, match=r"put tiny\.onnx \(http.*\) into the folder named by ANONBENCH_WEIGHTS"):
        locate("tiny")
    assert not cache.exists()


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_empty_or_absent_folder_counts_as_missing(cache, tiny, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(tmp_path / folder) if folder else "")
    with pytest.raises(WeightsMissing):
        locate("tiny")


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
