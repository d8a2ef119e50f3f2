"""Bad input on the command line: one line, the right exit code, nothing lost."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from benchmark.cli import cli
from benchmark.records import read_record

Invoke = Callable[..., Result]


def save_face(path: Path, seed: int, size: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Three people with four photographs each."""
    root = tmp_path / "photographs"
    for person in range(3):
        for photograph in range(4):
            save_face(root / f"p{person}" / f"{photograph}.png", 10 * person + photograph)
    return root


def expect(result: Result, code: int, *words: str) -> None:
    """The command failed with ``code`` and a single line that says all ``words``."""
    assert result.exit_code == code, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.output
    for word in words:
        assert word in errors[0], errors[0]
    assert "Traceback" not in result.output


def run_folder(invoke: Invoke, root: Path, *more: object) -> Result:
    return invoke(
        "run", "folder", "--data", root, "--out", root.parent / "out", "--threads", 1, "-e", "identity", *more
    )


def test_missing_folder(invoke: Invoke, tmp_path: Path) -> None:
    expect(run_folder(invoke, tmp_path / "nowhere"), 2, "nowhere")


def test_empty_folder(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    expect(run_folder(invoke, tmp_path / "empty"), 2, "no images")


def test_no_data_option(invoke: Invoke) -> None:
    expect(invoke("run", "folder", "--threads", 1), 2, "--data DIR")


def test_one_identity_only(invoke: Invoke, tmp_path: Path) -> None:
    for number in range(3):
        save_face(tmp_path / "lonely" / "only" / f"{number}.png", number)
    expect(run_folder(invoke, tmp_path / "lonely"), 2, "two people")


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[60:-12] = bytes(len(data) - 72)
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def huge(path: Path) -> None:
    """A valid head of a 40,000 x 40,000 px image."""
    head = struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)


@pytest.mark.parametrize(
    "spoil",
    [corrupt, truncate, huge, lambda path: path.write_bytes(b""), lambda path: path.write_text("no picture")],
    ids=["corrupt", "truncated", "huge", "zero-byte", "text"],
)
def test_unreadable_image_is_named(spoil: Callable[[Path], object], invoke: Invoke, photographs: Path) -> None:
    spoil(photographs / "p1" / "2.png")
    expect(run_folder(invoke, photographs), 2, "2.png")


def test_forbidden_image(invoke: Invoke, photographs: Path) -> None:
    forbidden = photographs / "p1" / "2.png"
    forbidden.chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root may read everything; the decoder's own test covers this by giving up root")
    expect(run_folder(invoke, photographs), 4, "2.png")


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (["p0/0.png,a", "p0/9.png,a"], "9.png"),
        (["p0/0.png,a", "p0/0.png,a"], "0.png"),
        (["p0/0.png,a"], "p0/1.png"),
    ],
    ids=["unknown", "duplicate", "missing"],
)
def test_attributes_that_do_not_fit_the_images(rows: list[str], word: str, invoke: Invoke, photographs: Path) -> None:
    (photographs / "attributes.csv").write_text("path,kind\n" + "\n".join(rows) + "\n")
    expect(run_folder(invoke, photographs), 2, word)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("blurr", ["blurr", "Did you mean 'blur'?"]),
        ("blur(kernl=3)", ["kernl", "Did you mean 'kernel'?"]),
        ("blur(kernel=0)", ["kernel", "greater than or equal to 1"]),
        ("blur(kernel=many)", ["kernel"]),
        ("blur(kernel", ["blur(kernel"]),
        ("mask(region=ears)", ["region"]),
    ],
)
def test_wrong_entrant(spec: str, words: list[str], invoke: Invoke) -> None:
    expect(invoke("run", "portraits-smoke", "-e", spec, "--threads", 1), 2, *words)


def test_wrong_suite(invoke: Invoke) -> None:
    expect(invoke("run", "portrait-smoke"), 2, "Did you mean 'portraits-smoke'?")


def test_wrong_command(invoke: Invoke) -> None:
    expect(invoke("runn"), 2, "Did you mean 'run'?")


def test_portraits_take_no_data(invoke: Invoke, tmp_path: Path) -> None:
    expect(invoke("run", "portraits-smoke", "--data", tmp_path), 2, "run folder --data")


def test_board_without_records(invoke: Invoke, tmp_path: Path) -> None:
    expect(invoke("leaderboard", "portraits-smoke", "--out", tmp_path), 5, "anonbench run")


