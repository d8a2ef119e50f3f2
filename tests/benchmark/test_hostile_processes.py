"""Hostile commands, each as an entrant: contained, with one clear line, and nothing of them left."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch

from benchmark.entrants.described import parse_description
from benchmark.entrants.process import NOTE, ProcessEntrant
from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller
from benchmark.sandbox.isolation import isolation, probed

Attack = Callable[..., Released]
bubblewrap = pytest.mark.skipif(isolation().tier != "bubblewrap", reason="files are kept apart by bubblewrap alone")
HONEST = """
import glob, os, pickle, shutil, sys, time
given, wanted = sys.argv[1:3]
def honest():
    for name in os.listdir(given):
        shutil.copy(os.path.join(given, name), wanted)
keys = sorted(name.split(".")[0] for name in os.listdir(given))
"""


@pytest.fixture
def images() -> ImageSet:
    return ImageSet(torch.full((3, 3, 5, 5), 9, dtype=torch.uint8), tuple(f"{n:016x}" for n in range(3)))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "tool"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def attack(here: Path, tmp_path: Path, images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> Attack:
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratches"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratches").mkdir()

    def run(code: str, limits: str = "seconds = 8", *words: str | Path) -> Released:
        (here / "tool.py").write_text(HONEST + code)
        more = "".join(f', "{word}"' for word in words)
        text = f"""name = "tool"\nkind = "process"
command = ["{{python}}", "{{here}}/tool.py", "{{input}}", "{{output}}"{more}]\n[limits]\n{limits}"""
        entrant = ProcessEntrant(parse_description(text.encode(), "x"), here, {})  # type: ignore[arg-type]
        try:
            return entrant.anonymize(images, Controller())
        finally:
            assert not list((tmp_path / "scratches").iterdir())
            assert not [pid for pid in psutil.pids() if _runs(pid, here)]

    return run


def _runs(pid: int, here: Path) -> bool:
    try:
        return pid != os.getpid() and any(str(here) in word for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


@pytest.mark.parametrize(
    ("code", "limits", "said"),
    [
        ("while True: pass", "seconds = 0.5", r"longer than its 0\.5 seconds \(limits\.seconds\)"),
        ("kept = []\nwhile True: kept.append(b'x' * 10**6)", "memory_mb = 150", "more memory than its 150 MB"),
        ("open(wanted + '/x', 'wb').write(bytes(10**8))", "output_mb = 5", "exit code|more than its 5 MB"),
        ("for n in range(99):\n with open(f'{n}', 'wb') as f: f.write(bytes(10**6))", "output_mb = 5", "its 5 MB"),
    ],
)
def test_a_broken_limit_is_named(code: str, limits: str, said: str, attack: Attack) -> None:
    with pytest.raises(EntrantError, match=said):
        attack(code, limits)


@pytest.mark.skipif(not isolation().bounded, reason="a fork bomb is set off only where the kernel bounds it")
def test_a_fork_bomb(attack: Attack) -> None:
    with pytest.raises(EntrantError, match="more than its 8 processes"):
        attack("while True:\n try: os.fork()\n except OSError: pass", "processes = 8\nseconds = 3")


@pytest.mark.skipif(
    probed("namespaces") is None and probed("bubblewrap") is None, reason="processes are not kept apart"
)
def test_killing_its_parent_and_everybody(attack: Attack) -> None:
    code = """
for pid in [os.getppid(), int(sys.argv[3]), -1, *(int(name) for name in os.listdir("/proc") if name.isdigit())]:
    if pid != os.getpid():
        try: os.kill(pid, 9)
        except OSError: pass
honest()
"""
    with suppress(EntrantError):  # it may end itself with the first process of its own namespace
        assert not attack(code, "seconds = 8", str(os.getpid())).notes
    assert not attack("honest()").notes


@bubblewrap
def test_labels_cache_and_other_folders_are_out_of_sight(attack: Attack, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    for name in ("data/attributes.csv", "cache/labels", "home"):
        (tmp_path / name).write_text("secret")
    code = """
for name in sys.argv[3:]:
    if os.path.exists(name): sys.exit("sees " + name)
