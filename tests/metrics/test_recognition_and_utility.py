"""Metrics that ask a referee, with a planted referee whose answer stands in the image."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score
from torch import nn

from benchmark.errors import UsageError
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.protocols import Referees, Scores
from benchmark.records import Score
from metrics.attackers.recognition import Static
from metrics.judge_protocol import NO_CLASS, in_classes_of, placed
from metrics.utility import F1, chance_f1, confusion_cells, f1_of_resample, macro_f1

STEP = 10


class PatchReader(nn.Module):
    """Names class ``k`` where the mean of the red 4 x 4 px patch in the corner is nearest to ``STEP * k``."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.levels = nn.Parameter(torch.arange(classes) * STEP / 255, requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return -(images[:, 0, :4, :4].mean((1, 2))[:, None] - self.levels).abs()


def reader(classes: Sequence[str]) -> Classifier:
    return Classifier("planted", Architecture("planted", tuple(classes)), PatchReader(len(classes)), sha256="")


def pictures(answers: Sequence[int]) -> torch.Tensor:
    """Noise whose corner says what the planted referee is to answer; no two pictures are the same."""
    generator = np.random.default_rng(len(answers))
    images = torch.from_numpy(generator.integers(0, 256, (len(answers), 3, 12, 12), dtype=np.uint8))
    images[:, 0, :4, :4] = (torch.tensor(answers, dtype=torch.uint8) * STEP)[:, None, None]
    return images


def names(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))


def keys(count: int) -> tuple[str, ...]:
    return tuple(f"image {row}" for row in range(count))


def people_set(truth: Sequence[int], answers: Sequence[int], people: int) -> ImageSet:
    return ImageSet(pictures(answers), keys(len(truth)), Labels(torch.tensor(truth), names(people)))


def labelled_set(truth: Sequence[int], answers: Sequence[int], classes: int) -> ImageSet:
    labels = {"mood": Labels(torch.tensor(truth), names(classes))}
    return ImageSet(pictures(answers), keys(len(truth)), None, labels)


def mood(truth: Sequence[int], clean: Sequence[int], released: Sequence[int], classes: int) -> Score:
    original = labelled_set(truth, clean, classes)
    referees = Referees(attributes={"mood": reader(names(classes))})
    return F1("mood").score(original, original.with_images(pictures(released)), referees).score


def sklearn_f1(truth: Sequence[int], predicted: Sequence[int]) -> float:
    return float(f1_score(truth, predicted, average="macro", zero_division=0))


def test_static_is_the_share_of_people_named_first() -> None:
    truth = [0, 0, 1, 1, 2, 2, 3, 3]
    original = people_set(truth, truth, 4)
    released = original.with_images(pictures([0, 1, 1, 1, 0, 0, 3, 2]))
    scores = Static().score(original, released, Referees(reader(names(4))))
    assert scores.score.value == 4 / 8
    assert scores.per_image["static"].tolist() == [1, 0, 1, 1, 0, 0, 1, 0]
    assert scores.score.anchors == {"chance": 0.25, "originals": 1.0}
    assert (scores.score.n, scores.score.n_clusters) == (8, 4)


def test_static_has_the_accuracy_on_originals_as_anchor() -> None:
    truth = [0, 1, 2, 0, 1, 2]
    original = people_set(truth, [0, 1, 1, 0, 0, 2], 3)
    score = Static().score(original, original, Referees(reader(names(3)))).score
    assert score.value == score.anchors["originals"] == pytest.approx(4 / 6)
    assert score.anchors["chance"] == pytest.approx(1 / 3)


def test_static_of_black_images_is_the_share_of_one_person() -> None:
    truth = [0, 1, 2, 3, 0, 1, 2, 3]
    original = people_set(truth, truth, 4)
    released = original.with_images(torch.zeros_like(original.images))
    score = Static().score(original, released, Referees(reader(names(4)))).score
    assert score.value == score.anchors["chance"] == 0.25


def test_static_interval_holds_the_value() -> None:
    truth = [row % 6 for row in range(60)]
    original = people_set(truth, truth, 6)
    released = original.with_images(pictures([0 if row < 25 else truth[row] for row in range(60)]))
    score = Static().score(original, released, Referees(reader(names(6)))).score
    assert score.value is not None
    assert score.interval is not None
    assert 0 <= score.interval.low <= score.value <= score.interval.high <= 1


