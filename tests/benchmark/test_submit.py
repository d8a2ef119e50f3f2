"""``submit`` and ``validate --submission`` in real repositories: what they do, and that nothing is left when they fail."""

from __future__ import annotations

import html
import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from benchmark.records import read_record
from benchmark.specs import parse_spec
from benchmark.submission.asking import fenced, made_with
from benchmark.submission.handing_in import branch_of
from tests.benchmark.test_validation import (
    BLUR,
    SUITE,
    Data,
    make_result,
    retable,
    rewrite,
    score_of,
    set_card,
    set_in,
    set_top,
)

Invoke = Callable[..., Result]
ROW = f"results/{SUITE}/{BLUR}"
BRANCH = f"submit/{SUITE}/blur-kernel=15"
ANSWERS = ("--by", "Ada", "--conflict-of-interest", "I wrote it", "--training-overlap", "none", "--publishable")


@pytest.fixture(scope="module")
def made(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_result(cache, tmp_path_factory.mktemp("made") / SUITE, "identity", "black", "blur(kernel=15)")


@pytest.fixture(autouse=True)
def own_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings of whoever runs the tests stay out, and ours out of theirs."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def git(repo: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(repo), *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repo(made: Path, tmp_path: Path) -> Path:
    """A repository with the controls of the suite, and somebody at work in it."""
    top = tmp_path / "repo"
    for part in ("records/identity", "records/black", "originals"):
        shutil.copytree(made / part, top / "results" / SUITE / part)
    (top / "code.py").write_text("print()\n")
    git(tmp_path, "init", "-q", "-b", "main", str(top))
    git(top, "config", "user.name", "Ada")
    git(top, "config", "user.email", "ada@example.org")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "start")
    git(top, "checkout", "-qb", "work")
    (top / "code.py").write_text("unfinished\n")
    (top / "staged.py").write_text("staged\n")
    git(top, "add", "staged.py")
    return top


@pytest.fixture
def result(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "mine"))


def state(repo: Path) -> tuple[object, ...]:
    """Everything of a repository that a user could miss: references, index, checkouts, settings, files."""
    told = [git(repo, *words) for words in (
        ("for-each-ref",), ("status", "--porcelain"), ("symbolic-ref", "HEAD"), ("worktree", "list", "--porcelain"),
        ("config", "--local", "--list"), ("ls-files", "--stage"),
    )]  # fmt: skip
    files = {path: path.read_bytes() for path in repo.rglob("*") if path.is_file() and ".git" not in path.parts}
    return (*told, files, sorted(path.name for path in repo.parent.glob("anonbench-*")))


def test_a_branch_holds_the_result_and_nothing_else(invoke: Invoke, repo: Path, result: Path) -> None:
    before = state(repo)
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS)
    assert told.exit_code == 0, told.output
    assert git(repo, "branch", "--list", BRANCH).strip() == BRANCH
    names = git(repo, "diff", "--name-status", f"main...{BRANCH}").split("\n")[:-1]
    own = sorted(path.relative_to(result).as_posix() for path in (result / BLUR).rglob("*") if path.is_file())
    assert names == [f"A\tresults/{SUITE}/{name}" for name in own]
    git(repo, "branch", "-D", BRANCH)
    assert state(repo) == before


def test_the_claims_are_filled_in_and_the_id_stays(invoke: Invoke, repo: Path, result: Path) -> None:
    invoke("submit", (result / BLUR).parent, "--repo", repo / "results", *ANSWERS)
    theirs = json.loads(git(repo, "show", f"{BRANCH}:{ROW}/record.json"))
    mine = json.loads((result / BLUR / "record.json").read_bytes())
    assert theirs["claims"] == {
        "self_reported": True, "submitted_by": "Ada", "conflict_of_interest": "I wrote it", "training_overlap": "none",
        "publishable": True, "reproduced_by": "", "reproduced_utc": "", "max_abs_diff": None, "max_abs_diff_metric": "",
    }  # fmt: skip
    assert theirs["result_id"] == mine["result_id"]
    assert {**theirs, "claims": None} == {**mine, "claims": None}


