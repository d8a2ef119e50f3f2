"""Splits: sizes, strata, what is held out, and which photographs leak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import UsageError
from metrics.perceptanon.splits import (
    Split,
    known_splits,
    merged,
    read_split,
    split_table,
    strata,
    write_split,
)
from metrics.perceptanon.table import Table, read_table

DATASETS = ("coco", "voc", "celeba", "lfw")
METHODS = ("mask", "blurpix", "inpaint", "gen", "a", "b", "c")


def made(photographs: int, variants: Sequence[int], seed: int = 0) -> Table:
    """A table of synthetic scores; photograph ``n`` has ``variants[n % len(variants)]`` variants."""
    draw, rows = np.random.default_rng(seed), []
    for number in range(photographs):
        taste = draw.normal(0, 0.7)
        for place in range(variants[number % len(variants)]):
            score = float(np.clip(3.5 + 0.9 * place + taste + draw.normal(0, 0.5), 1, 10))
            rows.append((f"{number}.png", f"{number}-{place}.png", DATASETS[number % 4], METHODS[place], score))
    frame = pd.DataFrame(rows, columns=["img1", "img2", "dataset", "method", "score_mean"])
    return Table(Path(), "HA1", frame, frame["score_mean"].to_numpy())


def names(table: Table) -> set[str]:
    return set(table.frame["img2"])


def photographs(table: Table) -> set[str]:
    return set(table.photographs.tolist())


def leaks(split: Split) -> bool:
    train, val, test = (photographs(part) for part in split.parts().values())
    return bool(train & val or train & test or val & test)


def proportions(table: Table) -> np.ndarray:
    return np.bincount(strata(table.scores), minlength=7) / len(table)


THOUSAND = made(143, (7,))
SINGLES = made(1000, (1, 1, 1, 1), seed=3)


def test_strata_round_halves_to_even_and_begin_at_four() -> None:
    scores = [1, 4, 4.5, 4.51, 5.5, 6, 6.5, 7, 8, 9, 9.49, 9.5, 10]
    assert strata(scores).tolist() == [0, 0, 0, 1, 2, 2, 2, 3, 4, 5, 5, 6, 6]


@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(2, 5))
def test_merged_strata_are_never_too_small(values: list[int], least: int) -> None:
    before = np.array(values)
    after = merged(before, least)
    counts = np.unique(after, return_counts=True)[1]
    assert len(counts) == 1 or counts.min() >= least
    for stratum in np.unique(before):  # a stratum stays whole
        assert len(np.unique(after[before == stratum])) == 1


def test_single_rows_go_up_one_step_and_the_topmost_down() -> None:
    assert merged(np.array([0, 1, 1, 2])).tolist() == [1, 1, 1, 1]
    assert merged(np.array([0, 0, 1, 2, 2])).tolist() == [0, 0, 2, 2, 2]
    assert merged(np.array([0, 0, 5, 6])).tolist() == [0, 0, 6, 6]


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("table", [THOUSAND, SINGLES], ids=["variants", "singles"])
def test_all_is_60_20_20_disjoint_complete_and_stratified(table: Table, paper: bool) -> None:
    split = split_table(table, "all", paper)
    parts = list(split.parts().values())
    shares = np.array([len(part) for part in parts]) / len(table)
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.01)
    assert sum(len(names(part)) for part in parts) == len(table)
    assert set.union(*map(names, parts)) == names(table)
    for part in parts:
        assert np.abs(proportions(part) - proportions(table)).max() < 0.02


def test_published_sizes_of_a_thousand_rows() -> None:
    assert [len(part) for part in split_table(SINGLES, "all", paper=True).parts().values()] == [600, 200, 200]


def test_paper_splits_leak_photographs_and_ours_do_not() -> None:
    published = split_table(THOUSAND, "all", paper=True)
    assert leaks(published)
    assert published.leaks
    for name in known_splits(THOUSAND):
        split = split_table(THOUSAND, name)
        assert not leaks(split), name
        assert not split.leaks


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize("dataset", DATASETS)
def test_leave_one_data_set_out(dataset: str, paper: bool) -> None:
    split = split_table(THOUSAND, f"loov-{dataset}", paper)
    assert names(split.test) == set(THOUSAND.frame["img2"][THOUSAND.datasets == dataset])
    assert len(split.train) / (len(split.train) + len(split.val)) == pytest.approx(0.75, abs=0.02)
    assert len(split.train) + len(split.val) + len(split.test) == len(THOUSAND)


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize(("task", "members"), [("face", {"celeba", "lfw"}), ("person", {"coco", "voc"})])
def test_tasks_hold_their_data_sets_only(task: str, members: set[str], paper: bool) -> None:
    split = split_table(THOUSAND, f"task-{task}", paper)
    for part in split.parts().values():
        assert set(part.datasets.tolist()) == members
    sizes = np.array([len(part) for part in split.parts().values()])
    assert sizes.sum() == np.isin(THOUSAND.datasets, list(members)).sum()
    np.testing.assert_allclose(sizes / sizes.sum(), [0.6, 0.2, 0.2], atol=0.02)


def test_leave_one_method_out() -> None:
    published = split_table(THOUSAND, "anon-blurpix", paper=True)
    assert len(published.test) == 143
    assert leaks(published)
    ours = split_table(THOUSAND, "anon-blurpix")
    assert set(ours.test.methods.tolist()) == {"blurpix"}
    assert len(ours.test) == pytest.approx(143 / 5, abs=1)
    assert "blurpix" not in {*ours.train.methods.tolist(), *ours.val.methods.tolist()}


def test_photographs_without_the_held_out_method_are_not_thrown_away() -> None:
    table = made(80, (1, 7))  # every other photograph has a mask only
    split = split_table(table, "anon-mask")
    assert len(split.test) == pytest.approx(40 + 8, abs=2)


@settings(max_examples=15, deadline=None)
@given(st.integers(15, 60), st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 99), st.booleans())
def test_any_split_is_deterministic_and_disjoint(count: int, variants: list[int], seed: int, paper: bool) -> None:
    table = made(count, variants, seed)
    for name in known_splits(table):
        try:
            one, two = split_table(table, name, paper), split_table(table, name, paper)
        except UsageError:  # too few rows, see below
            continue
        assert [part.content for part in one.parts().values()] == [part.content for part in two.parts().values()]
        parts = [names(part) for part in one.parts().values()]
        assert all(parts)
        assert len(set.union(*parts)) == sum(map(len, parts))
        assert paper or not leaks(one)


@pytest.mark.parametrize("name", ["loov-imagenet", "anon-deepfake", "task-cat", "everything", "loov-"])
def test_unknown_splits_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"HA1 has no rows for a split '{name}'"):
        split_table(THOUSAND, name)


def test_one_data_set_alone_cannot_be_left_out() -> None:
    table = THOUSAND.rows(np.flatnonzero(THOUSAND.datasets == "lfw"))
    assert not [name for name in known_splits(table) if name.startswith("loov") or name == "task-person"]


@pytest.mark.parametrize("paper", [False, True])
def test_too_few_rows(paper: bool) -> None:
    with pytest.raises(UsageError, match="HA1 has too few rows for the split 'all'"):
        split_table(made(2, (1,)), "all", paper)


def test_saved_splits_have_the_columns_of_the_study_and_come_back(study: Path, tmp_path: Path) -> None:
    table = read_table(study, "HA2")
    split = split_table(table, "all")
    write_split(split, tmp_path)
    folder = tmp_path / "dataset_splits" / "HA2" / "all"
    assert sorted(file.name for file in folder.iterdir()) == ["test.csv", "train.csv", "val.csv"]
    saved = pd.read_csv(folder / "test.csv", dtype=str, keep_default_na=False)
    assert list(saved.columns) == list(table.frame.columns)
    again = read_split(study, "HA2", "all", tmp_path)
    assert [part.content for part in again.parts().values()] == [part.content for part in split.parts().values()]
    with pytest.raises(UsageError, match="anonbench perceptanon splits"):
        read_split(study, "HA2", "loov-lfw", tmp_path)


def test_a_published_task_split_halves_the_rest_into_validation_then_test() -> None:
    """The published procedure, written down again: 60 % against 40 %, then the 40 % in halves."""
    from sklearn.model_selection import train_test_split

    count = 400
    points = np.tile(np.arange(4, 11), count)[:count].astype(float)
    frame = pd.DataFrame(
        {"img1": [f"o{row // 7}" for row in range(count)], "img2": [f"r{row}" for row in range(count)]}
    )
    frame = frame.assign(dataset="lfw", method="mask", score_mean=points.astype(str))
    split = split_table(Table(Path(), "HA1", frame, points), "task-face", paper=True)
    train, rest = train_test_split(frame, test_size=0.4, random_state=42, stratify=points)
    val, test = train_test_split(rest, test_size=0.5, random_state=42, stratify=points[rest.index])
    for part, wanted in zip((split.train, split.val, split.test), (train, val, test), strict=True):
        assert part.frame["img2"].tolist() == wanted["img2"].tolist()
