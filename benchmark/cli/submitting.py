"""Rows from elsewhere: ``validate``, ``submit`` and ``reproduce``."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.cli.options import FOLDER, SuiteChoice, open_pipeline, stacked
from benchmark.errors import UsageError

if TYPE_CHECKING:
    from benchmark.pipeline import Pipeline
    from benchmark.records import Record
    from benchmark.submission.handing_in import Answers
    from benchmark.submission.places import Place
    from benchmark.submission.reproducing import Outcome


@click.command()
@click.argument("paths", nargs=-1, type=FOLDER, metavar="[PATH...]")
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@click.option(
    "--submission", metavar="BASE", help="Also hold what was committed since BASE against the rules for submissions."
)
@click.option("--root", type=FOLDER, help="Checkout that PATH lies in. Default: the working directory.")
def validate(paths: tuple[Path, ...], form: str, submission: str | None, root: Path | None) -> None:
    """Holds results against all rules: PATH is a result folder, a folder of them, or one record's. Default: results.

    With --submission, PATH is a folder of result folders, or a branch that `anonbench submit` made. Nothing that lies
    there is executed. Exit code 2 if anything is wrong.
    """
    from benchmark.submission.known import Known
    from benchmark.submission.problems import FORMATS
    from benchmark.submission.validating import validate as validated

    place, chosen = root or Path.cwd(), paths or (Path("results"),)
    if submission is None:
        report = validated([place / path for path in chosen], place.absolute() if root else Path.cwd(), Known())
    else:
        report = _of_branch(chosen, submission, place)
    click.echo(FORMATS[form](report), nl=False)
    if report.problems:
        click.get_current_context().exit(2)


def _of_branch(paths: tuple[Path, ...], base: str, root: Path) -> Any:
    from benchmark.submission.changes import open_submission, validate_submission
    from benchmark.submission.git import commit_of, known_ref, top_of
    from benchmark.submission.handing_in import RESULTS, looked_at
    from benchmark.submission.known import Known

    if len(paths) > 1:
        raise UsageError(
            "--submission looks at one folder of results. Name one PATH, as in: anonbench validate results"
        )
    if (root / paths[0]).is_dir() or not known_ref(top_of(root), f"refs/heads/{paths[0].as_posix()}"):
        return validate_submission(open_submission(root, base, paths[0]), Known())
    with looked_at(top_of(root), paths[0].as_posix()) as tree:
        return validate_submission(open_submission(tree, commit_of(root, base), Path(RESULTS)), Known())


@click.command()
@click.argument("result", type=FOLDER)
@click.option(
    "--repo", type=FOLDER, help="Repository that holds results/. Default: the one around the working directory."
)
@click.option("--by", help="Your name, as it will stand on the board.")
@click.option("--conflict-of-interest", metavar="TEXT", help="What ties you to the method; 'none' if nothing does.")
@click.option(
    "--training-overlap", metavar="TEXT", help="What the method learned from that is also in the suite, or 'none'."
)
@click.option(
    "--publishable/--not-publishable",
    default=None,
    help="Whether pictures and numbers may be published under the licence of the board.",
)
@click.option(
    "--body", type=click.Path(path_type=Path, dir_okay=False), help="Write the text of the pull request to a file."
)
def submit(result: Path, repo: Path | None, body: Path | None, **given: Any) -> None:
    """Makes a branch that hands in RESULT, a record's folder or an entrant's with all its seeds.

    What you have checked out is not touched; nothing is pushed.
    """
    from benchmark.submission.asking import next_steps, pull_request
    from benchmark.submission.handing_in import Refused
    from benchmark.submission.handing_in import submit as handed_in

    answers = _answers(repo or Path.cwd(), given)
    try:
        made = handed_in(result, repo or Path.cwd(), answers)
    except Refused as refused:
        for problem in refused.problems:
            click.echo(problem.line, err=True)
        raise
    click.echo(next_steps(made))
    if body is None:
        click.echo(pull_request(made), nl=False)
        return
    body.write_text(pull_request(made), encoding="utf-8")
    click.echo(f"The text is in {body}.")


def _answers(repo: Path, given: dict[str, Any]) -> Answers:
    """What was given, and what the user answers to questions where there is a terminal to ask at."""
    from benchmark.submission.handing_in import Answers, author_of

    options = {"by": "--by", "conflict_of_interest": "--conflict-of-interest", "training_overlap": "--training-overlap",
               "publishable": "--publishable or --not-publishable"}  # fmt: skip
    missing = [name for name in options if given[name] is None]
    if missing and not sys.stdin.isatty():
        raise UsageError(f"there is no terminal to ask at. Give {', '.join(options[name] for name in missing)}")
    for name in missing:
        given[name] = _asked(name, author_of(repo))
    empty = [name for name in ("by", "conflict_of_interest", "training_overlap") if not given[name].strip()]
    if empty:
        raise UsageError(f"{options[empty[0]]} is empty. Write 'none' if there is nothing to say")
    return Answers(given["by"], given["conflict_of_interest"], given["training_overlap"], given["publishable"])


def _asked(name: str, author: str) -> str | bool:
    questions = {
        "by": "Your name, as it will stand on the board",
        "conflict_of_interest": "What ties you to the method ('none' if nothing does)",
        "training_overlap": "What it learned from that is also in the suite, or 'none'",
    }
    if name == "publishable":
        return click.confirm("May pictures and numbers be published under the licence of the board?")
    answer: str = click.prompt(questions[name], default=(author or None) if name == "by" else None)
    return answer


suite_choice = stacked(
    click.option("--data", type=FOLDER, help="Folder with the images, for suites that read one."),
    click.option("--size", type=click.IntRange(16, 1024), help="Side of the images in pixels, for suites of folders."),
    click.option("--group", "groups", multiple=True, metavar="NAME=CUT[,CUT]", help="Where to cut a numeric attribute."),
    click.option("--referee", help="Architecture of the referees of a folder."),
)  # fmt: skip


@click.command()
@click.argument("result", type=FOLDER)
@click.option(
    "-e", "--entrant", metavar="SPEC", help="What to run, as a file or an archive. Default: the record's name."
)
@click.option("--by", help="Your name, as it will stand on the board. Default: git's user.name.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Largest difference: absolute of shares, relative of other numbers. With more than that nothing is marked.",
)
@suite_choice
@click.option("--threads", type=click.IntRange(1), help="Computing threads. Default: the cores that are idle.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, help="Images per batch.")
@click.option("--device", help="Torch device. Default: cuda where there is one, else cpu.")
def reproduce(result: Path, entrant: str | None, by: str | None, tolerance: float, **options: Any) -> None:
    """Runs the entrant of a claimed RESULT again and marks it as reproduced if all that it says agrees.

    Nothing that was kept of earlier runs is used. Exit code 1 if something differs; nothing is changed then.
    """
    from benchmark.registry import build_entrant
    from benchmark.submission.reproducing import installed_spec
    from benchmark.submission.reproducing import reproduce as reproduced

    place, record = _one_record(result)
    by, built = _who(by, record), build_entrant(entrant or installed_spec(record))
    with tempfile.TemporaryDirectory(prefix="anonbench-reproduce-") as folder:
        pipeline = _pipeline(record, Path(folder) / "out", options)
        outcome = reproduced(record, pipeline, built, tolerance)
    _tell(place, outcome, by)


def _one_record(result: Path) -> tuple[Place, Record]:
    from benchmark.submission.places import places_under
    from benchmark.submission.validating import Unreadable, read_safely

    places = places_under(result)
    if len(places) > 1:
        raise UsageError(f"{result} holds {len(places)} records. Name one, as in: {places[0].folder}")
    try:
        return places[0], read_safely(places[0].record)
    except Unreadable as error:
        raise UsageError(f"{places[0].record} {error}. Try: anonbench validate {places[0].folder}") from error


def _who(by: str | None, record: Record) -> str:
    from benchmark.submission.handing_in import author_of
    from benchmark.submission.reproducing import nobody_certifies_itself

    name = by or author_of(Path.cwd())
    if record.claims.self_reported and not (name.strip() and name.isprintable()):
        raise UsageError("say who reproduces it: --by NAME")
    nobody_certifies_itself(record, name)
    return name


def _pipeline(record: Record, out: Path, options: dict[str, Any]) -> Pipeline:
    """On the record's suite, with the metrics that the record has beyond the suite's."""
    from benchmark.registry import names
    from benchmark.submission.reproducing import further_metrics

    if record.suite.name not in names("suites"):
        raise UsageError(
            f"no suite is called '{record.suite.name}' here. Install the anonbench or the package that has it"
        )
    choice = SuiteChoice(record.suite.name, *(options[name] for name in ("data", "size", "groups", "referee")))
    threads, batch_size, device = (options[name] for name in ("threads", "batch_size", "device"))
    first = open_pipeline(choice, out, threads, batch_size, device)
    further = further_metrics(record, [metric.card.name for metric in first.scorer.metrics])
    return open_pipeline(choice, out, threads, batch_size, device, further) if further else first


def _tell(place: Place, outcome: Outcome, by: str) -> None:
    """Says what came of it, and writes it down if all agrees."""
    from benchmark.submission.comparing import as_table
    from benchmark.submission.reproducing import TOLERANCE, mark_reproduced

    entry = outcome.claimed.entry
    for part in outcome.left_out:
        click.echo(f"{part.what}: not compared, {part.left_out}")
    click.echo(f"Released images: {_bytes(outcome)}.")
    if outcome.disagreements:
        click.echo(as_table(outcome.disagreements))
        click.echo(
            f"{entry.name} is not reproduced: {len(outcome.disagreements)} things differ. Nothing was changed.",
            err=True,
        )
        click.get_current_context().exit(1)
    largest = outcome.largest
    assert largest is not None
    said = f"Largest difference: {largest.difference:g} ({largest.what})."
    if not outcome.claimed.claims.self_reported:
        click.echo(f"{entry.name}: every number agrees. {said} It is no claim, so there is nothing to mark.")
    elif outcome.share > TOLERANCE:
        click.echo(
            f"{entry.name}: agrees within {outcome.share:g}. {said} More than {TOLERANCE:g}: nothing was marked."
        )
    else:
        mark_reproduced(place.record, outcome, by)
        click.echo(f"{entry.name} is reproduced by {by}. {said} Written to {shlex.quote(str(place.record))}")


def _bytes(outcome: Outcome) -> str:
    if outcome.same_bytes:
        return "the same, byte for byte"
    promised = outcome.claimed.entry.deterministic
    return "not the same bytes" + (", though the method says that it is deterministic" if promised else "")
