"""What leaves a suite to be anonymized elsewhere says nothing about anybody, and what comes back fits."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

from benchmark import exporting
from benchmark.copies import OwnCopy
from benchmark.decode import decode_png
from benchmark.entrants.packing import pack
from benchmark.entrants.precomputed import open_precomputed
from benchmark.errors import UsageError
from benchmark.exporting import export_suite
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller, Referees, Report, quiet
from benchmark.records import EntrantFacts, SuiteFacts
from benchmark.registry import Entrant
from benchmark.release import Settings, disguised, load_released, make_release, share_of
from benchmark.specs import Spec
from benchmark.store import Store

Invoke = Callable[..., Result]
TOML = 'name = "my-images"\nkind = "precomputed"\n'


def people(split: str, count: int, photographs: int) -> ImageSet:
    """``Anna-0``, ``Anna-1``, ...: sorted by person, with labels."""
    generator = torch.Generator().manual_seed(len(split))
    images = torch.randint(0, 256, (count * photographs, 3, 8, 8), dtype=torch.uint8, generator=generator)
    names = tuple(f"Anna-{number}" for number in range(count))
    keys = tuple(f"{name}/{split}-{row}" for name in names for row in range(photographs))
    identity = Labels(torch.arange(count).repeat_interleave(photographs), names)
    smile = Labels(torch.arange(count * photographs) % 2, ("grave", "smiling"))
    return ImageSet(images, keys, identity, {"smile": smile}, torch.zeros(len(keys), 5, 2))


class Suite:
    metrics = ()
    entrants = ()

    def __init__(self, suite_hash: str = "5a17", enrol: int = 3) -> None:
        self.facts = SuiteFacts(name="s", version="1", suite_hash=suite_hash, title="s", image_size=8, splits=())
        background = people("background", 6, 2)
        self.sets = {"probe": people("probe", 5, 2), "enrol": people("enrol", 5, enrol), "background": background}

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        return self.sets[split]

    def referees(self, report: Report = quiet) -> Referees:
        return Referees()

    def photographs(self, split: str) -> ImageSet:
        images = self.images(split)
        return share_of(images, "attacker") if split == "background" else images


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def returned(out: Path, to: Path) -> Path:
    """Somebody's release: the exported images as they are, described and packed."""
    for split in ("probe", "enrol", "background"):
        if (out / split).is_dir():
            shutil.copytree(out / split, to / split)
    (to / "entrant.toml").write_text(TOML)
    pack(to)
    return to


def as_entrant(folder: Path) -> Entrant:
    made = open_precomputed(folder)
    facts = EntrantFacts(
        name=made.family, family=made.family, params={}, kind="precomputed", entry_hash=made.entry_hash
    )
    return Entrant(Spec(made.family, {}), made, facts)


def test_what_was_exported_comes_back_as_the_originals(tmp_path: Path) -> None:
    suite = Suite()
    assert export_suite(suite, tmp_path / "out") == {"probe": 10, "enrol": 15, "background": 6}
    entrant = as_entrant(returned(tmp_path / "out", tmp_path / "mine"))
    probe = disguised(suite.images("probe"), frozenset(), suite.facts.suite_hash)
    made = entrant.anonymizer.anonymize(probe, Controller())
    assert torch.equal(made.images, probe.images)
    assert made.missing is None


def test_it_stands_in_a_run_and_in_the_attackers_hands(tmp_path: Path) -> None:
    """Through the very code of a run: keys of the probes, and of the copy's photographs."""
    suite, store = Suite(), Store(tmp_path / "store")
    export_suite(suite, tmp_path / "out")
    entrant = as_entrant(returned(tmp_path / "out", tmp_path / "mine"))
    release = make_release(store, suite, entrant, 0, Settings())
    found = load_released(store, release, suite.images("probe"))
    assert found is not None
    assert torch.equal(found.images, suite.images("probe").images)
    assert (release.missing, dict(release.notes)) == ((), {})
    salt = suite.facts.suite_hash
    copy = OwnCopy(entrant, release.cell, 0, suite.photographs, {}, salt, Settings(), store)
    for split in ("enrol", "background"):
        assert torch.equal(copy.released(split), suite.photographs(split).images)