def test_the_text_of_the_pull_request(invoke: Invoke, repo: Path, result: Path, tmp_path: Path) -> None:
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS, "--body", tmp_path / "body.md")
    body = (tmp_path / "body.md").read_text()
    assert "\n```text\nanonbench run portraits-smoke\n```\n" in body
    assert "only making it again does: f1 (within bounds), f1-train (within bounds), fid, kid, AUC" in body
    for words in ("Conflict of interest: I wrote it", "also in the suite: none", "Licence", "Code", "Weights",
                  f"anonbench reproduce {ROW}", "Submitted by Ada: risk 9"):  # fmt: skip
        assert words in body, words
    assert f"git push origin {BRANCH}" in told.output
    assert "Conflict of interest" not in told.output


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("anonbench run x -e /home/me/my-blur/b.py:Blur(kernel=9)", "anonbench run x -e 'b.py:Blur(kernel=9)'"),
        ("anonbench run x -e '../a b/t.zip' --out=/secret/out/", "anonbench run x -e t.zip --out=out"),
        (r"anonbench run x -e C:\\me\\b.py:B", "anonbench run x -e b.py:B"),
        ("anonbench run 'x", shlex.join(["anonbench", "run", "'x"])),
    ],
)
def test_the_command_is_shown_without_folders(result: Path, typed: str, shown: str) -> None:
    record = read_record(result / BLUR / "record.json")
    assert made_with(record.model_copy(update={"run": record.run.model_copy(update={"command": typed})})) == shown


@pytest.mark.parametrize("evil", ["```", "a ````` b\n```\n# x", "`", ""])
def test_a_fence_cannot_be_ended(evil: str) -> None:
    lines = fenced(evil.replace("\n", " ")).split("\n")
    assert len(lines) == 3
    assert lines[0] == f"{lines[2]}text"
    assert lines[2] not in lines[1]


def test_without_a_terminal_the_options_are_named(invoke: Invoke, repo: Path, result: Path) -> None:
    told = invoke("submit", result / BLUR, "--repo", repo, "--by", "Ada", "--training-overlap", "none")
    assert told.exit_code == 2
    assert "Give --conflict-of-interest, --publishable or --not-publishable" in told.output


def test_at_a_terminal_it_asks(cache: Path, repo: Path, result: Path) -> None:
    """Answers typed at a real terminal; an empty one takes git's name."""
    ours, theirs = pty.openpty()
    words = [
        sys.executable,
        "-c",
        "from benchmark.cli import main; main()",
        "submit",
        str(result / BLUR),
        "--repo",
        str(repo),
    ]
    os.write(ours, b"\nI wrote it\nnone\ny\n")
    done = subprocess.run(words, stdin=theirs, capture_output=True, env={**os.environ, "ANONBENCH_CACHE": str(cache)})
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    said = json.loads(git(repo, "show", f"{BRANCH}:{ROW}/record.json"))["claims"]
    assert (said["submitted_by"], said["conflict_of_interest"], said["publishable"]) == ("Ada", "I wrote it", True)


def hook(repo: Path, name: str, script: str) -> None:
    path = repo / ".git" / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_hooks_of_the_repository_are_not_run(invoke: Invoke, repo: Path, result: Path) -> None:
    """They are for the work of whoever works there: one would refuse, one would add a file, one would fail the checkout."""
    for name in ("pre-commit", "commit-msg", "prepare-commit-msg", "post-checkout", "post-commit"):
        hook(repo, name, f"touch {repo.parent}/ran; echo x > evil; git add evil; exit 1")
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS)
    assert told.exit_code == 0, told.output
    assert not (repo.parent / "ran").exists()
    assert "evil" not in git(repo, "diff", "--name-only", f"main...{BRANCH}")


def test_the_results_that_count_are_those_of_the_base(invoke: Invoke, repo: Path, result: Path) -> None:
    """What is checked out may be something else: an old branch without the suite, or a folder of one's own."""
    shutil.rmtree(repo / "results")
    before = state(repo)
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS)
    assert told.exit_code == 0, told.output
    git(repo, "branch", "-D", BRANCH)
    assert state(repo) == before
    for folder in (result / "records").glob("*/*"):
        rewrite(folder, set_in("suite", name="mine"))
    shutil.copytree(result, repo / "results" / "mine")
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS)
    assert (told.exit_code, f"It has results of {SUITE}" in told.output) == (2, True), told.output