def test_full_disk_is_one_line_and_what_was_finished_stays(photographs: Path, tmp_path: Path) -> None:
    """The limit on file size makes the kernel refuse the write for real."""
    words = [
        "run",
        "folder",
        "--data",
        photographs,
        "--out",
        tmp_path / "out",
        "--threads",
        "1",
        "-e",
        "identity",
        "--size",
        "32",
    ]
    environment = {**os.environ, "ANONBENCH_CACHE": str(tmp_path / "cache")}
    program = [sys.executable, "-c", "from benchmark.cli import main; main()", *map(str, words)]

    def run(limit: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            program,
            env=environment,
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
        )

    refused = run(10_000)
    assert refused.returncode == 4, refused.stderr
    assert [line for line in refused.stderr.splitlines() if line.startswith("Error: cannot write")]
    assert not list(tmp_path.rglob(".part-*"))
    assert run(resource.RLIM_INFINITY).returncode == 0


def test_listings_speak_json_and_csv(invoke: Invoke) -> None:
    for kind in ("anonymizers", "metrics", "suites"):
        rows = json.loads(invoke("list", kind, "--format", "json").stdout)
        names = {row["name"] for row in rows}
        csv = invoke("list", kind, "--format", "csv").stdout
        assert all(name in csv for name in names)
        for name in names:
            shown = invoke("show", name, "--format", "json")
            assert shown.exit_code == 0, shown.output
            assert json.loads(shown.stdout)


def test_a_parameter_says_what_it_is(invoke: Invoke) -> None:
    rows = json.loads(invoke("show", "edi-anon", "--format", "json").stdout)
    shown = {row["field"]: row["value"] for row in rows}
    assert shown["parameter mode"].startswith("default standard; standard | reference; ")
    assert shown["parameter kernel"].startswith("not set; of blur")
    blur = {row["field"]: row["value"] for row in json.loads(invoke("show", "blur", "--format", "json").stdout)}
    assert blur["parameter kernel"] == "default 9; side of the box in px"


def test_data_counts_people_and_images(invoke: Invoke, photographs: Path) -> None:
    rows = json.loads(invoke("data", "folder", "--data", photographs, "--size", 32, "--format", "json").stdout)
    counts = {row["split"]: (row["images"], row["people"]) for row in rows}
    assert counts["enrol"] == (9, 3)
    assert counts["probe"] == (3, 3)


def test_help_is_fast_because_torch_is_not_imported() -> None:
    code = (
        "import sys; from benchmark.cli import cli; cli(['--help'], standalone_mode=False); "
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules or 'cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize(("place", "code"), [("cache", 4), ("out", 2)])
def test_a_file_where_a_folder_should_be(
    place: str, code: int, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    folders = {"cache": tmp_path / "cache", "out": tmp_path / "out"} | {place: blocked}
    monkeypatch.setenv("ANONBENCH_CACHE", str(folders["cache"]))
    words = ["run", "portraits-smoke", "-e", "identity", "--threads", "1", "--out", str(folders["out"])]
    expect(CliRunner().invoke(cli, words), code, str(blocked))


def test_two_spellings_of_one_entrant_run_once(invoke: Invoke, photographs: Path) -> None:
    result = run_folder(invoke, photographs, "--size", 32, "-e", "blur(kernel=9)", "-e", "blur(kernel=9.0)")
    assert result.exit_code == 0, result.output
    assert result.output.count("blur(kernel=9): Risk") == 1


def test_a_broken_command_of_another_package_takes_no_other_with_it(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    points = [EntryPoint("sick", "no_such_module:command", "anonbench.commands")]
    monkeypatch.setattr("benchmark.cli.group.entry_points", lambda group: points)
    group = type(cli)(name="cli", commands=dict(cli.commands))
    listing = CliRunner().invoke(group, ["--help"])
    assert listing.exit_code == 0
    assert "cannot be imported" in listing.output
    called = CliRunner().invoke(group, ["sick", "--any", "thing"])
    assert called.exit_code == 4
    assert "no_such_module" in called.stderr


def test_metric_beyond_the_suites(invoke: Invoke, tmp_path: Path) -> None:
    words = ("run", "portraits-smoke", "-e", "black", "-m", "fid-infinity(features=recogniser)", "--out", tmp_path)
    assert invoke(*words, "--threads", "1").exit_code == 0
    record = read_record(tmp_path / "records" / "black" / "seed-0" / "record.json")
    score = record.score("fid-infinity(features=recogniser)")
    assert score is not None
    assert score.value is not None
    wrong = invoke("run", "portraits-smoke", "-m", "fidd", "--out", tmp_path)
    assert wrong.exit_code == 2
    assert "Did you mean 'fid'" in wrong.stderr
