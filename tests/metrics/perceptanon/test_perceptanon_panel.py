"""The simulated panel: line-ups as promised, observers that see little, studies that can be read and trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import UsageError
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.protocols import SuiteOptions
from benchmark.store import Store
from metrics.perceptanon.lineup import Album, Jury, scores
from metrics.perceptanon.panel import Observer, Plan, covered, recruit, seen
from metrics.perceptanon.study import assigned, casts_of, description_of, make_study, panel_of
from metrics.perceptanon.table import read_table
from suites.definition import People, Splits, read_definition
from suites.rendered import RenderedSuite

PLAN = Plan(acuities=(8,), seeds=(1, 2), width=4, epochs=1, people=3, lineups=4)


def people(counts: list[int], side: int = 8) -> ImageSet:
    """Everybody in one colour of their own, with a little noise."""
    generator = torch.Generator().manual_seed(5)
    who = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    colours = torch.randint(20, 236, (len(counts), 3, 1, 1), generator=generator)
    noise = torch.randint(-2, 3, (len(who), 3, side, side), generator=generator)
    keys = tuple(f"p{person}/{number}" for person, count in enumerate(counts) for number in range(count))
    names = tuple(f"p{person}" for person in range(len(counts)))
    return ImageSet((colours[who] + noise).to(torch.uint8), keys, Labels(who, names))


def observer(seed: int, acuity: int = 8) -> Observer:
    """A judge with random weights: it tells colours apart, and nothing else is asked of it here."""
    torch.manual_seed(seed)
    architecture = Architecture("small-resnet", ("a", "b"), {"width": 8})
    network = architecture.build().eval()
    return Observer(f"acuity{acuity}-seed{seed}", acuity, Classifier("observer", architecture, network, ""))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 5), min_size=4, max_size=9), st.integers(2, 4), st.integers(0, 99))
def test_lineups_show_the_person_once_and_never_the_photograph_itself(counts: list[int], size: int, seed: int) -> None:
    album = people(counts)
    assert album.identity is not None
    plan = Plan(people=size, lineups=3, seed=seed)
    shown = Album(album, size).lineups(album.keys, album.identity.values, plan, "x")
    who = album.identity.values[shown]
    assert shown.shape == (len(album), 3, size)
    assert (who[:, :, 0] == album.identity.values[:, None]).all()
    assert all(len(set(row.tolist())) == size for row in who.flatten(0, 1)), "everybody once"
    assert (shown[:, :, 0] != torch.arange(len(album))[:, None]).all()


def test_every_other_photograph_of_the_person_gets_its_turn() -> None:
    album = people([4, 3, 3, 3])
    assert album.identity is not None
    shown = Album(album, 2).lineups(album.keys, album.identity.values, Plan(people=2, lineups=300), "x")
    assert set(shown[1, :, 0].tolist()) == {0, 2, 3}
    assert set(shown[0, :, 1].tolist()) == set(range(4, 13))


def test_lineups_depend_on_the_key_and_not_on_order_or_batch() -> None:
    album = people([3] * 6)
    assert album.identity is not None
    whole = Album(album, 3).lineups(album.keys, album.identity.values, PLAN, "x")
    order = torch.randperm(len(album), generator=torch.Generator().manual_seed(1))
    part = album.select(order[:7])
    assert part.identity is not None
    assert torch.equal(Album(album, 3).lineups(part.keys, part.identity.values, PLAN, "x"), whole[order[:7]])
    assert not torch.equal(Album(album, 3).lineups(album.keys, album.identity.values, PLAN, "y"), whole)


@pytest.mark.parametrize("value", [0.0, 0.5, float("nan")])
def test_who_cannot_tell_people_apart_finds_nobody(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Observer, "features", lambda _, images: torch.full((len(images), 4), value))
    album = people([3] * 5)
    assert (Jury([observer(1)], Album(album, 3), PLAN).failures(album) == 1).all()


@pytest.mark.parametrize("absent", [1, 9])
def test_somebody_without_a_photograph_in_the_album(absent: int) -> None:
    photographs = people([2] * 5)
    assert photographs.identity is not None
    rest = photographs.select((photographs.identity.values != absent).nonzero().flatten())
    with pytest.raises(UsageError, match="no photograph in the album"):
        Album(rest, 3).lineups(["x"], torch.tensor([absent]), PLAN, "x")


def test_album_too_small() -> None:
    with pytest.raises(UsageError, match="needs 3 people, and there are 2"):
        Album(people([2, 2]), 3)
    single = people([1, 2, 2])
    assert single.identity is not None
    with pytest.raises(UsageError, match="single photograph"):
        Album(single, 2).lineups(single.keys, single.identity.values, PLAN, "x")


def test_originals_are_found_and_black_images_are_guessed_at() -> None:
    album = people([3] * 12)
    judges, plan = [observer(1), observer(2)], Plan(people=4, lineups=8)
    jury = Jury(judges, Album(album, 4), plan)
    clear = jury.failures(album)
    assert clear.shape == (36, 2)
    assert float(clear.mean()) < 0.05
    black = jury.failures(album.with_images(torch.zeros_like(album.images)))
    assert float(black.mean()) == pytest.approx(0.75, abs=0.1)
    assert torch.equal(scores(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([1.0, 5.5, 10.0]))


def test_acuity_takes_area_means_and_covers_leave_the_rest_alone() -> None:
    images = people([2] * 30, side=12).images
    coarse = seen(images, 3)
    expected = images.float().unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5)).round()
    assert torch.equal(coarse.float(), expected)
    hidden = covered(images, 3)
    changed = (hidden != images).any(1).flatten(1)
    assert torch.equal(covered(images, 3), hidden)
    assert 0.02 < float(changed.double().mean()) < 0.35
    one_colour = [
        hidden[row].flatten(1)[:, changed[row]].unique(dim=1).shape[1] for row in range(60) if changed[row].any()
    ]
    assert max(one_colour) == 1


def test_observers_are_kept_by_content(tmp_path: Path) -> None:
    store, learned = Store(tmp_path), people([3] * 5)
    first = recruit(PLAN, learned, store)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(files) == 2
    again = recruit(PLAN, learned, store)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == files
    assert [one.classifier.sha256 for one in first] == [one.classifier.sha256 for one in again]
    assert first[0].classifier.sha256 != first[1].classifier.sha256


@pytest.mark.parametrize("variants", [1, 3, 9])
def test_every_original_gets_its_share_of_entrants(variants: int) -> None:
    turns = assigned([f"k{number}" for number in range(400)], 5, variants, 0)
    assert (turns.sum(1) == min(variants, 5)).all()
    assert turns.sum(0).max() - turns.sum(0).min() < 90


def small_suite(tmp_path: Path) -> RenderedSuite:
    """A suite of few rendered people at few pixels."""
    splits = Splits(
        background=People(identities=12, photographs=3),
        evaluated=People(identities=4, photographs=4),
        spare=People(identities=1, photographs=1),
        enrol=2,
    )
    change = {"splits": splits, "image_size": 24, "manifest": {}, "weights": {}, "files": {}}
    definition = read_definition("portraits-smoke").model_copy(update=change)
    return RenderedSuite(definition, SuiteOptions(store=tmp_path / "store"))


@pytest.mark.parametrize("who", ["background", "evaluated"])
def test_a_study_is_a_table_with_its_images(who: str, tmp_path: Path) -> None:
    suite, out = small_suite(tmp_path), tmp_path / "study"
    entrants = ["identity", "blur(kernel=9)", "ksame-pixel(k=2)"]
    rows = make_study(suite, who, entrants, 2, PLAN, Store(tmp_path / "store"), out)
    table = read_table(out, "HA2")
    assert rows == len(table) == 2 * sum(len(cast.subjects) for cast in casts_of(suite, who))
    assert set(table.methods.tolist()) <= {"identity", "blur", "ksame-pixel"}
    judges = table.frame[["acuity8-seed1", "acuity8-seed2"]].astype(float)
    assert np.allclose(judges.mean(axis=1), table.scores)
    same = table.frame["method"] == "identity"
    for first, second in zip(np.array(table.originals)[same], np.array(table.released)[same], strict=True):
        assert first.read_bytes() == second.read_bytes()
    made = description_of(out)
    assert made["panel"] == "simulated"
    assert made["suite_hash"] == suite.facts.suite_hash


def named(images: ImageSet) -> set[str]:
    assert images.identity is not None
    return {images.identity.classes[index] for index in images.identity.values.tolist()}


def test_observers_never_learned_who_is_anonymized(tmp_path: Path) -> None:
    suite = small_suite(tmp_path)
    for cast in [*casts_of(suite, "background"), *casts_of(suite, "evaluated")]:
        assert not named(cast.learned) & named(cast.subjects)
        assert named(cast.subjects) <= named(cast.album)


def test_every_background_person_is_judged_once(tmp_path: Path) -> None:
    suite = small_suite(tmp_path)
    keys = [key for cast in casts_of(suite, "background") for key in cast.subjects.keys]
    assert sorted(keys) == sorted(suite.images("background").keys)


def test_the_same_study_twice_is_the_same_bytes(tmp_path: Path) -> None:
    suite, store = small_suite(tmp_path), Store(tmp_path / "store")
    for name in ("one", "two"):
        make_study(suite, "background", ["blur(kernel=9)"], 1, PLAN, store, tmp_path / name)
    assert (tmp_path / "one" / "HA2.csv").read_bytes() == (tmp_path / "two" / "HA2.csv").read_bytes()


def test_scores_of_people_are_not_overwritten(tmp_path: Path) -> None:
    suite, store = small_suite(tmp_path), Store(tmp_path / "store")
    (tmp_path / "HA2.csv").write_text("scores of people")
    with pytest.raises(UsageError, match=r"HA2\.csv is not of a simulated panel"):
        make_study(suite, "background", ["blur(kernel=9)"], 1, PLAN, store, tmp_path)
    assert (tmp_path / "HA2.csv").read_text() == "scores of people"
    for _ in range(2):
        make_study(suite, "background", ["blur(kernel=9)"], 1, PLAN, store, tmp_path / "new")


def test_a_study_that_was_interrupted_never_passes_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("metrics.perceptanon.study._write_table", stopped)
    suite, store = small_suite(tmp_path), Store(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        make_study(suite, "background", ["blur(kernel=9)"], 1, PLAN, store, tmp_path / "new")
    assert panel_of(tmp_path / "new") == "simulated"


def test_damaged_description(tmp_path: Path) -> None:
    assert description_of(tmp_path) == {}
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UsageError, match=r"study\.json is not readable JSON"):
        description_of(tmp_path)
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(UsageError, match=r"study\.json does not describe a study"):
        description_of(tmp_path)
    (tmp_path / "study.json").write_text(json.dumps({"panel": "simulated"}))
    assert description_of(tmp_path) == {"panel": "simulated"}