@pytest.mark.parametrize("known", ["people", "recogniser"])
def test_static_without_people_or_recogniser_is_not_applicable(known: str) -> None:
    original = people_set([0, 1], [0, 1], 2).without(identity=known != "people")
    referees = Referees(reader(names(2)) if known == "recogniser" else None)
    score = Static().score(original, original, referees).score
    assert (score.status, score.value, score.n) == ("not-applicable", None, 2)
    assert ("no identities" if known == "recogniser" else "no recogniser") in (score.reason or "")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.integers(1, 6).flatmap(lambda k: st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1))
)
def test_macro_f1_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (list(part) for part in zip(*pairs, strict=True))
    cells = confusion_cells(torch.tensor(truth), torch.tensor(predicted), 6).sum(0, keepdim=True)
    assert float(macro_f1(cells, 6)[0]) == pytest.approx(sklearn_f1(truth, predicted), abs=1e-12)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=80))
def test_f1_metric_equals_scikit_learn_with_all_anchors(rows: list[tuple[int, int, int]]) -> None:
    truth, clean, released = (list(part) for part in zip(*rows, strict=True))
    score = mood(truth, clean, released, 5)
    majority = [int(np.bincount(truth).argmax())] * len(truth)
    assert score.value == pytest.approx(sklearn_f1(truth, released), abs=1e-12)
    assert score.anchors["originals"] == pytest.approx(sklearn_f1(truth, clean), abs=1e-12)
    assert score.anchors["always-majority"] == pytest.approx(sklearn_f1(truth, majority), abs=1e-12)


def test_f1_of_the_majority_answer_is_its_closed_form() -> None:
    truth = [0] * 78 + [1] * 22
    score = mood(truth, truth, [0] * 100, 2)
    assert score.value == score.anchors["always-majority"] == pytest.approx(0.5 * 2 * 0.78 / 1.78)
    assert score.anchors["originals"] == 1


def test_f1_of_no_matrix_is_nan_and_of_perfect_answers_is_one() -> None:
    cells = torch.stack([torch.zeros(9), torch.eye(3).flatten() * 4]).double()
    assert macro_f1(cells, 3).isnan().tolist() == [True, False]
    assert float(macro_f1(cells, 3)[1]) == 1


def test_f1_keeps_who_was_read_correctly() -> None:
    original = labelled_set([0, 1, 1, 0], [0, 1, 1, 0], 2)
    referees = Referees(attributes={"mood": reader(names(2))})
    scores = F1("mood").score(original, original.with_images(pictures([0, 0, 1, 1])), referees)
    assert scores.per_image["f1(attribute=mood)"].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("referees", [Referees(), Referees(attributes={"age": reader(names(2))})])
def test_f1_of_an_unknown_attribute_is_not_applicable(referees: Referees) -> None:
    original = labelled_set([0, 1], [0, 1], 2)
    score = F1("age").score(original, original, referees).score
    assert (score.status, score.value) == ("not-applicable", None)
    assert "age" in score.reason


def test_card_names_the_attribute() -> None:
    card = F1("skin_tone").card
    assert (card.name, card.title, card.version) == ("f1(attribute=skin_tone)", "F1 skin tone", 2)
    assert (card.group, card.higher_is_better, card.referees) == ("utility", True, ("skin_tone",))


def test_a_private_attribute_turns_direction_and_group() -> None:
    card = F1("gender", purpose="private").card
    assert (card.name, card.title) == ("f1(attribute=gender, purpose=private)", "F1 gender, private")
    assert (card.group, card.higher_is_better) == ("privacy", False)


def lossy(
    truth: Sequence[int], released: Sequence[int], lost: Sequence[bool], purpose: Literal["utility", "private"]
) -> Scores:
    original = labelled_set(truth, truth, 4)
    made = dataclasses.replace(original.with_images(pictures(released)), missing=torch.tensor(lost))
    return F1("mood", purpose=purpose).score(original, made, Referees(attributes={"mood": reader(names(4))}))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=40))
