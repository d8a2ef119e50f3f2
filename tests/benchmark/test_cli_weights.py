"""``anonbench weights``: what is known, what is here, getting it and checking it again."""

from __future__ import annotations

import csv
import functools
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from benchmark.weights import REGISTRY, WeightEntry

Invoke = Callable[..., Result]
CONTENT = b"a very small model"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of its own for every test."""
    return tmp_path / "cache"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serves a folder over HTTP; gives the folder and its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
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
def registry(served: tuple[Path, str], given: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, WeightEntry]:
    """Three small files instead of the real ones: two to fetch, one without a hash."""
    folder, address = served
    entries = {}
    for name in ("alpha", "beta", "unhashed"):
        content = CONTENT + name.encode()
        (folder / f"{name}.onnx").write_bytes(content)
        sha256 = "" if name == "unhashed" else hashlib.sha256(content).hexdigest()
        size = len(content) if sha256 else 0
        entries[name] = WeightEntry(name, f"{name}.onnx", f"{address}/{name}.onnx", sha256, size, "MIT", "tests")
    for name in list(REGISTRY):
        monkeypatch.delitem(REGISTRY, name)
    for name, entry in entries.items():
        monkeypatch.setitem(REGISTRY, name, entry)
    return entries


def statuses(invoke: Invoke) -> dict[str, str]:
    result = invoke("weights", "list", "--format", "json")
    assert result.exit_code == 0, result.output
    return {row["name"]: row["status"] for row in json.loads(result.stdout)}


def error_of(result: Result, code: int) -> str:
    """The single line with which a command ended."""
    assert result.exit_code == code, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.output
    return errors[0]


def test_list_says_where_every_file_is(invoke: Invoke, registry: dict[str, WeightEntry], given: Path) -> None:
    assert statuses(invoke) == {"alpha": "absent", "beta": "absent", "unhashed": "absent"}
    assert invoke("weights", "fetch", "alpha").exit_code == 0
    (given / "beta.onnx").write_bytes(b"broken off")
    (given / "unhashed.onnx").write_bytes(b"whatever")
    found = statuses(invoke)
    assert found["alpha"] == "in the cache"
    assert found["beta"].startswith(f"damaged: truncated, 10 of {registry['beta'].size} bytes")
    assert found["unhashed"] == "in ANONBENCH_WEIGHTS"


def test_list_as_table_and_csv(invoke: Invoke, registry: dict[str, WeightEntry]) -> None:
    rows = list(csv.DictReader(io.StringIO(invoke("weights", "list", "--format", "csv").stdout)))
    assert rows[0] == {
        "name": "alpha",
        "file": "alpha.onnx",
        "size": "23 bytes",
        "licence": "MIT",
        "purpose": "tests",
        "status": "absent",
    }
    assert rows[2]["size"] == "unknown"
    assert "alpha.onnx" in invoke("weights", "list").stdout


def test_the_real_registry_can_be_listed(invoke: Invoke, given: Path) -> None:
    assert set(statuses(invoke).values()) == {"absent"}


def test_fetch_several_prints_their_paths(invoke: Invoke, registry: dict[str, WeightEntry], cache: Path) -> None:
    result = invoke("weights", "fetch", "alpha", "beta")
    assert result.exit_code == 0, result.output
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert [path.read_bytes() for path in paths] == [CONTENT + b"alpha", CONTENT + b"beta"]
    assert all(cache in path.parents for path in paths)
    assert invoke("weights", "fetch", "alpha").stdout == f"{paths[0]}\n"


def test_fetch_without_a_hash_is_refused(invoke: Invoke, registry: dict[str, WeightEntry]) -> None:
    error = error_of(invoke("weights", "fetch", "unhashed"), 4)
    assert registry["unhashed"].url in error
    assert "ANONBENCH_WEIGHTS" in error


def test_fetch_of_a_page_is_refused(invoke: Invoke, registry: dict[str, WeightEntry], served: tuple[Path, str]) -> None:
    (served[0] / "alpha.onnx").write_bytes(b"<html><body>Too many downloads today</body></html>")
    assert "an HTML page" in error_of(invoke("weights", "fetch", "alpha"), 4)


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_name_is_said_before_anything_happens(
    invoke: Invoke, registry: dict[str, WeightEntry], cache: Path, command: str
) -> None:
    assert "Did you mean 'alpha'?" in error_of(invoke("weights", command, "beta", "alphaa"), 2)
    assert not cache.exists()


def test_fetch_needs_a_name(invoke: Invoke) -> None:
    assert invoke("weights", "fetch").exit_code == 2


def test_verify_with_nothing_there(invoke: Invoke, registry: dict[str, WeightEntry]) -> None:
    result = invoke("weights", "verify")
    assert result.exit_code == 0
    assert result.stdout.startswith("No weights are on this machine")
    assert invoke("weights", "verify", "alpha").stdout == "alpha: absent\n"


def test_verify_reads_every_byte_again(
    invoke: Invoke, registry: dict[str, WeightEntry], cache: Path, given: Path
) -> None:
    path = Path(invoke("weights", "fetch", "alpha").stdout.strip())
    (given / "unhashed.onnx").write_bytes(b"whatever")
    result = invoke("weights", "verify")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"alpha: ok: {path}"
    assert lines[1].startswith("unhashed: cannot be checked, no hash is known: ")
    assert lines[1].endswith(hashlib.sha256(b"whatever").hexdigest())
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a failing disk does: nothing but bytes change
    result = invoke("weights", "verify")
    assert f"alpha: damaged: {path}: expected sha256" in result.stdout
    assert "1 of 2 weight files damaged" in error_of(result, 4)
    assert invoke("weights", "verify", "unhashed").exit_code == 0


def test_verify_looks_at_both_places(invoke: Invoke, registry: dict[str, WeightEntry], given: Path) -> None:
    invoke("weights", "fetch", "alpha")
    (given / "alpha.onnx").write_bytes(b"broken off")
    result = invoke("weights", "verify", "alpha")
    assert [line.split(":")[1] for line in result.stdout.splitlines()[:2]] == [" damaged", " ok"]
    assert result.exit_code == 4


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from benchmark.cli import cli\n"
        "try: cli(['weights', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'pooch', 'pandas'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
