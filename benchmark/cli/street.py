"""The street as commands: ``anonymize``, ``score``, ``leaderboard``, and ``run``, which is all three."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.cli.options import (
    FOLDER,
    SuiteChoice,
    build_entrants,
    default_out,
    open_pipeline,
    run_options,
    suite_options,
)
from benchmark.errors import EntrantError, NothingComparable, did_you_mean

if TYPE_CHECKING:
    from benchmark.records import MetricCard, Record, Score


def _say(text: str) -> None:
    click.echo(text, err=True)


def _prepare(options: dict[str, Any]) -> tuple[Any, Any, int]:
    choice = SuiteChoice(*(options[name] for name in ("suite", "data", "size", "groups", "referee")))
    settings = (options[name] for name in ("out", "threads", "batch_size", "device", "metrics"))
    pipeline = open_pipeline(choice, *settings)
    return pipeline, build_entrants(options["entrants"], pipeline.suite), options["seed"]


@click.command()
@suite_options
@run_options
def run(**options: Any) -> None:
    """Anonymizes, scores and renders the board of SUITE.

    What an earlier or killed run finished is reused.
    """
    from benchmark.board import render_board
    from benchmark.pipeline import run_all

    pipeline, entrants, seed = _prepare(options)
    failed = []
    for number, record in enumerate(run_all(pipeline, entrants, seed), 1):
        _say(f"[{number}/{len(entrants)}] {summary(record)}")
        failed += [record] if record.status == "failed" else []
    page = render_board(pipeline.out)
    _say(f"Board: {page}\nOpen it with: xdg-open {shlex.quote(str(page))}")
    _stop_if_failed(failed)


@click.command()
@suite_options
@run_options
def anonymize(**options: Any) -> None:
    """Step 1: lets entrants release the probe images of SUITE and keeps them."""
    from benchmark.release import EntrantFailed

    pipeline, entrants, seed = _prepare(options)
    failed = []
    for entrant in entrants:
        try:
            release = pipeline.anonymize(entrant, seed)
            _say(f"{entrant.spec}: {len(release)} images {'found' if release.reused else 'released'}")
        except EntrantFailed as error:
            failed.append(error)
            _say(f"{entrant.spec}: failed: {error}")
    if failed:
        raise EntrantError(f"{len(failed)} of {len(entrants)} entrants failed; first: {failed[0]}")


@click.command()
@suite_options
@run_options
def score(**options: Any) -> None:
    """Step 2: scores what was anonymized of SUITE and writes the records."""
    pipeline, entrants, seed = _prepare(options)
    missing = []
    for entrant in entrants:
        try:
            _say(summary(pipeline.score(entrant, seed)))
        except NothingComparable as error:
            missing.append(error)
    if missing:
        raise missing[0]


def summary(record: Record) -> str:
    """One line about a record: its first score of every group, or what went wrong, and what it is flagged for."""
    if record.status == "failed":
        return f"{record.entry.name}: failed: {record.coverage.failures[0].message}"
    parts, seen = [], set()
    for card in record.metrics:
        score = record.score(card.name)
        text = "" if score is None or card.group in seen else _in_words(card, score)
        if text:
            seen.add(card.group)
            parts.append(text)
    parts += [f"metrics that failed: {', '.join(broken)}"] if (broken := _broken(record)) else []
    flags = f" [{', '.join(sorted(record.flags))}]" if record.flags else ""
    return f"{record.entry.name}{flags}: {', '.join(parts)}"


def _in_words(card: MetricCard, score: Score) -> str:
    """Title and value; no other attacker stands in for a missing risk. Empty where there is nothing to say."""
    if score.value is None:
        return f"{card.title} not ranked: {score.reason}" if _not_ranked(card, score) else ""
    unit = "" if card.unit == "1" else f" {card.unit}".rstrip()
    value = f"{100 * score.value:.1f} %" if card.unit == "share" else f"{score.value:.2f}{unit}"
    return f"{card.title} {value}" + (f" by {score.by}" if score.by else "")


def _not_ranked(card: MetricCard, score: Score) -> bool:
    from benchmark.records import RISK

    return card.name == RISK and score.status == "unavailable"


def _broken(record: Record) -> list[str]:
    return [score.metric for score in record.scores if score.status == "failed"]


def _stop_if_failed(failed: list[Record]) -> None:
    if failed:
        first = failed[0].coverage.failures[0]
        name = failed[0].entry.name
        _say(f"Error: failed entrants: {len(failed)}; first: {name}: {first.message}")
        environment = all(part.coverage.failures[0].kind == "environment" for part in failed)
        sys.exit(4 if environment else 3)


@click.command()
@click.argument("suite", required=False, default="portraits-smoke")
@click.option("--out", type=FOLDER, help="Folder of the records. Default: leaderboard/SUITE.")
@click.option("--format", "form", type=click.Choice(["html", "json", "csv"]), default="html", show_default=True)
def leaderboard(suite: str, out: Path | None, form: str) -> None:
    """Step 3: renders the board from the records of SUITE, or prints it as a table."""
    from benchmark import board

    folder = out or default_out(SuiteChoice(suite, None, None, (), None))
    if out is None and not folder.is_dir():
        near = did_you_mean(suite, [path.name for path in folder.parent.glob("*") if path.is_dir()])
        raise NothingComparable(
            f"there are no results of '{suite}' in {folder.parent}.{near} Try: anonbench run {suite}"
        )
    if form == "html":
        click.echo(board.render_board(folder))
        return
    records = board.load_records(folder)
    click.echo(board.as_csv(records) if form == "csv" else board.as_json(records), nl=False)
