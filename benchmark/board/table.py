"""The board as a table for machines: one row per entrant and seed, plain numbers in the metric's own unit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from benchmark.board.columns import Column, measures_of
from benchmark.board.load import LoadedRecord, select
from benchmark.board.means import board_columns
from benchmark.board.standing import has_value
from benchmark.records import RISK, Score

Row = dict[str, Any]


def board_table(records: Sequence[LoadedRecord]) -> pd.DataFrame:
    """One row per entrant and seed.

    Columns: ``entrant``, ``slug``, ``family``, ``seed``, ``status``, ``control``, ``result_id``, ``flags`` (what makes a
    row no result, names joined by ``;``), then for each metric ``<metric>.value``, ``.low``, ``.high``, ``.status``,
    ``.n``, ``.n_clusters`` and ``<metric>.anchor.<anchor>``; the risk has ``risk.by``, the attacker it is by, as well.
    Shares are 0..1. A missing number is missing, and ``.status`` says why.

    Raises:
        NothingComparable: there are no records to show.
    """
    table = pd.DataFrame(_rows(records))
    measured = [name for name in table.columns if name.endswith((".value", ".low", ".high")) or ".anchor." in name]
    return table.astype(dict.fromkeys(measured, "float64"))  # a column of nothing but missing values stays numeric


def as_csv(records: Sequence[LoadedRecord]) -> str:
    """:func:`board_table` as CSV."""
    return board_table(records).to_csv(index=False, lineterminator="\n")


def as_json(records: Sequence[LoadedRecord]) -> str:
    """The suite, the cards of its metrics and the rows of :func:`board_table` as JSON; missing numbers are null.

    ``attackers`` has what is behind the risk: other numbers of each attacker, what was refused, and flags of scores.
    ``measures`` has the scores that only some entrants have, whose cards stand among ``metrics``.
    """
    selection = select(records)
    own = measures_of(selection.runs)
    columns = [*board_columns(selection.runs), *own]
    body = {
        "suite": {key: getattr(selection.suite, key) for key in ("name", "version", "suite_hash", "title")},
        "metrics": {column.key: column.card.model_dump(mode="json") for column in columns},
        "rows": _rows(records),
        "attackers": [part for run in selection.runs for part in _attackers(run)],
        **({"measures": [part for run in selection.runs for part in _measures(run, own)]} if own else {}),
    }
    return json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _rows(records: Sequence[LoadedRecord]) -> list[Row]:
    runs = select(records).runs
    columns = board_columns(runs)
    anchors = {column.key: _anchor_names(column, runs) for column in columns}
    return [_row(run, columns, anchors) for run in runs]


def _row(run: LoadedRecord, columns: Sequence[Column], anchors: dict[str, list[str]]) -> Row:
    record = run.record
    row: Row = {
        "entrant": record.entry.name,
        "slug": run.slug,
        "family": record.entry.family,
        "seed": record.seed,
        "status": record.status,
        "control": record.entry.control,
        "result_id": record.result_id,
        "flags": ";".join(sorted(record.flags)),
    }
    for column in columns:
        row |= _numbers(column, column.read(record), anchors[column.key])
    return row


def _attackers(run: LoadedRecord) -> list[Row]:
    """Scores of attackers and of the risk that say more than a row has room for."""
    rungs = {card.name for card in run.record.metrics if card.rung or card.name == RISK}
    parts = [(score, {name: getattr(score, name) for name in _MORE}) for score in run.record.scores]
    return [
        {"slug": run.slug, "seed": run.record.seed, "metric": score.metric, **more}
        for score, more in parts
        if score.metric in rungs and any(more.values())
    ]


_MORE = ("details", "refused", "flags")


def _measures(run: LoadedRecord, columns: Sequence[Column]) -> list[Row]:
    """Scores of a run in columns that only some runs have."""
    held = {card.name for card in run.record.metrics}
    scores = [(column, column.read(run.record)) for column in columns if column.card.name in held]
    return [
        {
            "slug": run.slug,
            "seed": run.record.seed,
            "metric": column.key,
            "reason": score.reason,
            "details": score.details,
            **{name.rpartition(f"{column.key}.")[2]: value for name, value in _numbers(column, score, ()).items()},
            "anchors": score.anchors,
        }
        for column, score in scores
    ]


def _numbers(column: Column, score: Score, anchors: Sequence[str]) -> Row:
    interval = score.interval if has_value(score) else None
    numbers: Row = {
        "value": score.value if has_value(score) else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "status": score.status,
        "n": score.n,
        "n_clusters": score.n_clusters,
    }
    if column.is_risk:
        numbers["by"] = score.by
    numbers |= {f"anchor.{name}": score.anchors.get(name) for name in anchors}
    return {f"{column.key}.{name}": value for name, value in numbers.items()}


def _anchor_names(column: Column, runs: Sequence[LoadedRecord]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in column.read(run.record).anchors))
