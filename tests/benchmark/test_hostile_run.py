"""Hostile entrants of every kind in one run: each gets a row that says what it did, and the others go on."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from benchmark.records import Record, read_record

Invoke = Callable[..., Result]
PEOPLE = ("ada-zq7label", "bob-zq7label", "cyd-zq7label")

COMMANDS = {
    "endless": ("while True: pass", "longer than its 1.5 seconds"),
    "forks": ("import os\nwhile True: os.fork()", "processes"),
    "writes-much": (
        "import sys\nwith open(sys.argv[2] + '/x.png', 'wb') as file:\n    while True: file.write(bytes(10**6))",
        "wrote more than its 20 MB|exit code",
    ),
    "prints-much": ("print('x' * 10**6)\n" * 1000, "released no image|longer than"),
    "kills": (
        "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(-1, signal.SIGKILL)",
        "exit code|no image",
    ),
    "pickles": (
        "import os, pickle, sys\n"
        "class Bomb:\n    def __reduce__(self): return (open, (os.environ['MARK'], 'w'))\n"
        "for name in os.listdir(sys.argv[1]):\n    pickle.dump(Bomb(), open(sys.argv[2] + '/' + name, 'wb'))",
        "released no image",
    ),
    "script": ("import sys\nsys.exit('<script>alert(1)</script>\\u202e')", "exit code 1"),
    "others": (
        "import os, sys\nfor name in os.listdir(sys.argv[1]):\n"
        "    open(sys.argv[2] + '/other-' + name, 'wb').write(open(sys.argv[1] + '/' + name, 'rb').read())",
        "released no image",
    ),
}
"""Program of each entrant, and what its failure says."""

SPY = """
import os, sys
for place, folders, files in os.walk('/'):
    folders[:] = [name for name in folders if name not in ('proc', 'sys', 'usr')]
    for name in [*folders, *files]:
        if "zq7label" in name:
            print('FOUND', name)
for name in os.listdir(sys.argv[1]):
    open(sys.argv[2] + '/' + name, 'wb').write(open(sys.argv[1] + '/' + name, 'rb').read())
try:
    open(sys.argv[3], 'w').write('outside')
except OSError:
    pass
"""

CLASSES = """
import torch
from benchmark.images import Released

class Nan:
    def anonymize(self, images, controller):
        return Released(torch.full(images.images.shape, float("nan")))

class Fewer:
    def anonymize(self, images, controller):
        return Released(images.images[1:])

class Labels:
    def anonymize(self, images, controller):
        return Released(images.images[images.identity.values])

class Quits:
    def anonymize(self, images, controller):
        raise SystemExit(0)