def test_missing_images_count_as_wrong_where_utility_is_asked_for(rows: list[tuple[int, int, bool]]) -> None:
    truth, released, lost = (list(part) for part in zip(*rows, strict=True))
    scores = lossy(truth, released, lost, "utility")
    predicted = [NO_CLASS if gone else answer for answer, gone in zip(released, lost, strict=True)]
    classes = sorted({*truth, *predicted} - {NO_CLASS})
    expected = f1_score(truth, predicted, labels=classes, average="macro", zero_division=0)
    assert scores.score.value == pytest.approx(expected, abs=1e-12)
    assert scores.score.details == ({"missing images": sum(lost)} if any(lost) else {})
    hits = [float(one == other) for one, other in zip(truth, predicted, strict=True)]
    assert scores.per_image["f1(attribute=mood)"].tolist() == hits


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), min_size=1, max_size=40))
def test_missing_images_count_as_read_where_the_attribute_is_private(rows: list[tuple[int, int, bool]]) -> None:
    truth, released, lost = (list(part) for part in zip(*rows, strict=True))
    predicted = [one if gone else answer for one, answer, gone in zip(truth, released, lost, strict=True)]
    assert lossy(truth, released, lost, "private").score.value == pytest.approx(sklearn_f1(truth, predicted), abs=1e-12)


def test_an_entrant_that_releases_nothing_has_no_utility_and_no_privacy() -> None:
    truth = [0, 1, 2, 3] * 5
    values = [lossy(truth, truth, [True] * 20, purpose).score.value for purpose in ("utility", "private")]
    assert values == [0, 1]


def test_chance_is_what_many_uniform_guesses_score() -> None:
    truth = torch.tensor([0] * 70 + [1] * 20 + [2] * 10).repeat(2000)
    guesses = torch.randint(0, 4, truth.shape, generator=torch.Generator().manual_seed(1))
    expected = f1_score(truth, guesses, labels=range(4), average="macro", zero_division=0)
    assert chance_f1(truth, 4) == pytest.approx(expected, abs=2e-3)
    assert chance_f1(torch.tensor([0, 1, 2, 3]), 4) == 0.25


def test_chance_stands_beside_the_value() -> None:
    truth = [0] * 3 + [1]
    assert mood(truth, truth, truth, 2).anchors["chance"] == pytest.approx((0.75 / 1.25 + 0.25 / 0.75) / 2)


@dataclasses.dataclass(frozen=True)
class Stranger:
    """A judge from outside, with class names, an order and a blind spot of its own."""

    classes: tuple[str, ...] = ("YES", "Perhaps", "No")
    weights: dict[str, str] = dataclasses.field(default_factory=dict)

    def predictions(self, images: torch.Tensor, landmarks: torch.Tensor | None) -> torch.Tensor:
        return torch.tensor([0, 1, 2, -1, 0])


def test_classes_of_a_judge_are_found_by_name() -> None:
    labels = Labels(torch.tensor([0, 1]), ("no", "yes"))
    table = in_classes_of(labels, Stranger())
    assert table.tolist() == [1, NO_CLASS, 0]
    answers = Stranger().predictions(torch.empty(5), None)
    assert placed(answers, table).tolist() == [1, NO_CLASS, 0, NO_CLASS, 1]


def test_a_judge_that_does_not_know_a_class_is_refused() -> None:
    labels = Labels(torch.tensor([0, 1]), ("no", "maybe"))
    with pytest.raises(UsageError, match=r"does not know the class 'maybe'.*judge=suite"):
        in_classes_of(labels, Stranger())


def test_the_suite_has_no_part_in_a_judge_from_outside() -> None:
    metric = F1("gender", judge="deepface")
    card = metric.card
    assert (card.name, card.title) == ("f1(attribute=gender, judge=deepface)", "F1 gender, deepface")
    assert card.referees == ()
    original = ImageSet(pictures([0, 1]), keys(2), None, {"gender": Labels(torch.tensor([0, 1]), ("Man", "Woman"))})
    lacking = metric.missing()
    if lacking is None:
        pytest.skip("deepface's weights are here, so nothing is missing")
    score = metric.score(original, original, Referees()).score
    assert (score.status, score.reason, score.remedy) == ("unavailable", lacking.reason, lacking.remedy)


def test_resamples_without_a_rare_class_do_not_count() -> None:
    truth = torch.tensor([0] * 9 + [1])
    cells = confusion_cells(truth, torch.zeros(10, dtype=torch.int64), 2)
    with_rare, without_rare = cells.sum(0), cells[:9].sum(0)
    values = f1_of_resample(torch.stack([with_rare, without_rare]), truth.unique(), 2)
    assert values[0] == pytest.approx(f1_score(truth, torch.zeros(10), average="macro"))
    assert values[1].isnan()