def no_identity(repo: Path, result: Path) -> None:
    git(repo, "config", "--unset", "user.name")
    git(repo, "config", "user.useConfigOnly", "true")
    git(repo, "config", "--unset", "user.email")


def claimed_by_another(repo: Path, result: Path) -> None:
    """A row of the same name by somebody else, on the main branch."""
    tree = repo.parent / "tree"
    git(repo, "worktree", "add", "-q", str(tree), "main")
    shutil.copytree(result / BLUR, tree / ROW)
    rewrite(tree / ROW, set_in("claims", self_reported=True, submitted_by="Eve", conflict_of_interest="none",
                               training_overlap="none", publishable=True))  # fmt: skip
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", "Eve")
    git(repo, "worktree", "remove", str(tree))


def of_another_suite(repo: Path, result: Path) -> None:
    rewrite(result / BLUR, set_in("suite", name="portraits-v9"))


FAILURES: list[tuple[str, Callable[[Path, Path], object], int, str]] = [
    ("a heading of its own", lambda _, result: rewrite(result / BLUR, set_in("suite", title="x")), 2, "suite's title"),
    ("nobody", no_identity, 4, "git config user.name"),
    ("a file gone", lambda _, result: (result / BLUR / "examples" / "0-released.png").unlink(), 4, "0-released.png"),
    ("a tampered record", lambda _, result: rewrite(result / BLUR, set_in("coverage", n_output=3)), 2, "coverage"),
    (
        "an id of another content",
        lambda _, result: rewrite(result / BLUR, set_in("entry", authors="x"), False),
        2,
        ": id: ",
    ),
    ("a failed entrant", lambda _, result: rewrite(result / BLUR, set_top(status="failed")), 2, "the entrant failed"),
    ("a control", lambda _, result: rewrite(result / BLUR, set_in("entry", control=True)), 2, "control row"),
    ("an impostor", lambda _, result: rewrite(result / BLUR, set_in("entry", entry_hash="0" * 64)), 2, "entry_hash"),
    (
        "reproduced already",
        lambda _, result: rewrite(result / BLUR, set_in("claims", reproduced_by="x")),
        2,
        "reproduced",
    ),
    ("another suite", of_another_suite, 2, f"It has results of {SUITE}"),
    ("another hash", lambda _, result: rewrite(result / BLUR, set_in("suite", suite_hash="0" * 64)), 2, "000000000000"),
    ("a branch of that name", lambda repo, _: git(repo, "branch", BRANCH), 2, "exists already"),
    ("another's row", claimed_by_another, 2, "another's row stands there"),
    ("a record that is none", lambda _, result: (result / BLUR / "record.json").write_text("{}"), 2, "is no record"),
    ("a branch in the way", lambda repo, _: git(repo, "branch", "submit"), 2, "git branch -m submit submit-old"),
    (
        "a branch in the way below",
        lambda repo, _: git(repo, "branch", f"submit/{SUITE}"),
        2,
        f"git branch -m submit/{SUITE} ",
    ),
]


