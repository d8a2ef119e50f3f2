"""The adaptive (parrot) attacker: it owns the anonymizer, releases photographs itself and learns from what comes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmark.hashing import sha256_tensor
from benchmark.images import ImageSet
from benchmark.kept import Tensors, kept
from benchmark.learning.classifier import Classifier
from benchmark.learning.training import one_thread
from benchmark.protocols import Referees, Scores
from benchmark.records import MetricCard
from metrics.answers import not_applicable
from metrics.attackers.learn_bits import Bits
from metrics.attackers.learn_network import Network
from metrics.attackers.learn_pixels import Pixels
from metrics.attackers.learners import TOGETHER, Lesson, best, held_out, opinions, quality, thinned
from metrics.attackers.matching import Matches, same_photographs
from metrics.attackers.verdict import nobody_known, verdict

LEARNERS = ("network", "pixels", "bits", TOGETHER)
VERSION = 1


@dataclass(frozen=True)
class Adaptive:
    """Closed-set top-1 accuracy of whoever trained on images that the entrant itself released.

    Attributes:
        every: one of so many photographs of a person is held out to choose the learner by.
        photographs: that are learned from at most, two of everybody excepted.
        shown: images the network is shown at most while it learns; the closed forms need no such limit.
        others: background people the network learns along with the others.
    """

    every: int = 6
    photographs: int = 4000
    shown: int = 2400
    others: int = 40

    @property
    def card(self) -> MetricCard:
        """What the attacker has, how it learns and what is counted."""
        return MetricCard(
            name=self._name(),
            version=VERSION,
            title="Risk, adaptive attacker",
            group="privacy",
            unit="share",
            higher_is_better=False,
            range=(0.0, 1.0),
            definition=(
                "Share of released probe images whose person is named first by an attacker who has the anonymizer and other "
                "clear photographs of the same people, releases them itself, together with photographs of background "
                "people, and learns to recognise people on what comes out. Four ways to learn compete, and the one that is "
                "best on released photographs held out of the attacker's own counts: the suite's recogniser trained on, "
                "kernel ridge regression on pixels, both together, and naive Bayes on single bits. Missing images count as "
                "identified."
            ),
            rung="adaptive",
            needs_copy=True,
            referees=("recogniser",),
            calibration=(
                "Releasing originals gives exactly the attacker's own result on originals, releasing nothing gives chance; "
                "a person's number in the lowest bits of one pixel and a fixed permutation of all pixels are found."
            ),
            source=(
                "parrot recognition: Newton, Sweeney and Malin, Preserving Privacy by De-identifying Face Images, IEEE TKDE "
                "17(2), 2005; attackers who train on anonymized data: Hanisch et al., PoPETs 2024(1)"
            ),
        )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Top-1 over all released images, with chance and the same attack on originals as anchors.

        Raises:
            EntrantFailed: the entrant broke in the attacker's hands.
            EnvironmentProblem: the recogniser was trained for other people.
        """
        name, recogniser, copy = self._name(), referees.recogniser, referees.copy
        if original.identity is None:
            return nobody_known(name, len(original))
        if recogniser is None or copy is None or referees.photographs is None:
            lacking = "recogniser" if recogniser is None else "copy of the entrant" if copy is None else "photographs"
            return not_applicable(name, f"the attacker has no {lacking} to learn with", len(original))
        recogniser = recogniser.for_labels(original.identity)
        clear = referees.photographs("enrol")
        rows = self._usable(clear, original)
        if clear.identity is None or not len(rows):
            return not_applicable(
                name, "the attacker has no other photographs of the people to learn from", len(original)
            )
        recogniser = recogniser.for_labels(clear.identity)
        people = clear.identity.values[rows]
        attack = _Attack(self, recogniser, people, self._background(referees.photographs("background")), referees)
        found = attack.on(copy.released, rows, released.images)
        clean = attack.on(lambda split: _clear(referees, split), rows, original.images)
        details = attack.details(found, original.identity.values, ~released.delivered)
        seen, on_originals = (Matches.of_people(part["similarity"]) for part in (found, clean))
        return verdict(self.card, original, released, seen, on_originals, details)

    def _name(self) -> str:
        """``adaptive``, with the parameters that are not the default."""
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        other = [
            f"{field.name}={given[field.name]}"
            for field in dataclasses.fields(self)
            if given[field.name] != field.default
        ]
        return f"adaptive({', '.join(other)})" if other else "adaptive"

    def _usable(self, clear: ImageSet, original: ImageSet) -> torch.Tensor:
        """Rows of the photographs to learn from, int64: none that is a probe's original, and not too many."""
        if clear.identity is None or not len(clear):
            return torch.zeros(0, dtype=torch.int64)
        fresh = (~same_photographs(original.images, clear.images).any(0)).nonzero().flatten()
        return fresh[thinned(clear.identity.values[fresh], self.photographs)]

    def _background(self, photographs: ImageSet) -> _Others:
        """The first of the background people."""
        if photographs.identity is None or not len(photographs) or not self.others:
            return _Others(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
        people: torch.Tensor = torch.unique(photographs.identity.values, return_inverse=True)[1]
        rows = (people < self.others).nonzero().flatten()
        return _Others(rows, people[rows])


@dataclass(frozen=True, eq=False)
class _Others:
    """Background photographs to learn along: rows of the split, and who is on them (0..), both int64 ``[B]``."""

    rows: torch.Tensor
    people: torch.Tensor


@dataclass(frozen=True)
class _Attack:
    """The attack on one set of people, whatever was released of them."""

    settings: Adaptive
    recogniser: Classifier
    people: torch.Tensor
    background: _Others
    referees: Referees

    def on(self, given: Callable[[str], torch.Tensor], rows: torch.Tensor, probes: torch.Tensor) -> Tensors:
        """What comes of learning from some images and looking at others; never computed twice.

        Args:
            given: photographs of a split as the attacker has them, uint8 ``[N, 3, H, W]``.
            rows: of the enrol photographs to learn from.
            probes: uint8 ``[M, 3, H, W]``.
        """
        taught = given("enrol")[rows]
        others = given("background")[self.background.rows] if len(self.background.rows) else taught[:0]
        parts: list[Any] = [
            [self.settings._name(), VERSION, dataclasses.astuple(self.settings)],
            [sha256_tensor(part) for part in (taught, self.people, probes, others, self.background.people)],
            [self.recogniser.sha256, len(self.recogniser.classes)],
        ]
        return kept(self.referees.store, "attackers", parts, lambda: self._made(taught, others, probes))

    def _made(self, taught: torch.Tensor, others: torch.Tensor, probes: torch.Tensor) -> Tensors:
        """Similarities of the picked learner, and of each one what it answers and how good it was before."""
        checked = held_out(self.people, self.settings.every)
        lesson = Lesson(taught, self.people, len(self.recogniser.classes), checked)
        shown = self.settings.shown
        along = (others, self.background.people) if len(others) else None
        network = Network(self.recogniser, shown, shown, device=self.referees.device, others=along)
        with self.referees.report(self.settings._name(), network.images_shown(lesson)) as progress, one_thread():
            learners = (dataclasses.replace(network, progress=progress), Pixels(), Bits())
            said = opinions(learners, lesson, probes)
            row = best([one.judged for one in said], lesson.truth)
            held = [quality(one.judged, lesson.truth)[0] if len(lesson.truth) else 0.0 for one in said]
        return {
            "similarity": said[row].found,
            "answers": torch.stack([one.found.argmax(1) for one in said]),
            "held out": torch.tensor(held, dtype=torch.float64),
            "picked": torch.tensor(row),
        }

    def details(self, found: Tensors, truth: torch.Tensor, missing: torch.Tensor) -> dict[str, float]:
        """Top-1 of every learner on the probes, and which was picked, with its top-1 on what was held out (0: nothing was)."""
        hits = ((found["answers"] == truth) | missing).double().mean(1).tolist()
        names = LEARNERS[: len(hits)]
        row, held = int(found["picked"]), found["held out"].tolist()
        return {
            **{f"learner {name}": hit for name, hit in zip(names, hits, strict=True)},
            f"picked: {names[row]}": held[row],
        }


def _clear(referees: Referees, split: str) -> torch.Tensor:
    """The photographs of a split as they are."""
    assert referees.photographs is not None
    return referees.photographs(split).images
