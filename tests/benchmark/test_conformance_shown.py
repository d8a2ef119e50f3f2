"""Findings as text and as Markdown, and the command that shows them."""

from __future__ import annotations

import html
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.conformance import Examination, Finding, examine
from benchmark.conformance.examination import escaped, plain
from benchmark.entrants.packing import pack

Invoke = Callable[..., Result]
HOSTILE = (
    "a | b <script>alert(1)</script> `x` [y](https://z.example) *s* _u_ ![p](q) @me #1 www.x.example\nnew\x1b[31m\u202e"
)
BROKEN = """
import torch
from benchmark.filters import Filter
class Broken(Filter):
    def filter(self, images, controller):
        raise ValueError("| <script>alert(1)</script>")
"""


def examination(*findings: Finding, name: str = "tool") -> Examination:
    return Examination(name, findings)


def test_text_is_a_table_with_the_verdict_last() -> None:
    found = examination(Finding("order", "pass", "fine"), Finding("single image", "note", "odd"))
    assert found.text() == "pass  order         fine\nnote  single image  odd\ntool conforms, with 1 note.\n"
    assert found.ok


def test_a_failure_is_named_in_the_verdict() -> None:
    found = examination(Finding("order", "fail", "x"), Finding("input", "fail", "y"), Finding("time", "pass", "z"))
    assert not found.ok
    assert found.text().splitlines()[-1] == "tool does not conform: order, input."
    assert found.failed == ("order", "input")


def test_nothing_found_is_no_failure() -> None:
    assert examination().text() == "tool conforms.\n"


