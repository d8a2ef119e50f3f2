"""``anonbench perceptanon panel|correlate``: studies with simulated judges, and metrics against the scores of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.cli.look import FORMAT, print_rows
from benchmark.cli.options import FOLDER

if TYPE_CHECKING:
    from benchmark.correlations import CorrelationTable
    from benchmark.protocols import Report, Suite

STUDY = click.option("--study", type=click.Choice(["HA1", "HA2"]), default="HA2", show_default=True)
THREADS = click.option("--threads", type=click.IntRange(1), help="Computing threads. Default: the cores that are idle.")


@click.command()
@click.argument("suite")
@click.option("--out", type=FOLDER, required=True, help="Folder of the study.")
@click.option(
    "--people", type=click.Choice(["background", "evaluated"]), default="background", show_default=True,
    help="Whose photographs: background people to train on, evaluated people to measure on.",
)  # fmt: skip
@click.option(
    "-e", "--entrant", "entrants", multiple=True, metavar="SPEC",
    help="Default: the suite's list without entrants that use a recogniser or train photographs.",
)  # fmt: skip
@click.option("--variants", type=click.IntRange(1), default=6, show_default=True, help="Released images per original.")
@THREADS
def panel(suite: str, out: Path, people: str, entrants: tuple[str, ...], variants: int, threads: int | None) -> None:
    """Lets a SIMULATED panel judge released images of SUITE.

    Writes HA1.csv and HA2.csv with their images. The judges are small networks, not people, and study.json says so.
    """
    from benchmark.machine import use_threads
    from benchmark.store import Store, cache_root
    from metrics.perceptanon.panel import Plan
    from metrics.perceptanon.study import make_study

    use_threads(threads)
    opened, report = _open(suite, "cpu")
    store = Store(cache_root() / "store")
    chosen: Any = people
    specs = entrants or _default_entrants(opened)
    rows = make_study(opened, chosen, specs, variants, Plan(), store, out, report)
    click.echo(f"{out}: {rows} released images, judged by a simulated panel")


def _default_entrants(suite: Suite) -> Sequence[str]:
    """The suite's list, without those that use more than a panel can hand out; says who was left out."""
    from benchmark.errors import UsageError
    from metrics.perceptanon.study import usable

    kept, beyond = usable(suite.entrants)
    if not kept:
        raise UsageError(f"a simulated panel can run none of the entrants of {suite.facts.name}; name others with -e")
    if beyond:
        click.echo(f"Left out, a simulated panel cannot hand out what they use: {', '.join(beyond)}", err=True)
    return kept


@click.command()
@click.argument("data", type=FOLDER)
@STUDY
@click.option("-m", "--metric", "metrics", multiple=True, metavar="SPEC", help="Default: every metric per image.")
@click.option(
    "--part", "parts", multiple=True, metavar="NAME",
    help="whole, only-METHOD, or a split, which stands for its test part. Default: whole, and every method.",
)  # fmt: skip
@click.option("--paper-splits", is_flag=True, help="Split row by row, as published.")
@click.option("--suite", help="Whose referees the metrics use, and on whose board the table is to stand.")
@click.option("--out", type=FOLDER, help="Result folder of that suite: the table is kept and its board made anew.")
@THREADS
@click.option("--device", help="Torch device. Default: cuda where there is one, else cpu.")
@FORMAT
def correlate(
    data: Path,
    study: str,
    metrics: tuple[str, ...],
    parts: tuple[str, ...],
    paper_splits: bool,
    suite: str | None,
    out: Path | None,
    threads: int | None,
    device: str | None,
    form: str,
) -> None:
    """Correlates metrics with the scores of the study in DATA, people's or a panel's: Spearman's rho, Kendall's tau."""
    from benchmark.machine import checked_device, choose_device, use_threads
    from metrics.perceptanon.correlate import correlation_table

    use_threads(threads)
    chosen = checked_device(device) if device else choose_device()
    opened, report = _open(suite, chosen)
    table = correlation_table(data, study, metrics, parts, opened, paper_splits, chosen, report)
    print_rows(_rows(table), form)
    if out is not None:
        _keep(table, out)


def _open(suite: str | None, device: str) -> tuple[Suite | Any, Report]:
    from rich.console import Console

    from benchmark.cli.options import SuiteChoice
    from benchmark.progress import reporter

    report = reporter(Console(stderr=True))
    return SuiteChoice(suite, None, None, (), None).open(device, report) if suite else None, report


def _rows(table: CorrelationTable) -> Sequence[dict[str, Any]]:
    once = {row.metric: row for row in table.rows if not row.n and row.reason}.values()
    shown = [row for row in table.rows if row.n or row in once]
    return [
        {
            "metric": row.metric,
            "part": row.split if row.n else "",
            "n": row.n,
            "spearman": "" if row.spearman is None else round(row.spearman, 4),
            "kendall": "" if row.kendall is None else round(row.kendall, 4),
            "reason": row.reason,
        }
        for row in shown
    ]


def _keep(table: CorrelationTable, out: Path) -> None:
    from benchmark.board import render_board
    from benchmark.store import write_atomic

    path = out / "correlations" / f"{table.name}.json"
    write_atomic(path, (table.model_dump_json(indent=1) + "\n").encode())
    click.echo(f"{path}\nBoard: {render_board(out)}", err=True)
