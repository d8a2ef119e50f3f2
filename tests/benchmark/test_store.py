"""The store under real trouble: a full disk, a killed writer, damaged files, two processes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import EnvironmentProblem
from benchmark.hashing import sha256_bytes
from benchmark.store import Store, cache_root, read_json, write_atomic, write_json

FULL_DISK = """
import resource, sys
from pathlib import Path
from benchmark.errors import AnonbenchError
from benchmark.store import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomic(Path(sys.argv[1]), b"x" * 100_000)
except AnonbenchError as error:
    sys.stdout.write(str(error))
    sys.exit(error.exit_code)
"""
ENDLESS_WRITER = """
import sys
from pathlib import Path
from benchmark.store import write_atomic
number = 0
while True:
    write_atomic(Path(sys.argv[1]) / f"{number % 5}", bytes([number % 251]) * 3_000_000)
    number += 1
"""
PUT_MANY = """
import sys
from pathlib import Path
from benchmark.store import Store
names = Store(Path(sys.argv[1])).put_all([bytes([number % 251]) * 2000 for number in range(400)])
sys.stdout.write("\\n".join(names))
"""


def python(code: str, *words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def object_file(store: Store, name: str) -> Path:
    return store.path("objects", name[:2], f"{name}.png")


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_write_that_fails_midway_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    process = python(FULL_DISK, tmp_path / "folder" / "file.bin")
    said, complained = process.communicate(timeout=60)
    assert process.returncode == EnvironmentProblem.exit_code, complained
    assert complained == ""
    assert said.startswith(f"cannot write {tmp_path / 'folder' / 'file.bin'}: File too large.")
    assert len(said.splitlines()) == 1
    assert "run the same command again" in said
    assert files_in(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_write_that_fails_midway_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file.bin"
    write_atomic(target, b"old")
    process = python(FULL_DISK, target)
    process.communicate(timeout=60)
    assert process.returncode == EnvironmentProblem.exit_code
    assert [path.read_bytes() for path in files_in(tmp_path)] == [b"old"]


def wait_for(found: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not found():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_killed_writer_leaves_only_whole_files_under_their_names(tmp_path: Path) -> None:
    process = python(ENDLESS_WRITER, tmp_path)
    wait_for(lambda: (tmp_path / "4").exists() or process.poll() is not None)
    process.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
    process.communicate(timeout=60)
    whole = [path for path in files_in(tmp_path) if not path.name.startswith(".part-")]
    assert len(whole) == 5
    for path in whole:
        data = path.read_bytes()
        assert len(data) == 3_000_000
        assert data.count(data[:1]) == len(data)


def test_write_into_a_file_as_folder_is_an_environment_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        write_atomic(tmp_path / "file" / "inside", b"x")


def test_written_file_can_be_read_by_others(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b" / "file", b"data")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"data"
    assert (tmp_path / "a" / "b" / "file").stat().st_mode & 0o444 == 0o444


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.binary(max_size=200), max_size=12))
def test_objects_come_back_in_order_under_their_hash(
    tmp_path_factory: pytest.TempPathFactory, items: list[bytes]
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    names = store.put_all(items)
    assert names == [sha256_bytes(item) for item in items]
    assert store.get_all(names) == items
    assert len(files_in(store.root)) == len(set(items))


def test_what_is_kept_is_not_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (name,) = store.put_all([b"picture"])
    os.utime(object_file(store, name), (1, 1))
    store.put_all([b"picture"])
    assert object_file(store, name).stat().st_mtime == 1


def test_missing_object_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = store.put_all([b"one", b"two"])
    object_file(store, names[1]).unlink()
    assert store.get_all(names) is None
    assert store.get_all(names[:1]) == [b"one"]
    assert store.get_all([]) == []


@pytest.mark.parametrize("damage", [b"", b"pictur", b"Picture"])
def test_damaged_object_is_dropped_and_can_be_put_again(tmp_path: Path, damage: bytes) -> None:
    store = Store(tmp_path)
    names = store.put_all([b"picture", b"whole"])
    object_file(store, names[0]).write_bytes(damage)
    assert store.get_all(names) is None
    assert not object_file(store, names[0]).exists()
    store.put_all([b"picture"])
    assert store.get_all(names) == [b"picture", b"whole"]


def test_putting_over_a_damaged_object_mends_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (name,) = store.put_all([b"picture"])
    object_file(store, name).write_bytes(b"pict")
    store.put_all([b"picture"])
    assert store.get_all([name]) == [b"picture"]


def test_two_processes_may_write_the_same_objects_at_once(tmp_path: Path) -> None:
    processes = [python(PUT_MANY, tmp_path) for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    first, second = (said.splitlines() for said, _ in ends)
    assert first == second
    assert Store(tmp_path).get_all(first) == [bytes([number % 251]) * 2000 for number in range(400)]
    assert len(files_in(tmp_path)) == 251


def test_json_comes_back_and_is_sorted(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None], "a": "ä"})
    assert read_json(tmp_path / "a.json") == {"a": "ä", "b": [1, 2.5, None]}
    assert (tmp_path / "a.json").read_text(encoding="utf-8").index('"a"') < 5


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe"])
def test_unreadable_json_counts_as_absent(tmp_path: Path, text: bytes) -> None:
    assert read_json(tmp_path / "absent.json") is None
    (tmp_path / "bad.json").write_bytes(text)
    assert read_json(tmp_path / "bad.json") is None


def test_remember_makes_once(tmp_path: Path) -> None:
    store, made = Store(tmp_path), []

    def make() -> bytes:
        made.append(threading.get_ident())
        return b"data"

    assert [store.remember(store.path("x", "y"), make) for _ in range(3)] == [b"data"] * 3
    assert len(made) == 1


def test_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.delenv("ANONBENCH_CACHE")
    assert cache_root().name == "anonbench"
