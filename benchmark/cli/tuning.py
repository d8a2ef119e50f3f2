"""The command ``tune``: a few metrics of one entrant over the values of a parameter, and the value that is suggested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from benchmark.cli.options import SuiteChoice, open_pipeline, run_options, suite_options
from benchmark.errors import NothingComparable, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmark.tuning import Tuning


@click.command()
@suite_options
@run_options
@click.option(
    "--over",
    required=True,
    metavar="NAME=FIRST..LAST",
    help="The parameter and its values: k=2..20, k=2..20..3 or k=2,5,10.",
)
def tune(over: str, **options: Any) -> None:
    """Measures one entrant of SUITE over the values of a parameter, without attackers.

    Measured are the metrics given with -m, those the entrant brings along, and the suite's utility by attribute. The
    first of them is the one whose knee is looked for, among the values at which every metric that says how large it may
    be was measured, and is no larger.
    """
    from benchmark.sweeping import sweep_of
    from benchmark.sweeping import tune as measured

    if len(options["entrants"]) != 1:
        raise UsageError(f"{len(options['entrants'])} entrants were named and one is tuned; name it with -e")
    sweep = sweep_of(options["entrants"][0], over)
    choice = SuiteChoice(*(options[name] for name in ("suite", "data", "size", "groups", "referee")))
    settings = (options[name] for name in ("out", "threads", "batch_size", "device", "metrics"))
    pipeline = open_pipeline(choice, *settings)
    report = measured(pipeline, sweep, options["seed"], lambda text: click.echo(text, err=True))
    _written(report, pipeline.out)


def _written(report: Tuning, out: Path) -> None:
    from benchmark.board import render_board
    from benchmark.store import write_atomic
    from benchmark.tuning import FOLDER

    path = out / FOLDER / f"{report.name}.json"
    write_atomic(path, (report.model_dump_json(indent=1) + "\n").encode())
    what = (
        f"suggested: {report.parameter} = {report.knee.value}"
        if report.knee
        else f"nothing suggested: {report.no_knee}"
    )
    for line in _doubts(report):
        click.echo(line, err=True)
    click.echo(f"{report.entrant} over {report.parameter}: {what}\nReport: {path}", err=True)
    try:
        click.echo(f"Board: {render_board(out)}", err=True)
    except NothingComparable:
        click.echo(f"There is no board yet. Type: anonbench run {report.suite_name} --out {out}", err=True)


def _doubts(report: Tuning) -> Iterator[str]:
    """What was refused or not measured, a line each."""
    failed = report.failures
    for value, refusal in report.refused().items():
        if str(value) not in failed:
            yield f"{report.parameter} = {value} is refused: {refusal.metric} {refusal.why}"
    for metric, reason, values in report.missing():
        yield f"{metric} not measured at {report.parameter} = {', '.join(values)}: {reason}"
    if not report.bounded:
        yield "No metric says how large it may be, so no value is called allowed"
