"""The whole ladder over several entrants: what is the same for all of them is computed once, and the ends are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.hashing import sha256_tensor
from benchmark.images import ImageSet, Labels, Released
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.learning.training import Recipe, one_thread, train
from benchmark.protocols import Controller, Referees, Report, quiet
from benchmark.records import EntrantFacts, Score, SuiteFacts
from benchmark.registry import Entrant, build_entrant
from benchmark.release import Settings, make_release
from benchmark.scoring import Scorer
from benchmark.specs import Spec
from benchmark.store import Store

RUNGS = ("static", "transfer", "embedding(network=background)", "adaptive", "reversal")
PEOPLE = 6
SIDE = 32


def photographs(split: str, people: int, count: int, seed: int) -> ImageSet:
    """People are smooth patterns; photographs of them differ in brightness and noise."""
    generator = torch.Generator().manual_seed(seed)
    faces = torch.rand(people, 3, 4, 4, generator=generator)
    faces = torch.nn.functional.interpolate(faces, SIDE, mode="bilinear").repeat_interleave(count, 0)
    draws = torch.Generator().manual_seed(100 * seed + len(split))
    light = 0.85 + 0.3 * torch.rand(len(faces), 1, 1, 1, generator=draws)
    noisy = faces * light + 0.04 * torch.randn(faces.shape, generator=draws)
    names = tuple(f"{'person' if split in ('enrol', 'probe') else split}-{number}" for number in range(people))
    keys = tuple(f"{name}/{split}-{row}" for name in names for row in range(count))
    pixels = (noisy.clamp(0, 1) * 255).round().to(torch.uint8)
    return ImageSet(pixels, keys, Labels(torch.arange(people).repeat_interleave(count), names))


SETS = {
    "enrol": photographs("enrol", PEOPLE, 12, 1),
    "probe": photographs("probe", PEOPLE, 4, 1),
    "background": photographs("background", 12, 3, 2),
}


def classes_of(split: str) -> Labels:
    labels = SETS[split].identity
    assert labels is not None
    return labels


@cache
def trained(name: str, architecture: str, split: str, seed: int) -> Classifier:
    labels = classes_of(split)
    built = Architecture(architecture, labels.classes, {"width": 8})
    torch.manual_seed(seed)
    network = built.build()
    with one_thread():
        train(network, SETS[split].images, labels.values, Recipe(epochs=20, batch=12, flip=False), seed)
    return Classifier(name, built, network, f"sha256 of {name}")


def referees() -> Referees:
    return Referees(
        recogniser=trained("recogniser", "small-resnet", "enrol", 1).copy(),
        attackers={
            "transfer": trained("transfer", "small-plain", "enrol", 3).copy(),
            "embedding": trained("embedding", "small-resnet", "background", 4).copy(),
            "parrot": trained("parrot", "small-resnet", "enrol", 5).copy(),
        },
    )


class Suite:
    entrants = ()
    facts = SuiteFacts(name="s", version="1", suite_hash="salt", title="s", image_size=SIDE, splits=())

    def __init__(self, metrics: Sequence[str] = RUNGS) -> None:
        self.metrics = metrics
        self.made = referees()

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        return SETS[split]

    def referees(self, report: Report = quiet) -> Referees:
        return self.made


def scores_of(scorer: Scorer, entrant: Entrant, store: Store) -> dict[str, Score]:
    release = make_release(store, scorer.suite, entrant, 0, Settings())
    return {part.score.metric: part.score for part in scorer.score(entrant, 0, release, Settings())}


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Score]]:
    store = Store(tmp_path_factory.mktemp("store"))
    scorer = Scorer(store, Suite())
    return {name: scores_of(scorer, build_entrant(name), store) for name in ("identity", "black", "blur(kernel=9)")}


@pytest.mark.parametrize("rung", RUNGS)
def test_identity_gets_the_clean_score(rung: str, board: dict[str, dict[str, Score]]) -> None:
    score = board["identity"][rung]
    assert score.value == score.anchors["originals"]
    assert score.anchors["originals"] > 0.8


@pytest.mark.parametrize("rung", RUNGS)
def test_black_gets_chance(rung: str, board: dict[str, dict[str, Score]]) -> None:
    score = board["black"][rung]
    assert score.value == pytest.approx(1 / PEOPLE)
    assert score.interval is not None
    assert score.interval.low <= 1 / PEOPLE <= score.interval.high


@pytest.mark.parametrize("rung", RUNGS)
def test_an_attackers_score_on_originals_is_one_number(rung: str, board: dict[str, dict[str, Score]]) -> None:
    assert len({scores[rung].anchors["originals"] for scores in board.values()}) == 1


def test_risk_is_the_worst_rung(board: dict[str, dict[str, Score]]) -> None:
    for scores in board.values():
        values = {name: scores[name].value or 0.0 for name in RUNGS}
        assert scores["risk"].value == max(values.values())
        assert values[scores["risk"].by] == max(values.values())


def test_originals_meet_a_clear_model_once(tmp_path: Path) -> None:
    """Whatever the number of entrants, no clear model looks at the same original photographs twice."""
    suite, store = Suite(), Store(tmp_path)
    seen: Counter[tuple[str, str]] = Counter()

    def watch(name: str, own: torch.nn.Module) -> Any:
        def hook(network: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            if network is own:  # copies that learn further carry the hook along
                seen[name, sha256_tensor(given[0].contiguous())] += 1

        return hook

    models = [suite.made.recogniser, *suite.made.attackers.values()]
    for model in models:
        assert model is not None
        model.network.register_forward_pre_hook(watch(model.name, model.network))
        for part in model.network.children():  # features are read without the last layer
            if "stem" in dict(model.network.named_children()):
                part.register_forward_pre_hook(watch(f"{model.name} {type(part).__name__}", part))
    scorer = Scorer(store, suite)
    scores_of(scorer, build_entrant("blur(kernel=9)"), store)
    clean = set(seen)
    scores_of(scorer, build_entrant("pixelate(size=8)"), store)
    scores_of(scorer, build_entrant("gaussian-noise(sigma=40)"), store)
    originals = {key for key in clean if key[1] in _batches_of_originals()}
    assert originals
    assert {key: seen[key] for key in originals} == dict.fromkeys(originals, 1)


def _batches_of_originals() -> set[str]:
    from benchmark.learning.classifier import SCORING_BATCH

    parts = [part for images in SETS.values() for part in images.images.split(SCORING_BATCH)]
    variants = [
        make(part.float() / 255)
        for part in parts
        for make in (lambda x: x, lambda x: x.flip(3), lambda x: (x - 0.5) * 4)
    ]
    return {sha256_tensor(part.contiguous()) for part in variants}


class Precomputed:
    """Delivers the probes alone."""

    kind = "precomputed"
    probes_alone = True

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        return Released(255 - images.images)


def test_who_cannot_be_attacked_in_full_is_not_ranked(tmp_path: Path) -> None:
    facts = EntrantFacts(name="p", family="p", params={}, entry_hash="0", kind="precomputed")
    store = Store(tmp_path)
    scores = scores_of(Scorer(store, Suite()), Entrant(Spec("p", {}), Precomputed(), facts), store)
    for rung in ("adaptive", "reversal"):
        assert scores[rung].status == "unavailable"
        assert scores[rung].remedy
    risk = scores["risk"]
    assert (risk.status, risk.value) == ("unavailable", None)
    assert risk.details["at least"] == max(scores[name].value or 0.0 for name in RUNGS[:3])


class Shy:
    """Releases the probes, and breaks on any other photographs."""

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        if len(images) != len(SETS["probe"]):
            raise RuntimeError("these are not my images")
        return Released(255 - images.images)


def test_who_breaks_in_the_attackers_hands_fails_there_and_is_not_ranked(tmp_path: Path) -> None:
    facts = EntrantFacts(name="p", family="p", params={}, entry_hash="0")
    store = Store(tmp_path)
    scores = scores_of(Scorer(store, Suite()), Entrant(Spec("p", {}), Shy(), facts), store)
    for rung in ("adaptive", "reversal"):
        assert (scores[rung].status, scores[rung].value) == ("failed", None)
        assert "these are not my images" in (scores[rung].reason or "")
    for rung in RUNGS[:3]:
        assert scores[rung].status == "ok"
    risk = scores["risk"]
    assert (risk.status, risk.value) == ("unavailable", None)
    assert risk.details["at least"] == max(scores[name].value or 0.0 for name in RUNGS[:3])