@pytest.mark.parametrize(("harm", "code", "words"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
def test_whatever_fails_nothing_is_left(
    invoke: Invoke, repo: Path, result: Path, harm: Callable[[Path, Path], object], code: int, words: str
) -> None:
    harm(repo, result)
    before = state(repo)
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS)
    assert (told.exit_code, words in told.output) == (code, True), told.output
    assert state(repo) == before


def test_a_full_disk_leaves_nothing(
    invoke: Invoke, repo: Path, result: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A folder for temporary files that takes nothing stands in for the disk."""
    (tmp_path / "file").write_text("")
    before = state(repo)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS)
    assert told.exit_code == 4, told.output
    assert state(repo) == before


def test_what_may_not_be_published_is_refused(invoke: Invoke, repo: Path, result: Path) -> None:
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS[:-1], "--not-publishable")
    assert told.exit_code == 2
    assert "may not be published" in told.output


def test_outside_a_repository(invoke: Invoke, result: Path) -> None:
    told = invoke("submit", result / BLUR, "--repo", result, *ANSWERS)
    assert told.exit_code == 2
    assert "in no git repository" in told.output


def test_several_entrants_are_several_submissions(invoke: Invoke, repo: Path, result: Path) -> None:
    told = invoke("submit", result, "--repo", repo, *ANSWERS)
    assert told.exit_code == 2
    assert "several entrants" in told.output


def test_pictures_of_real_people_are_left_out(invoke: Invoke, repo: Path, result: Path) -> None:
    """A suite that is not known to render its people: the row is handed in without pictures, under its new id."""
    for folder in [*(repo / "results" / SUITE / "records").glob("*/*"), result / BLUR]:
        rewrite(folder, set_in("suite", name="real-faces", synthetic=False))
    git(repo, "mv", f"results/{SUITE}", "results/real-faces")
    for path in (repo / "results/real-faces/records").glob("*/*"):
        rewrite(path, set_top(examples=[]))
        shutil.rmtree(path / "examples")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "real faces")
    git(repo, "branch", "-qf", "main", "HEAD")
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS)
    assert told.exit_code == 0, told.output
    assert "Pictures were left out" in told.output
    branch = "submit/real-faces/blur-kernel=15"
    names = git(repo, "diff", "--name-only", f"main...{branch}").split()
    assert {Path(name).name for name in names} == {"record.json", "per_image.parquet", "environment.txt"}
    record = json.loads(git(repo, "show", f"{branch}:results/real-faces/{BLUR}/record.json"))
    assert record["examples"] == []


@pytest.fixture
def clone(invoke: Invoke, repo: Path, result: Path, tmp_path: Path) -> Path:
    """The submission as it is checked out elsewhere to be validated."""
    assert invoke("submit", result / BLUR, "--repo", repo, *ANSWERS).exit_code == 0
    git(tmp_path, "clone", "-q", "-b", BRANCH, str(repo), "clone")
    git(tmp_path / "clone", "config", "user.name", "Eve")
    git(tmp_path / "clone", "config", "user.email", "eve@example.org")
    return tmp_path / "clone"


def judged(invoke: Invoke, clone: Path, harm: Callable[[], object] = lambda: None) -> Result:
    harm()
    git(clone, "add", "-A", "-f")
    git(clone, "commit", "-qm", "more", "--allow-empty")
    return invoke("validate", "--root", clone, "--submission", "origin/main")


def test_a_submission_passes(invoke: Invoke, clone: Path) -> None:
    told = judged(invoke, clone)
    assert told.exit_code == 0, told.output
    *notes, summary = told.output.splitlines()
    assert summary == f"1 records, 0 problems, {len(notes)} notes"
    assert [line for line in notes if "only making" in line or "nothing in the record checks: f1 (within" in line]


def test_a_branch_that_main_went_on_without_still_passes(invoke: Invoke, clone: Path, repo: Path) -> None:
    git(repo, "stash", "-q", "-u")
    git(repo, "checkout", "-q", "main")
    (repo / "new.py").write_text("x")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "goes on")
    git(clone, "fetch", "-q")
    assert judged(invoke, clone).exit_code == 0


def test_a_branch_is_judged_without_being_checked_out(invoke: Invoke, repo: Path, clone: Path) -> None:
    before = state(repo)
    told = invoke("validate", "--root", repo, "--submission", "main", BRANCH)
    assert (told.exit_code, "1 records, 0 problems" in told.output) == (0, True), told.output
    assert state(repo) == before


@pytest.mark.parametrize("slug", ["my_blur.MyBlur", "a..b", ".a", "a.lock", "a.", "-a", "x-strength=1.5"])
def test_every_slug_gives_a_branch_that_git_takes(result: Path, slug: str) -> None:
    name = branch_of(read_record(result / BLUR / "record.json"), slug)
    assert subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True).returncode == 0
    assert name.startswith(f"submit/{SUITE}/")
    assert slug not in ("my_blur.MyBlur", "x-strength=1.5") or name.endswith(f"/{slug}")


def move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def own_board(top: Path, name: str) -> None:
    """A whole board with controls of one's own."""
    shutil.copytree(top / "results" / SUITE, top / "results" / name)
    for folder in (top / "results" / name / "records").glob("*/*"):
        said = {
            "self_reported": True,
            "submitted_by": "Ada",
            "conflict_of_interest": "none",
            "training_overlap": "none",
        }
        rewrite(folder, lambda data, said=said: (  # type: ignore[misc]
            data["claims"].update(said, publishable=True), data["suite"].update(name=name), data["entry"].update(control=False)
        ))  # fmt: skip


def renamed(top: Path, name: str) -> None:
    spec = parse_spec(name)
    rewrite(top / ROW, set_in("entry", name=name, family=spec.family, params=dict(spec.params)))
    move(top / ROW, top / "results" / SUITE / "records" / spec.slug / "seed-0")


def seeded(top: Path, seed: int, moved: bool = False) -> None:
    """The row under another seed."""
    target = (top / ROW).parent / f"seed-{seed}"
    shutil.copytree(top / ROW, target)
    rewrite(target, lambda data: (data.update(seed=seed), data["run"].update(seed=seed)))
    retable(target, lambda frame: frame.assign(seed=seed))
    if moved:
        shutil.rmtree(top / ROW)


def extra_metric(data: Data) -> None:
    data["metrics"].insert(0, {**data["metrics"][-1], "name": "mine", "title": "Safety", "group": "privacy"})
    data["scores"].insert(0, {**data["scores"][-1], "metric": "mine"})


def extra_attacker(data: Data) -> None:
    card = next(card for card in data["metrics"] if card["name"] == "static")
    data["metrics"].append({**card, "name": "mine"})
    data["scores"].append({**score_of(data, "static"), "metric": "mine"})


def turned_round(data: Data) -> None:
    for part in ("metrics", "scores"):
        data[part].reverse()


def without_value(metric: str, status: str = "unavailable") -> Callable[[Data], None]:
    return lambda data: score_of(data, metric).update(value=None, status=status, reason="x", interval=None)


def borrowed(top: Path) -> None:
    for path in (top / "results" / SUITE / "records/black/seed-0/examples").iterdir():
        shutil.copy(path, top / ROW / "examples" / path.name)


HARMS: list[tuple[str, Callable[[Path], object], str]] = [
    ("code", lambda top: (top / "code.py").write_text("import os"), "code.py: diff: is no file of a record"),
    ("workflow", lambda top: [(top / ".github").mkdir(), (top / ".github" / "ci.yml").write_text("x")], ".github/ci.yml: diff"),
    ("board", lambda top: (top / "results" / SUITE / "index.html").write_text("x"), "index.html: diff"),
    ("attributes of git", lambda top: (top / ROW / ".gitattributes").write_text("* filter=x"), ".gitattributes: diff"),
    ("an original", lambda top: (top / "results" / SUITE / "originals" / "x.png").write_text("x"), "originals/x.png: diff"),
    ("a control deleted", lambda top: shutil.rmtree(top / "results" / SUITE / "records/black"), "is deleted"),
    ("a control changed", lambda top: rewrite(top / "results" / SUITE / "records/black/seed-0", set_in("entry", authors="x")),
     "another's row stands there"),
    ("a table of a control", lambda top: shutil.copy(top / ROW / "per_image.parquet",
                                                      top / "results" / SUITE / "records/black/seed-0/per_image.parquet"),
     "stays as it was"),
    ("a link", lambda top: [(top / ROW / "environment.txt").unlink(), (top / ROW / "environment.txt").symlink_to("/etc/passwd")],
     "environment.txt: diff: is a link"),
    ("a program", lambda top: (top / ROW / "environment.txt").chmod(0o755), "is marked as a program"),
    ("a file renamed", lambda top: move(top / "code.py", top / ROW / "environment.txt"), "code.py: diff"),
    ("not claimed", lambda top: rewrite(top / ROW, set_in("claims", self_reported=False)), "not say that it is self-reported"),
    ("reproduced by itself", lambda top: rewrite(top / ROW, set_in(
        "claims", reproduced_by="Ada", reproduced_utc="2026-01-01T00:00:00Z", max_abs_diff=0.0, max_abs_diff_metric="risk",
    )), "only the maintainers say so"),
    ("a control handed in", lambda top: rewrite(top / ROW, set_in("entry", control=True)), "control row"),
    ("another suite folder", lambda top: move(top / ROW, top / "results/mine" / BLUR), "mine is no board that exists"),
    ("a board of one's own", lambda top: own_board(top, "aaa"), "aaa is no board that exists"),
    ("a board among publications", lambda top: own_board(top, "reported"), "among the figures from publications"),
    ("the board in capitals", lambda top: own_board(top, SUITE.title()), f"{SUITE.title()} is no board that exists"),
    ("a control under another name", lambda top: renamed(top, "identity(x=1)"), "control row"),
    ("shown under another's name", lambda top: rewrite(top / ROW, set_in("entry", name="mine", family="mine", params={},
                                                                         display_name="Black")), "shown as Black"),
    ("a name in capitals", lambda top: renamed(top, "Black"), "in capital letters alone"),
    ("another seed alone", lambda top: seeded(top, 3, moved=True), "seed 0, under which the controls stand, is missing"),
    ("a seed of another method", lambda top: (seeded(top, 3), rewrite(top / ROW, set_in("entry", entry_hash="0" * 64))),
     "its entry_hash is not that of seed-3"),
    ("a seed of another person", lambda top: (seeded(top, 3), rewrite(top / ROW, set_in("claims", submitted_by="Eve"))),
     "its submitted_by is not that of seed-3"),
    ("a metric of one's own", lambda top: rewrite(top / ROW, extra_metric), "mine is no metric of the control"),
    ("an attacker of one's own", lambda top: rewrite(top / ROW, extra_attacker), "mine is no metric of the control"),
    ("other weights of an attacker", lambda top: rewrite(top / ROW, set_card("static", weights={"w": "0" * 64})),
     "computed with the weights w"),
    ("metrics in another order", lambda top: rewrite(top / ROW, turned_round),
     "in another order"),
    ("a metric unavailable", lambda top: rewrite(top / ROW, without_value("ssim")), "ssim is 'unavailable' (x)"),
    ("a metric without values failed", lambda top: rewrite(top / ROW, without_value("fid(features=recogniser)", "failed")),
     "fid(features=recogniser) is 'failed' (x)"),
    ("no decibels", lambda top: rewrite(top / ROW, without_value("psnr", "not-applicable")), "psnr is 'not-applicable' (x)"),
    ("an interval taken away", lambda top: rewrite(top / ROW, lambda data: score_of(data, "ssim").update(interval=None)),
     "ssim has no interval"),
    ("submitted by the board", lambda top: rewrite(top / ROW, set_in("claims", submitted_by=" The  Maintainers of this board")),
     "do not submit claims"),
    ("pictures of another row", lambda top: borrowed(top), "all its examples are those of black"),
    ("an original of another picture", lambda top: rewrite(top / ROW, lambda data: data["examples"][0].update(
        original=data["examples"][1]["original"])), "another original than the controls do"),
    ("another heading of the board", lambda top: rewrite(top / ROW, set_in("suite", title="Buy this")), "suite's title"),
    ("another heading of a column", lambda top: rewrite(top / ROW, set_card("ssim", title="Buy")), "its title is worded"),
    ("supersedes nothing", lambda top: rewrite(top / ROW, set_top(supersedes="0" * 64)), "none stands there"),
    ("numbers", lambda top: rewrite(top / ROW, lambda data: data["scores"][0].update(value=0.0, interval=None)), "risk is 0"),
]  # fmt: skip


@pytest.mark.parametrize(("harm", "words"), [case[1:] for case in HARMS], ids=[case[0] for case in HARMS])
def test_a_submission_touches_its_own_row_alone(
    invoke: Invoke, clone: Path, harm: Callable[[Path], object], words: str
) -> None:
    told = judged(invoke, clone, lambda: harm(clone))
    assert (told.exit_code, words in told.output) == (2, True), told.output


def test_a_submodule_is_named(invoke: Invoke, clone: Path) -> None:
    entry = f"160000,{git(clone, 'rev-parse', 'HEAD').strip()},{ROW}/environment.txt"
    git(clone, "rm", "-q", "--cached", f"{ROW}/environment.txt")
    git(clone, "update-index", "--add", "--cacheinfo", entry)
    git(clone, "commit", "-qm", "sub")
    (clone / ROW / "environment.txt").unlink()
    (clone / ROW / "environment.txt").mkdir()
    told = invoke("validate", "--root", clone, "--submission", "origin/main")
    assert "is a submodule" in told.output, told.output


def test_files_that_are_not_committed_are_not_judged(invoke: Invoke, clone: Path) -> None:
    (clone / "results" / "more.txt").write_text("x")
    told = invoke("validate", "--root", clone, "--submission", "origin/main")
    assert told.exit_code == 2
    assert "not committed" in told.output


def test_an_unknown_base(invoke: Invoke, clone: Path) -> None:
    told = invoke("validate", "--root", clone, "--submission", "--upload-pack=x")
    assert told.exit_code == 2
    assert "no commit is called" in told.output


def test_ones_own_claim_may_be_replaced(invoke: Invoke, clone: Path, repo: Path, result: Path) -> None:
    git(repo, "branch", "-qf", "main", BRANCH)
    git(repo, "branch", "-qD", BRANCH)
    rewrite(result / BLUR, set_in("entry", authors="Ada"))
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS)
    assert told.exit_code == 0, told.output
    before, after = (json.loads(git(repo, "show", f"{name}:{ROW}/record.json")) for name in ("main", BRANCH))
    assert after["supersedes"] == before["result_id"] != after["result_id"]
    told = invoke("validate", "--root", repo, "--submission", "main", BRANCH)
    assert told.exit_code == 0, told.output
    assert "replaces the row of Ada: a maintainer must confirm that Ada asks for it" in told.output
    shown = invoke("validate", "--root", repo, "--submission", "main", BRANCH, "--format", "markdown").output
    assert "replaces the row of Ada" in html.unescape(shown)
    git(repo, "branch", "-qD", BRANCH)
    other = ["Bob" if word == "Ada" else word for word in ANSWERS]
    assert "another's row stands there" in invoke("submit", result / BLUR, "--repo", repo, *other).output


def test_the_same_again_is_nothing_to_hand_in(invoke: Invoke, clone: Path, repo: Path, result: Path) -> None:
    git(repo, "branch", "-qf", "main", BRANCH)
    git(repo, "branch", "-qD", BRANCH)
    before = state(repo)
    told = invoke("submit", result / BLUR, "--repo", repo, *ANSWERS)
    assert told.exit_code == 2
    assert "nothing to hand in" in told.output
    assert state(repo) == before


def test_without_weight_files_a_row_is_handed_in(invoke: Invoke, clone: Path) -> None:
    """The controls have a number that needs a file; the submitter has no such file."""
    controls = [clone / "results" / SUITE / "records" / name / "seed-0" for name in ("identity", "black")]
    for folder in controls:
        rewrite(folder, set_card("ssim", weights={"net": "1" * 64}))
    git(clone, "commit", "-qam", "controls")
    git(clone, "branch", "-q", "base")
    lacking = without_value("ssim")
    rewrite(clone / ROW, lambda data: (lacking(data), score_of(data, "ssim").update(n=192, n_clusters=0)))
    retable(clone / ROW, lambda frame: frame[frame.metric != "ssim"])
    git(clone, "commit", "-qam", "row")
    told = invoke("validate", "--root", clone, "--submission", "base")
    assert "ssim" not in told.output.replace("anonbench", ""), told.output
    rewrite(clone / ROW, set_card("ssim", weights={"net": "2" * 64}))
    git(clone, "commit", "-qam", "other weights")
    told = invoke("validate", "--root", clone, "--submission", "base")
    assert "ssim was computed with the weights net" in told.output
    assert "ssim is 'unavailable'" in told.output


def test_seeds_that_are_added_to_a_claim_are_noted(invoke: Invoke, clone: Path) -> None:
    git(clone, "branch", "-q", "base")
    seeded(clone, 3)
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "seed 3")
    told = invoke("validate", "--root", clone, "--submission", "base")
    assert told.exit_code == 0, told.output
    assert "adds seed 3 to the row of Ada: a maintainer must confirm that Ada asks for it" in told.output


def test_what_maintainers_have_to_know_is_noted(invoke: Invoke, clone: Path) -> None:
    long_ago = "1999-01-01T00:00:00Z"
    rewrite(clone / ROW, lambda data: (
        data["run"].update(harness_dirty=True, packages={}, started_utc=long_ago, ended_utc=long_ago),
        data.update(created_utc=long_ago),
    ))  # fmt: skip
    told = judged(invoke, clone)
    assert told.exit_code == 0, told.output
    for words in ("harness_dirty", "no versions of the packages", f"made at {long_ago}"):
        assert words in told.output