honest()
"""
    attack(code, "seconds = 8", *(tmp_path / name for name in ("data/attributes.csv", "cache/labels", "home")))


@bubblewrap
def test_private_folders_of_the_controller_are_covered(here: Path, images: ImageSet, tmp_path: Path) -> None:
    (here / "labels").mkdir()
    (here / "labels" / "who.csv").write_text("secret")
    (here / "tool.py").write_text(HONEST + "sys.exit(1) if os.listdir(sys.argv[3]) else honest()")
    words = ["{python}", "{here}/tool.py", "{input}", "{output}", "{here}/labels"]
    text = f'name = "tool"\nkind = "process"\ncommand = {words!r}'.encode()
    entrant = ProcessEntrant(parse_description(text, "x"), here, {})  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
        assert not entrant.anonymize(images, Controller(private=(here / "labels",))).notes


@bubblewrap
def test_writing_outside(attack: Attack, tmp_path: Path) -> None:
    code = """
for name in sys.argv[3:]:
    try:
        os.makedirs(os.path.dirname(name), exist_ok=True); open(name, "w").write("planted")
    except OSError: pass
honest()
"""
    places = [tmp_path / "planted", "/usr/planted", "/tmp/anonbench-planted", tmp_path / "data" / "planted"]
    attack(code, "seconds = 8", *places)
    assert not [place for place in places if Path(place).exists()]


def test_links_to_files_it_may_not_see(attack: Attack, tmp_path: Path) -> None:
    from benchmark.decode import encode_png

    (tmp_path / "secret.png").write_bytes(encode_png(torch.full((3, 5, 5), 77, dtype=torch.uint8)))
    code = """
honest()
for key in keys[:2]:
    os.remove(f"{wanted}/{key}.png"); os.symlink(sys.argv[3], f"{wanted}/{key}.png")
"""
    released = attack(code, "seconds = 8", tmp_path / "secret.png")
    assert released.notes == {NOTE: "2 of 3: 2 no ordinary file"}
    assert not (released.images == 77).any()


def test_the_output_folder_becomes_a_link(attack: Attack, tmp_path: Path) -> None:
    from benchmark.decode import encode_png

    for n in range(3):
        (tmp_path / f"{n:016x}.png").write_bytes(encode_png(torch.full((3, 5, 5), 77, dtype=torch.uint8)))
    with pytest.raises(EntrantError, match="3 absent"):
        attack("os.rmdir(wanted); os.symlink(sys.argv[3], wanted)", "seconds = 8", tmp_path)


def test_a_pickle_is_never_opened(attack: Attack, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    code = f"""
class Evil:
    def __reduce__(self): return (open, ({str(marker)!r}, "w"))
honest()
for suffix in ("pkl", "pt", "npy"): open(f"{{wanted}}/{{keys[0]}}.{{suffix}}", "wb").write(pickle.dumps(Evil()))
open(f"{{wanted}}/{{keys[0]}}.png", "wb").write(pickle.dumps(Evil()))
"""
    assert attack(code).notes == {NOTE: "1 of 3: 1 damaged"}
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["a\\nb.png", "\\u202egnp.png", "<script>alert(1)</script>.png", "..png", ".png", "-rf"]
)
def test_names_nobody_asked_for_are_ignored(name: str, attack: Attack) -> None:
    code = f"honest()\nfor n in ('{name.replace('/', '_')}', 'ffffffffffffffff.png'): open(wanted + '/' + n, 'w')"
    released = attack(code)
    assert released.notes == {}
    assert released.missing is None


def test_names_that_are_no_text(attack: Attack) -> None:
    assert attack("honest()\nopen(wanted.encode() + b'/\\xff\\xfe.png', 'w')").notes == {}


def test_too_few(attack: Attack) -> None:
    assert attack("honest()\nos.remove(f'{wanted}/{keys[1]}.png')").notes == {NOTE: "1 of 3: 1 absent"}


def test_errors_that_are_no_text(attack: Attack) -> None:
    with pytest.raises(EntrantError) as raised:
        attack("sys.stderr.buffer.write(b'\\xff<script>\\xe2\\x80\\xae' + bytes(range(14, 32)) * 999)\nsys.exit(3)")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500


def test_a_folder_it_closed_to_us(attack: Attack) -> None:
    code = "honest()\nos.makedirs('tmp/a/b')\nopen('tmp/a/b/c', 'w')\nos.chmod('tmp/a', 0)\nos.chmod('tmp', 0)"
    assert attack(code).notes == {}


def test_a_gigabyte_of_words(attack: Attack, tmp_path: Path) -> None:
    attack("honest()\nfor _ in range(16384): os.write(2, b'x' * 65536)")
    (log,) = (tmp_path / "cache" / "logs" / "tool").iterdir()
    assert log.stat().st_size < 70_000
    assert f"[{2**30 - 65536} bytes left out]" in log.read_text()


def test_the_interpreter_is_that_of_the_harness(attack: Attack) -> None:
    assert attack(f"assert sys.executable == {sys.executable!r}, sys.executable\nhonest()").notes == {}
