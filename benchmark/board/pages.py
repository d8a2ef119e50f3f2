"""The text files of a board, made from records alone: no clock, no machine, no order of files comes in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import quote

from benchmark.board import badges, numbers
from benchmark.board.cells import ColumnView
from benchmark.board.columns import identity
from benchmark.board.groups import Groups, groups_page
from benchmark.board.ladder import ladder_of
from benchmark.board.load import LoadedRecord, LoadedTable, LoadedTuning, Selection, select
from benchmark.board.means import board_columns
from benchmark.board.metric_pages import metric_pages
from benchmark.board.panel import Panels
from benchmark.board.pictures import Pictures
from benchmark.board.reported import LoadedSource, reported_page
from benchmark.board.rounds import Rounds, rounds_of, rounds_page
from benchmark.board.rows import Row, rows_of
from benchmark.board.scatter import scatter_data
from benchmark.board.sections import sections_of
from benchmark.board.standing import loud_flags, quiet_flags
from benchmark.board.table import as_csv, as_json
from benchmark.board.templating import rendered, with_neighbours
from benchmark.board.tradeoffs import tradeoffs_of
from benchmark.board.tuning import Sweep, sweeps_of, tuning_page
from benchmark.records import Machine, RunFacts, Score
from benchmark.tradeoff import STRENGTHS


def board_texts(
    records: Sequence[LoadedRecord],
    pictures: Pictures,
    correlations: Sequence[LoadedTable] = (),
    reported: Sequence[LoadedSource] = (),
    tunings: Sequence[LoadedTuning] = (),
) -> Iterator[tuple[str, str]]:
    """Addresses and contents of the pages and tables.

    Raises:
        NothingComparable: there are no records to show.
    """
    selection = select(records)
    views = [ColumnView.of(column, selection.entrants) for column in board_columns(selection.runs)]
    rows = rows_of(selection.entrants, views)
    panels = Panels.of(correlations, selection.suite.suite_hash, views)
    rounds, groups = rounds_of(rows, pictures), Groups.of(selection, rows, pictures)
    sweeps = sweeps_of(tunings, selection, rows)
    extra = {"panels": panels, "rounds": rounds, "reported": reported, "grouped": groups, "sweeps": sweeps}
    yield "index.html", rendered("index.html.j2", {**extra, **_index(selection, views, rows)})
    yield from _entrant_pages(selection, views, rows, pictures, rounds, groups, sweeps)
    yield from metric_pages(selection, [*views, *groups.views], rows)
    yield from rounds_page(selection, rounds)
    yield from groups_page(selection, groups, sweeps)
    yield from tuning_page(selection, sweeps)
    yield from reported_page(selection, reported)
    yield "board.csv", as_csv(records)
    yield "board.json", as_json(records)


def _index(selection: Selection, views: Sequence[ColumnView], rows: Sequence[Row]) -> dict[str, Any]:
    runs = [item.record.run for item in selection.runs]
    shown = [row.entrant for row in rows if not row.failure]
    tradeoffs, sections = tradeoffs_of(views, rows), sections_of(views)
    return {
        "root": "",
        "suite": selection.suite,
        "selection": selection,
        "views": views,
        "sections": sections,
        "keys": [section.key for section in sections for _ in section.views],
        "strengths": STRENGTHS,
        "lead": views[0].column,
        "rows": [row for row in rows if not (row.failure or row.flagged or row.claimed)],
        "claimed": [row for row in rows if row.claimed],
        "flagged": [row for row in rows if row.flagged],
        "failed": [row for row in rows if row.failure],
        "families": sorted({row.entrant.record.entry.family for row in rows}),
        "scatter": scatter_data(views, shown, tradeoffs.fronts),
        "tradeoffs": tradeoffs,
        "newest": max(item.record.created_utc for item in selection.runs),
        "seeds": sorted({item.record.seed for item in selection.runs}),
        "harness": _counts(harness_text(run) for run in runs),
        "machines": _counts(machine_text(run.machine) for run in runs),
        "commands": sorted({run.command for run in runs}),
    }


def _entrant_pages(
    selection: Selection,
    views: Sequence[ColumnView],
    rows: Sequence[Row],
    pictures: Pictures,
    rounds: Sequence[Rounds],
    groups: Groups,
    sweeps: Sequence[Sweep],
) -> Iterator[tuple[str, str]]:
    by_slug = {one.row.entrant.slug: one for one in rounds}
    for row, previous, following in with_neighbours(rows):
        slug = row.entrant.slug
        around: dict[str, Any] = {"previous": previous, "following": following, "rounds": by_slug.get(slug)}
        around |= {"grouped": groups.by_slug.get(slug), "sweeps": [one for one in sweeps if one.is_about(row)]}
        context = {**around, **_entrant(selection, views, row, pictures)}
        yield f"entrants/{row.entrant.slug}.html", rendered("entrant.html.j2", context)


def _entrant(selection: Selection, views: Sequence[ColumnView], row: Row, pictures: Pictures) -> dict[str, Any]:
    entrant = row.entrant
    record = entrant.record
    files = ("environment.txt", "per_image.parquet")
    return {
        "root": "../",
        "suite": selection.suite,
        "row": row,
        "record": record,
        "entry": record.entry,
        "run": record.run,
        "address": quote(entrant.main.address),
        "files": [name for name in files if (entrant.main.folder / name).is_file()],
        "groups": [(group, list(members)) for group, members in groupby(views, key=lambda view: view.column.group)],
        "ladder": ladder_of(record),
        "pages": {identity(view.column.card): view.column.href for view in reversed(views)},
        "identity": identity,
        "loud_flags": loud_flags(record),
        "quiet_flags": quiet_flags(record),
        "pairs": [
            (pair.key, pictures.address(entrant.main, pair.original), pictures.address(entrant.main, pair.released))
            for pair in record.examples
        ],
        "others": [(other, _other_scores(other, views)) for other in entrant.runs[1:]],
        "provenance": badges.provenance(record.claims),
        "harness": harness_text(record.run),
        "machine": machine_text(record.run.machine),
    }


def _other_scores(run: LoadedRecord, views: Sequence[ColumnView]) -> dict[str, Score]:
    return {view.column.key: view.column.read(run.record) for view in views}


def _counts(texts: Iterator[str]) -> list[tuple[str, int]]:
    return sorted(Counter(texts).items())


def harness_text(run: RunFacts) -> str:
    """Version of the harness as precisely as the record knows it."""
    commit = f", commit {run.harness_commit[:12]}" if run.harness_commit else ""
    dirty = ", with uncommitted changes" if run.harness_dirty else ""
    return f"anonbench {run.harness_version}{commit}{dirty}, Python {run.python}"


def machine_text(machine: Machine) -> str:
    """A machine in a line."""
    gpus = f", {', '.join(machine.gpus)}" if machine.gpus else ", no GPU"
    cores = numbers.counted(machine.cores, "core")
    return f"{machine.system}, {machine.machine}, {machine.processor}, {cores}, {machine.memory_gib:.0f} GiB{gpus}"