def test_hostile_texts_stay_on_their_line_and_show_nothing_hidden() -> None:
    lines = examination(Finding("order", "fail", HOSTILE), name=HOSTILE).text().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def cells(row: str) -> list[str]:
    """What GitHub makes of a table row: cells divided by bars that no backslash precedes."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def test_markdown_of_hostile_texts_is_a_table_of_plain_words() -> None:
    lines = examination(Finding(HOSTILE, "fail", HOSTILE), name=HOSTILE).markdown().splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("### ")
    for row in lines[2:5]:
        assert len(cells(row)) == 3
    for active in ("<", "`", "[", "]", "*", "_", "@", "![", "https:", "www.x", "\x1b", "\u202e"):
        assert not any(active in line.removeprefix("### ") for line in lines), active
    assert html.unescape(cells(lines[4])[2]) == plain(HOSTILE)


@given(st.text(max_size=80))
def test_escaped_texts_read_as_they_are(text: str) -> None:
    quoted = escaped(text)
    assert html.unescape(quoted) == plain(text)
    assert not re.search(r"[|<>`*_\[\]\\!@~^$:\"']", quoted)
    assert re.fullmatch(r"([^&#;]|&#\d+;)*", quoted)
    assert "\n" not in quoted


def test_long_texts_are_cut() -> None:
    assert len(examination(Finding("order", "fail", "x" * 10_000)).text()) < 1000


def test_command_prints_the_table_and_ends_with_0(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("check", "blur(kernel=9)", "--threads", 1, "--markdown", tmp_path / "found.md")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "blur(kernel=9) conforms."
    assert (tmp_path / "found.md").read_text().startswith("### blur(kernel=9)\n")


def test_what_keeps_a_command_apart_is_said(tmp_path: Path) -> None:
    for said, verdict in (("bubblewrap: walls", "pass"), ("a fence", "note")):
        (tmp_path / "apart.py").write_text(
            BROKEN.replace('raise ValueError("', 'return 255 - images.images  # ("') + f"    isolation = {said!r}\n"
        )
        findings = examine(f"{tmp_path}/apart.py:Broken").findings
        assert [(one.verdict, one.text) for one in findings if one.check == "isolation"] == [(verdict, said)]
    assert not [one for one in examine("blur").findings if one.check == "isolation"]


def test_what_a_command_runs_and_reads_is_said(tmp_path: Path) -> None:
    (tmp_path / "entrant.toml").write_text(
        'name = "copies"\nkind = "process"\ncommand = ["sh", "-c", "cp {input}/* {output}"]\nreads = ["/usr/share"]\n'
    )
    said = [(one.check, one.text) for one in examine(str(tmp_path)).findings[1:3]]
    assert said == [("command", "sh -c cp {input}/* {output}"), ("may read", "/usr/share")]


def test_a_long_command_hides_nothing_of_what_it_may_read(tmp_path: Path) -> None:
    reads = [f"/usr/share/{number:0300d}" for number in range(5)]
    (tmp_path / "entrant.toml").write_text(
        f'name = "long"\nkind = "process"\ncommand = ["sh", "-c", "true", "{"x" * 500}", "{"y" * 500}"]\nreads = {reads}\n'
    )
    found = examine(str(tmp_path))
    assert [one.text for one in found.findings if one.check == "may read"] == reads
    (command,) = [part for part in found.text().splitlines() if " command " in part]
    assert command.endswith(" ... and 612 characters more, see entrant.toml")


def test_a_command_without_end_does_not_keep_the_examination_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.conformance.examining.SECONDS", 0.5)
    (tmp_path / "entrant.toml").write_text('name = "sleeps"\nkind = "process"\ncommand = ["sleep", "100"]\n')
    started = time.monotonic()
    found = examine(str(tmp_path))
    assert time.monotonic() - started < 20
    (said,) = [one.text for one in found.findings if one.check == "protocol"]
    assert "longer than its 0.5 seconds, all that a command gets while it is checked" in said
    assert found.failed == ("protocol",)


def test_files_that_are_not_in_the_hash_are_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def notes() -> list[str]:
        return [one.text for one in examine(str(tmp_path)).findings if (one.check, one.verdict) == ("hash", "note")]

    (tmp_path / "entrant.toml").write_text(
        'name = "copies"\nkind = "process"\ncommand = ["sh", "-c", "cp {input}/* {output}"]\n'
    )
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    assert notes() == []
    monkeypatch.setattr("benchmark.entrants.content.MOST_FILES", 1)
    (note,) = notes()
    assert note.startswith("2 files beside its description")


def test_command_ends_with_3_where_a_check_failed(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    done = invoke("check", f"{tmp_path}/broken.py:Broken", "--threads", 1, "--markdown", tmp_path / "found.md")
    assert done.exit_code == 3
    assert done.stdout.splitlines()[-1] == "broken.Broken does not conform: protocol."
    assert "ValueError: | <script>" in done.stdout
    assert "<script" not in (tmp_path / "found.md").read_text()
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("spec", "code"), [("blurr", 2), ("blur(kernel=0)", 2), ("nowhere.py:Name", 2), ("no/entrant.toml", 2)]
)
def test_command_keeps_the_exit_codes_of_building(invoke: Invoke, spec: str, code: int) -> None:
    done = invoke("check", spec, "--threads", 1)
    assert done.exit_code == code
    assert len([line for line in done.output.splitlines() if line.startswith("Error: ")]) == 1


def test_command_says_where_it_cannot_write(invoke: Invoke, tmp_path: Path) -> None:
    done = invoke("check", "black", "--threads", 1, "--markdown", tmp_path / "no" / "found.md")
    assert done.exit_code == 4
    assert "--markdown" in done.output


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder of released images with all parts."""
    (tmp_path / "entrant.toml").write_text('name = "my-images"\nkind = "precomputed"\n')
    for number, part in enumerate(("probe", "enrol", "background")):
        (tmp_path / part).mkdir()
        for row in range(2):
            Image.new("RGB", (20, 20), (row, number, 0)).save(tmp_path / part / f"{10 * number + row:016x}.png")
    return tmp_path


def verdicts(folder: Path) -> dict[str, str]:
    pack(folder)
    return {part.check: part.verdict for part in examine(f"{folder}/entrant.toml").findings}


def test_released_images_are_counted_and_decoded(released: Path) -> None:
    assert verdicts(released) == {"builds": "pass", "files": "pass", "images": "pass"}
    found = examine(f"{released}/entrant.toml")
    assert "probe: 2; enrol: 2; background: 2" in found.text()
    assert "20 x 20: 6" in found.text()
    assert found.seconds_per_image is None


def test_missing_parts_are_noted_with_what_follows(released: Path) -> None:
    shutil.rmtree(released / "enrol")
    assert verdicts(released)["attackers"] == "note"
    text = examine(f"{released}/entrant.toml").text()
    assert "no enrol" in text
    assert "not ranked by risk" in text
    assert "no background" not in text


def test_other_sizes_and_broken_images_fail(released: Path) -> None:
    Image.new("RGB", (20, 21)).save(released / "probe" / f"{99:016x}.png")
    assert verdicts(released)["images"] == "fail"
    (released / "probe" / f"{99:016x}.png").write_bytes(b"no image")
    assert verdicts(released)["images"] == "fail"
    assert f"{99:016x}.png" in examine(f"{released}/entrant.toml").text()
