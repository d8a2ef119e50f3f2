"""Committed rows of k-anonymous faces: what k promises and what groups cost, in the records themselves."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from benchmark.records import Record, Score, read_record
from benchmark.registry import build_entrant
from benchmark.submission.sweeps import unlike_installed
from benchmark.tuning import read_tuning

BOARD = Path(__file__).parents[1] / "results" / "portraits-v1"
STYLE = "kanon(k={k}, surrogate=style)"
SELECTED = "kanon(k=5, surrogate=style, select=gender+age)"
K = (2, 5, 10)


@pytest.fixture(scope="module")
def rows() -> dict[str, Record]:
    found = [read_record(path) for path in sorted(BOARD.glob("records/kanon*/*/record.json"))]
    return {record.entry.name: record for record in found}


def scored(record: Record, metric: str) -> Score:
    score = record.score(metric)
    assert score is not None, f"{record.entry.name} has no {metric}"
    assert score.value is not None, f"{record.entry.name}: {metric} {score.reason}"
    return score


def value(record: Record, metric: str) -> float:
    found = scored(record, metric).value
    assert found is not None
    return found


def test_five_surrogates_and_three_sizes_are_on_the_board(rows: dict[str, Record]) -> None:
    assert {STYLE.format(k=k) for k in K} | {SELECTED} <= set(rows)
    assert {str(record.entry.params["surrogate"]) for record in rows.values()} >= {
        "style",
        "pixels",
        "appearance",
        "upconv",
    }


def test_no_attacker_names_more_than_one_in_k(rows: dict[str, Record]) -> None:
    """By construction: a group has one surrogate, which names one person at most, whoever asks."""
    for name, record in rows.items():
        k = int(record.entry.params["k"])
        for card in record.metrics:
            if card.rung:
                assert value(record, card.name) <= 1 / k + 1e-9, f"{name} {card.name}"
        linked = scored(record, "re-identification(network=background)").details
        assert linked["rank-1"] <= linked["rank-1 allowed, surrogates over people"] <= 1 / k + 1e-9


def test_the_audit_passes(rows: dict[str, Record]) -> None:
    for record in rows.values():
        audit, k = scored(record, "k-anonymity"), float(record.entry.params["k"])
        assert audit.value is not None
        assert audit.value >= k == audit.details["claimed"]
        assert not audit.flags
        assert audit.details["groups with several surrogates"] == audit.details["people with several surrogates"] == 0


@pytest.mark.parametrize("attribute", ["gender", "age", "skin_tone"])
def test_utility_follows_the_homogeneity_of_groups(rows: dict[str, Record], attribute: str) -> None:
    ordered = [rows[STYLE.format(k=k)] for k in K]
    alike = [scored(record, "homogeneity").details[f"of one {attribute}"] for record in ordered]
    useful = [value(record, f"f1(attribute={attribute})") for record in ordered]
    for found in (alike, useful):
        assert all(one >= other for one, other in itertools.pairwise(found)), found


def test_groups_that_do_not_mix_an_attribute_keep_it(rows: dict[str, Record]) -> None:
    plain, selected = rows[STYLE.format(k=5)], rows[SELECTED]
    for attribute in ("gender", "age"):
        assert scored(selected, "homogeneity").details[f"of one {attribute}"] == 1
        metric = f"f1(attribute={attribute})"
        assert value(selected, metric) > value(plain, metric)


def test_larger_groups_lose_more(rows: dict[str, Record]) -> None:
    for metric in ("information-loss(network=background)", "sse-sst(network=background)"):
        lost = [value(rows[STYLE.format(k=k)], metric) for k in K]
        assert lost == sorted(lost), metric


def test_the_tuning_report_is_of_the_installed_method() -> None:
    reports = [read_tuning(path) for path in sorted((BOARD / "tuning").glob("*.json"))]
    assert [(report.family, report.parameter, report.values) for report in reports] == [
        ("kanon", "k", tuple(range(2, 21)))
    ]
    assert not unlike_installed(reports[0])
    assert reports[0].weights == build_entrant("kanon(surrogate=style)").facts.weights