"""
SAYS = {"Nan": "uint8", "Fewer": "one released image per original", "Labels": "NoneType", "Quits": "SystemExit"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def photographs(root: Path) -> Path:
    for number, person in enumerate(PEOPLE):
        for photograph in range(4):
            pixels = np.random.default_rng(10 * number + photograph).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            (root / person).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / person / f"{photograph}.png")
    return root


def command(place: Path, name: str, program: str) -> str:
    folder = place / name
    folder.mkdir()
    (folder / "program.py").write_text(program)
    (folder / "entrant.toml").write_text(
        f'name = "{name}"\nkind = "process"\ncommand = ["{{python}}", "{{here}}/program.py", "{{input}}", "{{output}}", '
        f'"{place}/outside"]\n[env]\nMARK = "{place}/mark"\n'
        "[limits]\nseconds = 1.5\nmemory_mb = 500\nprocesses = 30\noutput_mb = 20\n"
    )
    return str(folder)


def archive(path: Path, members: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return str(path)


def described(name: str) -> bytes:
    return f'name = "{name}"\nkind = "precomputed"\n'.encode()


def archives(place: Path) -> dict[str, tuple[str, str]]:
    """Spec and failure of each archive, by the name of its row."""
    image = io.BytesIO()
    Image.new("RGB", (40, 40)).save(image, "PNG")
    listed = {"format": 1, "files": {"probe/0123456789abcdef.png": hashlib.sha256(image.getvalue()).hexdigest()}}
    entry = {"entrant.toml": described("foreign"), "manifest.json": json.dumps(listed).encode()}
    made = {
        "slip": ({**entry, "../outside": b"x"}, r"slip\.zip.*\.\./outside"),
        "bomb": ({**entry, "probe/0123456789abcdef.png": bytes(30_000_000)}, r"bomb\.zip"),
        "turned": ({**entry, "probe/\u202egnp.png": b"x"}, r"turned\.zip"),
        "altered": ({**entry, "probe/0123456789abcdef.png": b"other"}, "0123456789abcdef.png"),
        "foreign": ({**entry, "probe/0123456789abcdef.png": image.getvalue()}, "made for another suite"),
    }
    return {name: (archive(place / f"{name}.zip", members), said) for name, (members, said) in made.items()}


@pytest.fixture(scope="module")
def run(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, dict[str, Record]]:
    """One run of all of them; the last looks for labels and releases what it was given."""
    from click.testing import CliRunner

    from benchmark.cli import cli

    (place / "classes.py").write_text(CLASSES)
    specs = [command(place, name, program) for name, (program, _) in COMMANDS.items()]
    specs += [*(spec for spec, _ in archives(place).values()), *(f"{place}/classes.py:{name}" for name in SAYS)]
    words = [word for spec in [*specs, command(place, "spy", SPY)] for word in ("-e", spec)]
    data, out = photographs(place / "data"), place / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANONBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        typed = ["run", "folder", "--data", str(data), "--out", str(out), "--threads", "1", *words]
        result = CliRunner().invoke(cli, typed)
    found = [read_record(path) for path in out.glob("records/*/*/record.json")]
    return result, {record.entry.name: record for record in found}


def test_the_run_went_on_and_ended_with_the_code_of_failed_entrants(run: tuple[Result, dict[str, Record]]) -> None:
    result, records = run
    assert result.exit_code == 3, result.output
    assert records["spy"].status == "ok"
    assert len(records) == len(COMMANDS) + 5 + len(SAYS) + 1
    assert "Traceback (most recent call last):\n" not in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_a_hostile_command_has_a_row_with_its_reason(run: tuple[Result, dict[str, Record]], name: str) -> None:
    if name in ("forks", "kills") and shutil.which("bwrap") is None and shutil.which("unshare") is None:
        pytest.skip("there is neither bubblewrap nor unshare")
    expect_failure(run[1][name], COMMANDS[name][1])
    assert run[1][name].entry.kind == "process"


def expect_failure(record: Record, said: str) -> None:
    assert record.status == "failed"
    failure = record.coverage.failures[0]
    assert failure.kind == "entrant"
    assert re.search(said, failure.message), failure.message
    assert failure.message.isprintable()
    assert record.coverage.n_failed == record.coverage.n_expected > 0


@pytest.mark.parametrize("name", ["slip", "bomb", "turned", "altered", "foreign"])
def test_a_hostile_archive_has_a_row_with_its_reason(
    run: tuple[Result, dict[str, Record]], tmp_path: Path, name: str
) -> None:
    record = run[1][name if name == "foreign" else f"{name}-refused"]
    expect_failure(record, archives(tmp_path)[name][1])
    assert record.entry.kind == "precomputed"


@pytest.mark.parametrize("name", SAYS)
def test_a_class_that_breaks_the_protocol_has_a_row(run: tuple[Result, dict[str, Record]], name: str) -> None:
    expect_failure(run[1][f"classes.{name}"], SAYS[name])


def test_nobody_wrote_outside_or_executed_a_pickle(run: tuple[Result, dict[str, Record]], place: Path) -> None:
    assert not (place / "mark").exists()
    if run[1]["spy"].run.isolation.startswith("bubblewrap"):
        assert not (place / "outside").exists()


def test_the_spy_found_no_label(
    run: tuple[Result, dict[str, Record]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    record = run[1]["spy"]
    assert record.status == "ok"
    if not record.run.isolation.startswith("bubblewrap"):
        pytest.skip(f"files are not isolated here: {record.run.isolation}")
    logs = list(tmp_path_factory.getbasetemp().glob("*/logs/spy/*.txt"))
    assert logs
    assert not any("FOUND" in path.read_text() for path in logs)


def test_the_page_shows_what_they_said_as_text(run: tuple[Result, dict[str, Record]], place: Path) -> None:
    page = (place / "out" / "board" / "index.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "\u202e" not in page
