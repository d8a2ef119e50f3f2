"""Whom a simulated panel judges if nobody is named: the suite's list, without who uses more than a panel can hand out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.errors import UsageError
from benchmark.registry import build_entrant
from metrics.perceptanon.study import GIVEN, description_of, usable
from suites.definition import read_definition

ROOT = Path(__file__).parents[3]
MODULE = '''
"""Anonymizers and suites of somebody else."""

from benchmark.images import Released
from suites.definition import People, Splits, read_definition
from suites.rendered import RenderedSuite


class Pointed:
    """Moves a point."""

    uses = frozenset({"landmarks", "identity"})

    def anonymize(self, images, controller):
        return Released(255 - images.images)


class Informed(Pointed):
    """Asks a recogniser."""

    uses = frozenset({"landmarks", "recogniser"})


class Taught(Pointed):
    """Learns from others."""

    uses = frozenset({"train"})


def suite(*entrants):
    few = Splits(
        background=People(identities=12, photographs=2),
        evaluated=People(identities=10, photographs=2),
        spare=People(identities=1, photographs=1),
        enrol=1,
    )
    change = {"splits": few, "image_size": 24, "manifest": {}, "weights": {}, "files": {}, "entrants": entrants}
    return lambda options: RenderedSuite(read_definition("portraits-smoke").model_copy(update=change), options)


plain = suite("blur(kernel=9)", "pointed", "identity")
mixed = suite("informed", "blur(kernel=9)", "pointed", "taught", "identity")
beyond = suite("informed", "taught")
'''
POINTS = """
[anonbench.anonymizers]
pointed = stranger:Pointed
informed = stranger:Informed
taught = stranger:Taught
[anonbench.suites]
plain = stranger:plain
mixed = stranger:mixed
beyond = stranger:beyond
"""


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed package of somebody else; the cache of all runs lies in it as well."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "stranger.py").write_text(MODULE)
    about = folder / "stranger-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    return folder


def panel(stranger: Path, suite: str, out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``anonbench perceptanon panel`` in a process that sees the package."""
    options = ["--out", str(out), "--people", "evaluated", "--variants", "2", "--threads", "1", *words]
    return subprocess.run(
        [sys.executable, "-c", "from benchmark.cli import main; main()", "perceptanon", "panel", suite, *options],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(stranger), str(ROOT)]),
            "ANONBENCH_CACHE": str(stranger / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_default_list_leaves_out_who_needs_more_and_says_so(stranger: Path, tmp_path: Path) -> None:
    done = {suite: panel(stranger, suite, tmp_path / suite) for suite in ("plain", "mixed")}
    assert [run.returncode for run in done.values()] == [0, 0], done
    said = [line for line in done["mixed"].stderr.splitlines() if "eft out" in line]
    assert len(said) == 1
    assert said[0].endswith(": informed, taught")
    assert "eft out" not in done["plain"].stderr + done["plain"].stdout + done["mixed"].stdout
    assert description_of(tmp_path / "mixed")["entrants"] == ["blur(kernel=9)", "pointed", "identity"]
    tables = [(tmp_path / suite / "HA2.csv").read_bytes() for suite in ("plain", "mixed")]
    assert tables[0] == tables[1], "the study is the one of a list without them"


def test_who_is_named_is_not_left_out(stranger: Path, tmp_path: Path) -> None:
    run = panel(stranger, "mixed", tmp_path / "out", "-e", "identity", "-e", "informed")
    assert run.returncode == UsageError.exit_code
    assert "informed uses recogniser, which a simulated panel cannot hand out; leave it out with -e" in run.stderr
    assert not (tmp_path / "out").exists()


def test_a_list_of_which_nobody_is_left(stranger: Path, tmp_path: Path) -> None:
    run = panel(stranger, "beyond", tmp_path / "out")
    assert run.returncode == UsageError.exit_code
    assert run.stderr.count("Error: ") == 1
    assert "can run none of the entrants" in run.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["portraits-smoke", "portraits-v1", "folder"])
def test_every_entrant_of_a_suite_is_either_usable_or_beyond(name: str) -> None:
    entrants = read_definition(name).entrants
    kept, beyond = usable(entrants)
    assert [spec for spec in entrants if spec in kept] == kept
    assert sorted([*kept, *beyond]) == sorted(entrants)
    assert all(build_entrant(spec).uses <= GIVEN for spec in kept)
    assert not any(build_entrant(spec).uses <= GIVEN for spec in beyond)
