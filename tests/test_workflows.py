"""The workflows of pull requests: who may do what, and what a hostile report comes to."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1] / ".github"
WORKFLOWS = sorted(ROOT.glob("workflows/*.yml"))
TRUSTED = {
    "github.event.pull_request.number",
    "github.event.pull_request.base.sha",
    "github.event.workflow_run.id",
    "github.event.workflow_run.head_sha",
    "github.event.workflow_run.conclusion",
    "github.repository",
    "github.token",
    "github.ref",
    "matrix.python",
    "steps.deployment.outputs.page_url",
}
COMMIT = "a" * 40


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def expressions(part: Any) -> set[str]:
    return set(re.findall(r"\$\{\{\s*(.*?)\s*\}\}", json.dumps(part)))


def step_named(name: str, workflow: str) -> str:
    return next(step["run"] for step in steps(load(workflow)) if name in step.get("name", ""))


every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


@every_workflow
def test_every_action_is_pinned_by_commit_and_says_its_version(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"\s*(- )?uses:", line)]
    for line in lines:
        assert re.search(r"uses: [\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", line), line
    assert len(lines) == sum("uses" in step for step in steps(load(path.stem)))


def test_an_action_has_one_commit_everywhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    pins = dict(re.findall(r"uses: ([\w./-]+)@([0-9a-f]{40})", text))
    assert pins
    for action, commit in pins.items():
        assert set(re.findall(rf"{re.escape(action)}@(\S+)", text)) == {commit}


@every_workflow
def test_rights_are_given_to_jobs_alone_and_jobs_end(path: Path) -> None:
    workflow = load(path.stem)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        assert job["permissions"]


@every_workflow
def test_no_trigger_gives_strangers_a_token_and_no_secret_is_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "pull_request_target" not in text
    assert "secrets." not in text
    assert "issue_comment" not in text


@every_workflow
def test_no_expression_stands_in_a_script(path: Path) -> None:
    for step in steps(load(path.stem)):
        assert "${{" not in step.get("run", "")


@every_workflow
def test_expressions_are_numbers_hashes_or_our_own(path: Path) -> None:
    workflow = load(path.stem)
    del workflow["concurrency"]  # a name that is compared and never run
    assert expressions(workflow) - {"!cancelled()"} <= TRUSTED


@every_workflow
def test_checkouts_leave_no_token_behind(path: Path) -> None:
    for step in steps(load(path.stem)):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_only_the_comment_may_write_to_pull_requests() -> None:
    rights = {
        (path.stem, right, level)
        for path in WORKFLOWS
        for job in load(path.stem)["jobs"].values()
        for right, level in job["permissions"].items()
    }
    assert {entry for entry in rights if entry[2] == "write"} == {
        ("comment", "pull-requests", "write"),
        ("pages", "pages", "write"),
        ("pages", "id-token", "write"),
    }
    assert {right for name, right, _ in rights if name == "submission"} == {"contents"}


def test_the_comment_checks_out_and_installs_nothing() -> None:
    text = (ROOT / "workflows/comment.yml").read_text(encoding="utf-8")
    assert not any("uses" in step for step in steps(load("comment")))
    assert not re.search(r"pip|anonbench (?!-)|git (clone|fetch)", "\n".join(s["run"] for s in steps(load("comment"))))
    assert "checkout@" not in text


def test_what_was_sent_is_data() -> None:
    """Base and head lie apart; only the base is installed, and no script leads into the head's folder."""
    checkouts = {
        step["with"]["path"]: step["with"]["ref"] for step in steps(load("submission")) if "checkout" in str(step)
    }
    assert checkouts["base"] == "${{ github.event.pull_request.base.sha }}"
    scripts = "\n".join(step["run"] for step in steps(load("submission")) if "run" in step)
    assert re.findall(r"pip install.* (\S+)$", scripts, re.MULTILINE) == ["./base"]
    assert not re.search(r"\bcd\b|source |head/", scripts)
    assert not any("working-directory" in step for step in steps(load("submission")))


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """A folder as a step of comment.yml finds it, with a ``gh`` that answers from files and writes down what it is told."""
    program = tmp_path / "bin" / "gh"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        'echo "$*" >> calls\n'
        'case "$*" in\n'
        "*name=submission-report*) cat listed ;;\n"
        "*/zip) cat sent.zip ;;\n"
        f"*/pulls/*) echo {COMMIT} ;;\n"
        "*--paginate*) cat earlier ;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    (tmp_path / "earlier").touch()
    send(tmp_path, b"17\n", b"all well\n")
    return tmp_path


