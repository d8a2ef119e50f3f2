"""docs/submitting.md, followed word for word by somebody who has just cloned the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.records import Record, read_record
from benchmark.registry import build_entrant

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "submitting.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
WHO = {f"GIT_{role}_{what}": f"{role}@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
SLUG = "my_mosaic.MyMosaic"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with the environment in its place, in which every command of the page was typed in its order."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None or shutil.which("bash") is None:
        pytest.skip("this is no git checkout, or there is no git or bash")
    folder = tmp_path_factory.mktemp("newcomer") / "anonbench"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    (folder / ".venv").symlink_to(sys.prefix)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANONBENCH_", "GIT_", "PYTHON"))}
    home = tmp_path_factory.mktemp("home")
    env = {**kept, **WHO, "HOME": str(home), "ANONBENCH_CACHE": str(tmp_path_factory.mktemp("cache"))}
    typed = "set -euo pipefail\n" + "\n".join(BLOCKS)
    done = subprocess.run(["bash", "-c", typed], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return folder


def records_in(out: Path) -> dict[str, Record]:
    return {path.parents[1].name: read_record(path) for path in out.glob("records/*/*/record.json")}


def test_each_kind_came_to_a_row_on_a_board(clone: Path) -> None:
    records = records_in(clone / "my-board")
    kinds = {slug: (record.status, record.entry.kind) for slug, record in records.items()}
    assert kinds == {
        "identity": ("ok", "python"),
        "black": ("ok", "python"),
        SLUG: ("ok", "python"),
        "my-tool": ("ok", "process"),
        "my-release": ("ok", "precomputed"),
    }
    page = (clone / "my-board" / "board" / "index.html").read_text()
    for name in (SLUG, "my-tool", "my-release"):
        risk = records[name].score("risk")
        assert risk is not None
        assert risk.value is not None, f"{name} was not attacked in full: {risk.reason}"
        assert f'data-name="{name}"' in page


def test_the_command_was_kept_apart_and_the_record_says_so(clone: Path) -> None:
    said = records_in(clone / "my-board")["my-tool"].run.isolation
    assert said.startswith("bubblewrap:") if shutil.which("bwrap") else said


def test_the_branch_has_the_files_of_the_row_and_no_others(clone: Path) -> None:
    words = ["git", "diff", "--name-only", "origin/HEAD", f"submit/portraits-v1/{SLUG}"]
    changed = subprocess.run(words, cwd=clone, capture_output=True, text=True, check=True).stdout.split()
    assert changed
    assert all(name.startswith(f"results/portraits-v1/records/{SLUG}/seed-0/") for name in changed), changed


def test_the_row_is_reproduced_on_the_official_board(clone: Path) -> None:
    claims = records_in(clone / "results" / "portraits-v1")[SLUG].claims
    assert claims.self_reported
    assert (claims.submitted_by, claims.reproduced_by) == ("A. Researcher", "B. Maintainer")
    assert claims.conflict_of_interest == "I wrote the method"
    assert claims.max_abs_diff == 0
    page = (clone / "results" / "portraits-v1" / "board" / "entrants" / f"{SLUG}.html").read_text()
    assert "reproduced by B. Maintainer" in page


def test_the_text_for_the_pull_request_is_there(clone: Path) -> None:
    text = (clone / "pull-request.md").read_text()
    assert SLUG in text
    assert "I wrote the method" in text


def test_the_page_shows_no_command_that_is_not_typed() -> None:
    shown = set(re.findall(r"`(anonbench [^`]*)`", PAGE.read_text()))
    typed = "\n".join(BLOCKS)
    assert all(" ".join(text.split()[:2]) in typed for text in shown), shown


def test_entrants_that_are_only_mentioned_can_be_built(clone: Path) -> None:
    mentioned = re.findall(r"-e '([^']+)'", PAGE.read_text())
    assert mentioned
    for spec in mentioned:
        assert build_entrant(f"{clone}/{spec}").facts.name.startswith(SLUG)
