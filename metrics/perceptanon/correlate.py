"""Meta-evaluation: how far every metric that has values per image agrees with what a panel said (the paper's main table)."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import benchmark
from benchmark.correlations import Correlation, CorrelationTable
from benchmark.errors import UsageError, did_you_mean
from benchmark.hashing import sha256_file
from benchmark.protocols import Referees, Report, Suite, quiet
from benchmark.registry import build_metric
from metrics.perceptanon.evaluation import correlate
from metrics.perceptanon.pairs import per_image_values
from metrics.perceptanon.splits import split_table
from metrics.perceptanon.study import description_of, panel_of
from metrics.perceptanon.table import Table, read_table

WHOLE = "whole"
"""All rows; right for a study that no metric was trained on."""
DEFAULT = (
    "mse",
    "psnr",
    "ssim",
    "lpips(net=alex)",
    "lpips(net=vgg)",
    "lpips(net=squeeze)",
    "perceptual(features=recogniser)",
    "perceptanon(panel=human)",
    "perceptanon(panel=simulated)",
)
"""Metrics that are correlated when none is named."""

Rows = NDArray[np.int64]


def parts_of(table: Table, names: Sequence[str], paper: bool = False) -> dict[str, Rows]:
    """Rows of the table by part.

    Args:
        table: a study.
        names: ``whole``, ``only-<method>`` (all rows of a method), or a split, which stands for its test part; none
            means ``whole`` and every method.
        paper: split row by row, as published.

    Raises:
        UsageError: nothing is called that.
    """
    methods = sorted(set(table.methods.tolist()))
    chosen = names or [WHOLE, *(f"only-{method}" for method in methods)]
    return {name: _rows(table, name, methods, paper) for name in chosen}


def _rows(table: Table, name: str, methods: Sequence[str], paper: bool) -> Rows:
    if name == WHOLE:
        return np.arange(len(table))
    if name.startswith("only-"):
        method = name.removeprefix("only-")
        if method not in methods:
            raise UsageError(f"no row has the method '{method}'.{did_you_mean(method, methods)}")
        return np.flatnonzero(table.methods == method)
    pair = table.frame.iloc[:, :2].agg("\0".join, axis=1)
    test = split_table(table, name, paper).test.frame.iloc[:, :2].agg("\0".join, axis=1)
    return np.flatnonzero(pair.isin(set(test)))


def correlations(
    scores: NDArray[np.float64],
    values: Mapping[str, NDArray[np.float64]],
    reasons: Mapping[str, str],
    parts: Mapping[str, Rows],
) -> list[Correlation]:
    """One row per metric and part.

    Args:
        scores: of the panel, float64 ``[N]``.
        values: of the metrics, float64 ``[N]`` each.
        reasons: of the metrics that have none.
        parts: rows by name.
    """
    rows = [
        _correlation(name, part, found[index], scores[index])
        for name, found in values.items()
        for part, index in parts.items()
    ]
    rows += [Correlation(metric=name, split=part, reason=reason) for name, reason in reasons.items() for part in parts]
    return rows


def _correlation(metric: str, part: str, values: NDArray[np.float64], scores: NDArray[np.float64]) -> Correlation:
    found = correlate(values, scores)
    reason = "" if found.spearman is not None else found.reasons["spearman"]
    return Correlation(
        metric=metric, split=part, n=found.n, spearman=found.spearman, kendall=found.kendall, reason=reason
    )


def correlation_table(
    data: Path,
    study: str,
    specs: Sequence[str],
    parts: Sequence[str] = (),
    suite: Suite | None = None,
    paper: bool = False,
    device: str = "cpu",
    report: Report = quiet,
) -> CorrelationTable:
    """Correlates metrics with the mean scores of a study.

    Args:
        data: folder of the study.
        study: ``HA1`` or ``HA2``.
        specs: metrics; none means ``DEFAULT``.
        parts: see ``parts_of``.
        suite: whose referees the metrics may use, and on whose board the table is to stand.
        paper: split row by row, as published.
        device: torch device name.
        report: shows progress.

    Raises:
        UsageError: the study is not readable, or was made with another version of the suite.
    """
    table, made = read_table(data, study, originals=True), description_of(data)
    _check_suite(data, made.get("suite_hash", ""), suite)
    metrics = [build_metric(spec) for spec in specs or DEFAULT]
    rows = parts_of(table, parts, paper)
    values, reasons = per_image_values(table, metrics, _referees(suite, device, report), report)
    panel = panel_of(data)
    return CorrelationTable(
        name=f"{panel}-panel-{study}",
        title=f"{panel.capitalize()} panel, {study}",
        description=_description(panel, made, len(table), len(set(table.photographs.tolist()))),
        scores_name="mean score of the panel",
        panel=panel,
        direction="A high score means well anonymized: 1 everybody finds the person, 10 nobody does.",
        suite_name=suite.facts.name if suite else "",
        suite_hash=suite.facts.suite_hash if suite else "",
        splits=tuple(rows),
        metrics=tuple(metric.card for metric in metrics),
        rows=tuple(correlations(table.scores, values, reasons, rows)),
        sources={f"{study}.csv": sha256_file(data / f"{study}.csv")},
        command=shlex.join(["anonbench", *sys.argv[1:]]),
        harness_version=benchmark.__version__,
        created_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _check_suite(data: Path, made_with: str, suite: Suite | None) -> None:
    if suite and made_with and made_with != suite.facts.suite_hash:
        raise UsageError(
            f"the study in {data} was made with another version of {suite.facts.name}; make it again with: "
            f"anonbench perceptanon panel {suite.facts.name} --out {data}"
        )


def _referees(suite: Suite | None, device: str, report: Report) -> Referees:
    return dataclasses.replace(suite.referees(report) if suite else Referees(), device=device, report=report)


def _description(panel: str, made: Mapping[str, object], rows: int, photographs: int) -> str:
    what = f"{rows} released images of {photographs} photographs."
    if panel == "human":
        return f"{what} Scores are those in the table of the study."
    observers = made.get("observers")
    judges = len(observers) if isinstance(observers, dict) else 0
    return (
        f"{what} Simulated, not human: {judges} small recognisers of limited acuity try to pick the person out of "
        "line-ups of originals; score = 1 + 9 x share of failures. None of them learned anybody who is shown. "
        "perceptanon(panel=simulated) was trained on such a panel's scores of other people under the same filters; no "
        "other metric here was."
    )