def send(folder: Path, number: bytes, report: bytes) -> None:
    with zipfile.ZipFile(folder / "sent.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("number", number)
        archive.writestr("report.txt", report)
        archive.writestr("../escaped", b"out")
    (folder / "listed").write_text(f"7 {(folder / 'sent.zip').stat().st_size}\n")


def play(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    env = {"REPOSITORY": "o/r", "RUN": "1", "COMMIT": COMMIT, "OUTCOME": "failure", "MARK": "<!-- mark -->"}
    env |= {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.CompletedProcess[str]([], 1)
    for name in names:
        script = step_named(name, "comment")
        program = [sys.executable, "-"] if "import os" in script else ["bash", "--norc", "-eo", "pipefail"]
        done = subprocess.run(program, input=script, cwd=folder, env=env, text=True, capture_output=True, check=False)
        if done.returncode:
            return done
    return done


ALL = ("Fetch", "must be the one", "Quote", "Write the comment")
needs_unzip = pytest.mark.skipif(
    shutil.which("unzip") is None, reason="needs the program unzip, as the runners have it"
)


@needs_unzip
def test_a_report_becomes_one_comment_that_is_written_anew(runner: Path) -> None:
    assert play(runner, *ALL).returncode == 0
    assert "--method POST repos/o/r/issues/17/comments" in (runner / "calls").read_text()
    (runner / "earlier").write_text("99\n")
    assert play(runner, *ALL).returncode == 0
    assert "--method PATCH repos/o/r/issues/comments/99" in (runner / "calls").read_text()
    assert "all well" in (runner / "comment.md").read_text()


@needs_unzip
def test_nothing_leaves_the_archive_but_two_bounded_files(runner: Path) -> None:
    send(runner, b"17", b"x" * 300_000_000)
    assert play(runner, "Fetch").returncode == 0
    assert (runner / "report.txt").stat().st_size == 50_000
    assert not list(runner.parent.glob("escaped"))


@needs_unzip
def test_a_large_archive_is_not_even_fetched(runner: Path) -> None:
    (runner / "listed").write_text("7 1000001\n")
    assert "has 1000001 bytes" in play(runner, "Fetch").stdout
    assert "/zip" not in (runner / "calls").read_text()


@needs_unzip
@pytest.mark.parametrize(
    "number", [b"", b"0", b"-1", b"17/merge", b"1 2", b"17; touch owned", b"$(touch owned)", b"9" * 20]
)
def test_a_number_that_is_none_is_refused(runner: Path, number: bytes) -> None:
    send(runner, number, b"text")
    done = play(runner, "Fetch", "must be the one")
    assert done.returncode == 1
    assert "names no pull request" in done.stdout
    assert not (runner / "owned").exists()
    assert not (runner / "checked").exists()


@needs_unzip
def test_the_report_of_another_commit_is_refused(runner: Path) -> None:
    program = runner / "bin" / "gh"
    program.write_text(program.read_text().replace(COMMIT, "b" * 40))
    assert "of another commit" in play(runner, "Fetch", "must be the one").stdout


@pytest.mark.parametrize(
    "report",
    [
        "````\n# Heading\n@everyone [a](https://example.org) ![b](https://example.org/x.png)",
        "```\n````\n`````\n<script>alert(1)</script>",
        "a\u202eb\x1b[31m\x00\r\nc",
        "",
    ],
)
def test_a_report_is_quoted_and_cannot_end_the_quotation(runner: Path, report: str) -> None:
    (runner / "report.txt").write_text(report, encoding="utf-8", newline="")
    assert play(runner, "Quote").returncode == 0
    lines = (runner / "comment.md").read_text(encoding="utf-8").splitlines()
    fences = [number for number, line in enumerate(lines) if "```" in line]
    assert fences == [3, len(lines) - 1]
    assert all(line.isprintable() for line in lines)


def test_the_boards_have_a_page_that_leads_to_them(tmp_path: Path) -> None:
    script = step_named("leads to the boards", "pages")
    for names in (["portraits-v1"], ["a<b>", "portraits-v1"]):
        for name in names:
            (tmp_path / "site" / name / "board").mkdir(parents=True, exist_ok=True)
            (tmp_path / "site" / name / "board/index.html").touch()
        subprocess.run([sys.executable, "-"], input=script, cwd=tmp_path, text=True, check=True)
        page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
        assert page.count("<li>") == len(names)
        assert ("refresh" in page) == (len(names) == 1)
    assert 'href="a%3Cb%3E/board/index.html">a&lt;b&gt;</a>' in page


def test_actions_are_kept_current_but_not_on_their_first_day() -> None:
    (entry,) = yaml.safe_load((ROOT / "dependabot.yml").read_text(encoding="utf-8"))["updates"]
    assert entry["package-ecosystem"] == "github-actions"
    assert entry["cooldown"]["default-days"] >= 7


def test_zizmor_finds_nothing() -> None:
    program = shutil.which("zizmor", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("zizmor is not installed: pip install zizmor")
    done = subprocess.run(
        [program, "--offline", "--persona=pedantic", "--no-progress", "--quiet", str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *words], text=True, capture_output=True, check=True
    ).stdout


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """A folder with ``head`` as the workflow checks it out: the merge of a branch, and its parents, and no more."""
    source = tmp_path / "source"
    (source / "results").mkdir(parents=True)
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(source))
    for number in range(3):
        (source / "README").write_text(str(number))
        git(source, "add", ".")
        git(source, "commit", "--quiet", "--message", f"main {number}")
    git(source, "checkout", "--quiet", "-b", "sent", "main~1")
    record = source / "results/portraits-smoke/records/blur/seed-0/record.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"entry": "<script>"}')
    (source / "results/run.py").write_text("raise SystemExit('this was run')")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "--message", "sent")
    git(source, "checkout", "--quiet", "main")
    git(source, "merge", "--quiet", "--no-ff", "--message", "merge", "sent")
    git(tmp_path, "clone", "--quiet", "--depth", "2", f"file://{source}", "head")
    return tmp_path


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_what_was_sent_is_held_against_the_rules(sent: Path) -> None:
    """The script of the workflow, on a real merge of a branch that left main before its last commit."""
    script = step_named("Validate", "submission")
    program = Path(sys.executable).parent / "anonbench"
    env = {"NUMBER": "17", "GITHUB_STEP_SUMMARY": str(sent / "summary"), "HOME": str(sent)}
    env |= {"PATH": f"{program.parent}:{os.environ['PATH']}", "ANONBENCH_CACHE": str(sent / "cache")}
    done = subprocess.run(
        ["bash", "--norc", "-eo", "pipefail"],
        input=script,
        cwd=sent,
        env=env,
        text=True,
        capture_output=True,
        check=False,
    )
    report = (sent / "report/report.txt").read_text()
    assert done.returncode == 2, done.stderr
    assert "results/run.py: diff: is no file of a record" in report
    assert "results/portraits-smoke/records/blur/seed-0/record.json: schema" in report
    assert "README" not in report
    assert "this was run" not in report + done.stderr
    assert (sent / "report/number").read_text() == "17\n"
    assert "<script>" not in (sent / "summary").read_text()
