"""Training on released photographs, where the label is a colour that an entrant keeps, mixes or turns around."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sklearn.metrics import f1_score

from benchmark.copies import OwnCopy
from benchmark.errors import UsageError
from benchmark.images import ImageSet, Labels, Released
from benchmark.protocols import Anonymizer, Controller, Referees, Scores
from benchmark.records import EntrantFacts
from benchmark.registry import Entrant, build_entrant
from benchmark.release import Settings
from benchmark.specs import Spec, construct, parse_spec
from benchmark.store import Store
from metrics.utility_train import FOLDER, F1Train, Lesson, loss_of_heads, shrunk

SIDE = 32
TINT = ("cold", "warm")
LEVEL = ("dark", "middle", "light")


def portraits(split: str, count: int) -> ImageSet:
    """Noise, red or blue (``tint``) and of one of three brightnesses (``level``)."""
    generator = torch.Generator().manual_seed(count)
    tint = (torch.rand(count, generator=generator) < 0.4).long()
    level = torch.randint(0, 3, (count,), generator=generator)
    images = torch.randn(count, 3, SIDE, SIDE, generator=generator) * 20 + 128
    images += (level * 50.0 - 50)[:, None, None, None]
    images += (tint * 60.0 - 30)[:, None, None, None] * torch.tensor([1.0, 0.0, -1.0])[:, None, None]
    keys = tuple(f"{split}/{row:03d}" for row in range(count))
    identity = Labels(torch.arange(count) // 2, tuple(f"{split} {row}" for row in range((count + 1) // 2)))
    return ImageSet(
        images.clamp(0, 255).to(torch.uint8),
        keys,
        identity,
        {"tint": Labels(tint, TINT), "level": Labels(level, LEVEL)},
    )


BACKGROUND, PROBES = portraits("background", 120), portraits("probe", 60)


@dataclasses.dataclass
class Painter:
    """An anonymizer made of one function; counts how often it is asked."""

    paint: Callable[[torch.Tensor], torch.Tensor]
    asked: int = 0

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        self.asked += 1
        return Released(self.paint(images.images))


def mixed(images: torch.Tensor) -> torch.Tensor:
    """Exchanges red and blue in a random half of the images."""
    half = torch.rand(len(images), generator=torch.Generator().manual_seed(3)) < 0.5
    return torch.where(half[:, None, None, None], images.flip(1), images)


def exchanged(images: torch.Tensor) -> torch.Tensor:
    return images.flip(1)


def entrant_of(anonymizer: Anonymizer) -> Entrant:
    return Entrant(Spec("painter", {}), anonymizer, EntrantFacts(name="p", family="p", params={}, entry_hash="0"))


def referees_of(entrant: Entrant, store: Store, background: ImageSet = BACKGROUND) -> Referees:
    copy = OwnCopy(entrant, "cell", 0, lambda _: background, {}, "salt", Settings(), store)
    return Referees(photographs=lambda _: background, copy=copy, store=store)


def scored(entrant: Entrant, folder: Path, attribute: str = "tint") -> Scores:
    return F1Train(attribute).score(PROBES, PROBES, referees_of(entrant, Store(folder)))


def value(scores: Scores) -> float:
    assert scores.score.value is not None, scores.score.reason
    return scores.score.value


def truth(name: str) -> torch.Tensor:
    return PROBES.attributes[name].values


def trainings(folder: Path) -> int:
    return len(list((folder / FOLDER).glob("*.safetensors")))


@pytest.mark.parametrize("attribute", ["tint", "level"])
def test_releasing_originals_gives_the_anchor_to_the_bit(attribute: str, tmp_path: Path) -> None:
    scores = scored(build_entrant("identity"), tmp_path, attribute)
    assert value(scores) == scores.score.anchors["originals"] > 0.9
    assert trainings(tmp_path) == 1


def test_value_and_interval_are_those_of_the_answers(tmp_path: Path) -> None:
    scores = scored(build_entrant("gaussian-noise(sigma=100)"), tmp_path)
    hit = scores.per_image["f1-train(attribute=tint)"].bool()
    predicted = torch.where(hit, truth("tint"), 1 - truth("tint"))
    assert value(scores) == pytest.approx(f1_score(truth("tint"), predicted, average="macro"), abs=1e-12)
    assert (scores.score.n, scores.score.n_clusters) == (60, 30)
    interval = scores.score.interval
    assert interval is not None
    assert interval.low <= value(scores) <= interval.high


def test_a_colour_is_learned_where_it_is_kept_and_not_where_it_is_mixed(tmp_path: Path) -> None:
    kept, lost = (
        scored(entrant, tmp_path) for entrant in (build_entrant("blur(kernel=3)"), entrant_of(Painter(mixed)))
    )
    assert value(kept) > 0.9
    assert value(lost) < 0.75
    level = scored(entrant_of(Painter(mixed)), tmp_path, "level")
    assert value(level) > 0.85


def test_released_images_that_lie_teach_the_contrary(tmp_path: Path) -> None:
    scores = scored(entrant_of(Painter(exchanged)), tmp_path)
    assert value(scores) < 0.1 < scores.score.anchors["chance"] < scores.score.anchors["originals"]


@pytest.mark.parametrize("attribute", ["tint", "level"])
def test_black_teaches_the_most_frequent_class_and_nothing_else(attribute: str, tmp_path: Path) -> None:
    scores = scored(build_entrant("black"), tmp_path, attribute)
    most = int(BACKGROUND.attributes[attribute].values.bincount().argmax())
    always = torch.full_like(truth(attribute), most)
    assert value(scores) == pytest.approx(
        f1_score(truth(attribute), always, average="macro", zero_division=0), abs=1e-12
    )


def test_anchors_are_closed_forms(tmp_path: Path) -> None:
    anchors = scored(build_entrant("black"), tmp_path).score.anchors
    share = truth("tint").bincount() / 60
    most = float(share.max())
    assert anchors["always-majority"] == pytest.approx(most / (1 + most))
    assert anchors["chance"] == pytest.approx(float((share / (share + 0.5)).mean()))


def test_all_attributes_share_one_copy_and_one_training(tmp_path: Path) -> None:
    painter = Painter(mixed)
    referees = referees_of(entrant_of(painter), Store(tmp_path))
    for attribute in ("tint", "level"):
        F1Train(attribute).score(PROBES, PROBES, referees)
    assert painter.asked == 1
    assert trainings(tmp_path) == 2  # on released, on originals


def test_a_kept_result_is_the_one_that_was_computed(tmp_path: Path) -> None:
    entrant = build_entrant("pixelate(size=8)")
    first, kept, again = (scored(entrant, tmp_path / folder, "level") for folder in ("a", "a", "b"))
    assert first.score == kept.score == again.score


def test_neither_threads_nor_randomness_around_it_matter() -> None:
    lesson = F1Train("tint", epochs=2).lesson
    threads = torch.get_num_threads()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = lesson.learned(BACKGROUND.images, BACKGROUND.attributes, PROBES.images)
    assert torch.get_rng_state().equal(before)
    try:
        torch.manual_seed(2)
        torch.set_num_threads(2)
        again = lesson.learned(BACKGROUND.images, BACKGROUND.attributes, PROBES.images)
    finally:
        torch.set_num_threads(threads)
    assert all(first[name].equal(again[name]) for name in ("tint", "level"))


def test_answers_do_not_depend_on_who_else_is_asked() -> None:
    lesson = F1Train("tint", epochs=2).lesson
    whole = lesson.learned(BACKGROUND.images, BACKGROUND.attributes, PROBES.images)
    part = lesson.learned(BACKGROUND.images, BACKGROUND.attributes, PROBES.images[40:].flip(0))
    assert part["level"].equal(whole["level"][40:].flip(0))


def test_settings_and_labels_are_part_of_what_is_kept(tmp_path: Path) -> None:
    referees = Referees(store=Store(tmp_path))
    labels = dict(BACKGROUND.attributes)
    turned = labels | {"tint": Labels(1 - labels["tint"].values, TINT)}
    for lesson, known in ((Lesson(1, 32, 0.01, 4, 16, 0), labels), (Lesson(1, 32, 0.01, 4, 16, 0), turned),
                          (Lesson(1, 32, 0.01, 4, 16, 1), labels), (Lesson(1, 32, 0.01, 4, 16, 1), labels)):  # fmt: skip
        lesson.kept(BACKGROUND.images, known, PROBES.images, referees)
    assert trainings(tmp_path) == 3


def test_without_photographs_or_labels_it_is_not_applicable(tmp_path: Path) -> None:
    entrant, store = build_entrant("identity"), Store(tmp_path)
    empty = referees_of(entrant, store, BACKGROUND[:0])
    unlabelled = referees_of(entrant, store, BACKGROUND.without(attributes=True))
    for metric, original, referees in (
        (F1Train("tint"), PROBES, empty),
        (F1Train("tint"), PROBES, dataclasses.replace(empty, photographs=None)),
        (F1Train("tint"), PROBES, unlabelled),
        (F1Train("age"), PROBES, referees_of(entrant, store)),
        (F1Train("tint"), PROBES.without(attributes=True), referees_of(entrant, store)),
    ):
        score = metric.score(original, original, referees).score
        assert (score.status, score.n) == ("not-applicable", 60)
        assert score.reason


def test_without_the_entrant_itself_it_is_unavailable() -> None:
    score = F1Train("tint").score(PROBES, PROBES, Referees(photographs=lambda _: BACKGROUND)).score
    assert score.status == "unavailable"
    assert score.remedy


def test_other_classes_in_the_background_are_an_error(tmp_path: Path) -> None:
    other = {"tint": Labels(BACKGROUND.attributes["tint"].values, ("blue", "red"))}
    referees = referees_of(
        build_entrant("identity"), Store(tmp_path), dataclasses.replace(BACKGROUND, attributes=other)
    )
    with pytest.raises(ValueError, match="classes of tint differ"):
        F1Train("tint").score(PROBES, PROBES, referees)


def test_card_names_the_attribute_and_what_is_unusual() -> None:
    card = F1Train("skin_tone").card
    assert (card.name, card.title) == ("f1-train(attribute=skin_tone)", "F1 skin tone, trained on released")
    assert card.needs_copy
    assert F1Train("tint", epochs=12, side=96).card.name == "f1-train(attribute=tint, epochs=12, side=96)"


def test_its_name_builds_it_again() -> None:
    metric = F1Train("tint", epochs=12, rate=0.005)
    assert construct(F1Train, parse_spec(metric.card.name)) == metric
    with pytest.raises(UsageError, match="epochs"):
        construct(F1Train, parse_spec("f1-train(attribute=tint, epochs=0)"))


def test_loss_of_heads_is_the_sum_of_their_cross_entropies() -> None:
    logits, targets = torch.randn(5, 5, generator=torch.Generator().manual_seed(0)), torch.tensor([[0, 2]]).expand(5, 2)
    soft = [0.95 * torch.eye(size)[one] + 0.05 / size for size, one in ((2, 0), (3, 2))]
    parts = [-(soft[0] * logits[:, :2].log_softmax(1)).sum(1), -(soft[1] * logits[:, 2:].log_softmax(1)).sum(1)]
    assert torch.allclose(loss_of_heads([2, 3])(logits, targets), sum(parts, torch.zeros(5)).mean())


def test_shrunk_images_are_means_over_blocks() -> None:
    images = PROBES.images[:3]
    blocks = images.double().unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
    assert shrunk(images, 16).equal(blocks.round().to(torch.uint8))