def test_neither_names_nor_files_tell_who_is_on_an_image(tmp_path: Path) -> None:
    suite = Suite()
    export_suite(suite, tmp_path / "out")
    files = files_in(tmp_path / "out")
    text = b" ".join([name.encode() for name in files] + list(files.values()))
    for word in (b"Anna", b"smil", b"grave", b"probe-", b"enrol-"):
        assert word not in text
    images = [name for name in files if name.endswith(".png")]
    assert all(re.fullmatch(r"(probe|enrol|background)/[0-9a-f]{16}\.png", name) for name in images)
    assert len({Path(name).stem for name in images}) == len(images) == 31
    times = {path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    assert len(times) == 1


def test_the_order_of_the_files_says_nothing(tmp_path: Path) -> None:
    """In the order of their names, photographs of one person lie apart as often as chance has it."""
    suite = Suite()
    suite.sets["probe"] = people("probe", 40, 10)
    export_suite(suite, tmp_path / "out")
    original = {image.numpy().tobytes(): row // 10 for row, image in enumerate(suite.images("probe").images)}
    names = sorted((tmp_path / "out" / "probe").iterdir())
    who = [original[decode_png(path.read_bytes()).numpy().tobytes()] for path in names]
    same = sum(left == right for left, right in itertools.pairwise(who))
    assert same < 25  # 9 expected by chance with a spread of 3; 360 in the suite's order
    made = sorted((tmp_path / "out" / "probe").iterdir(), key=lambda path: (path.stat().st_mtime_ns, path.name))
    assert made == names


def test_the_background_is_the_attackers_half(tmp_path: Path) -> None:
    suite = Suite()
    export_suite(suite, tmp_path / "out")
    exported = {decode_png(path.read_bytes()).numpy().tobytes() for path in (tmp_path / "out" / "background").iterdir()}
    half = suite.images("background").images[torch.arange(12) // 2 % 2 == 1]  # every second person has two photographs
    assert exported == {image.numpy().tobytes() for image in half}


def test_an_empty_split_is_left_out(tmp_path: Path) -> None:
    assert export_suite(Suite(enrol=0), tmp_path / "out") == {"probe": 10, "background": 6}
    assert not (tmp_path / "out" / "enrol").exists()


def test_export_json_says_which_suite(tmp_path: Path) -> None:
    export_suite(Suite(), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == {
        "format": 1, "suite": "s", "version": "1", "suite_hash": "5a17", "image_size": 8,
        "images": {"probe": 10, "enrol": 15, "background": 6},
    }  # fmt: skip
    readme = (tmp_path / "out" / "README.txt").read_text()
    for command in ("anonbench new my-release --kind precomputed", "anonbench pack my-release",
                    "anonbench check my-release", "anonbench run s -e my-release", "8 x 8"):  # fmt: skip
        assert command in readme


def test_the_same_again_mends_what_is_wrong_and_leaves_the_rest(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_suite(Suite(), out)
    before = files_in(out)
    gone, cut, link, kept, *_ = sorted((out / "probe").iterdir())
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:50])
    link.symlink_to(link.rename(tmp_path / "elsewhere"))  # the right bytes, in somebody else's file
    (out / "probe" / ".part-1").write_bytes(b"half")
    untouched = {path: path.stat().st_ino for path in (out / "enrol").iterdir()} | {kept: kept.stat().st_ino}
    export_suite(Suite(), out)
    assert files_in(out) == before
    assert not link.is_symlink()
    assert {path: path.stat().st_ino for path in untouched} == untouched


def test_a_killed_export_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, count = tmp_path / "out", []
    export_suite(Suite(), tmp_path / "whole")
    write = exporting.write_atomic

    def interrupted(path: Path, data: bytes) -> None:
        count.append(path)
        if len(count) > 7:
            raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "write_atomic", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export_suite(Suite(), out)
    whole, half = files_in(tmp_path / "whole"), files_in(out)
    assert 1 < len(half) < len(whole)
    assert half.items() <= whole.items()
    export_suite(Suite(), out)
    assert files_in(out) == whole


def test_folders_that_hold_something_else(tmp_path: Path) -> None:
    export_suite(Suite(), tmp_path / "other")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    export_suite(Suite(), tmp_path / "mine")
    (tmp_path / "mine" / "entrant.toml").write_text(TOML)
    export_suite(Suite(), tmp_path / "damaged")
    (tmp_path / "damaged" / "export.json").write_text("{")
    for name, suite in (
        ("other", Suite("another hash")),
        ("full", Suite()),
        ("file", Suite()),
        ("mine", Suite()),
        ("damaged", Suite()),
    ):
        before = files_in(tmp_path)
        with pytest.raises(UsageError) as caught:
            export_suite(suite, tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "--out" in str(caught.value)
        assert files_in(tmp_path) == before


def test_export_pack_and_run_as_commands(invoke: Invoke, tmp_path: Path) -> None:
    out, mine, archive = tmp_path / "out", tmp_path / "mine", tmp_path / "mine.zip"
    result = invoke("export", "portraits-smoke", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == "probe: 192 images\nenrol: 576 images\nbackground: 1440 images\n"
    shutil.copytree(out / "probe", mine / "probe")
    result = invoke("pack", mine)
    assert (result.exit_code, "entrant.toml" in result.stderr, "anonbench new" in result.stderr) == (2, True, True)
    (mine / "entrant.toml").write_text(TOML)
    result = invoke("pack", mine, "--zip", archive)
    assert result.exit_code == 0, result.output
    assert result.stdout == "probe: 192 images\nenrol: 0 images\nbackground: 0 images\n"
    assert "Warning" in result.stderr
    assert "enrol and background" in result.stderr
    assert "not ranked" in result.stderr.replace("\n", " ")
    assert len(zipfile.ZipFile(archive).namelist()) == 194
    result = invoke("anonymize", "portraits-smoke", "-e", archive, "--threads", 1, "--out", tmp_path / "board")
    assert result.exit_code == 0, result.output
    assert "192 images" in result.output


def test_pack_and_export_as_commands_say_what_is_wrong(invoke: Invoke, tmp_path: Path) -> None:
    returned_to = tmp_path / "mine"
    export_suite(Suite(), tmp_path / "out")
    returned_to.mkdir()
    returned(tmp_path / "out", returned_to)
    complete = invoke("pack", returned_to)
    assert (complete.exit_code, "Warning" in complete.stderr) == (0, False)
    for words in (["pack", tmp_path / "none"], ["pack", returned_to, "--zip", tmp_path / "a.rar"],
                  ["pack", tmp_path / "out" / "export.json"], ["export", "portraits-smoke", "--out", returned_to],
                  ["export", "portrait-smoke", "--out", tmp_path / "x"], ["export", "portraits-smoke"]):  # fmt: skip
        result = invoke(*words)
        assert result.exit_code == 2, result.output
        assert result.stderr.count("Error: ") == 1
        assert "Traceback" not in result.output
