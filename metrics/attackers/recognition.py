"""Attackers that learned from clear photographs of the very people, and never saw a released image."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.images import ImageSet
from benchmark.learning.classifier import Classifier
from benchmark.protocols import Referees, Scores
from benchmark.records import MetricCard
from metrics.answers import not_applicable
from metrics.attackers.matching import logit_matches
from metrics.attackers.verdict import NO_RECOGNISER, nobody_known, verdict

_CALIBRATION = (
    "Accuracy on originals and chance stand beside every value; releasing originals and releasing nothing are rows of the "
    "board. EER, AUC and D_sys agree with their closed forms for normal scores, TAR@FAR and AUC exactly with scikit-learn."
)


@dataclass(frozen=True)
class Static:
    """Closed-set top-1 accuracy of the suite's recogniser, trained on originals, on the released images."""

    card = MetricCard(
        name="static",
        version=2,
        title="Risk, static attacker",
        group="privacy",
        unit="share",
        higher_is_better=False,
        range=(0.0, 1.0),
        definition=(
            "Share of released probe images whose person the suite's recogniser, trained on other, original "
            "photographs of the same people, names first. Missing images count as identified. Chance is one over the "
            "number of people. The weakest attacker: it never sees a released image before it is asked."
        ),
        rung="static",
        referees=("recogniser",),
        calibration=_CALIBRATION,
        source="RIR of EDI-Anon (Haffar et al., Transactions on Data Privacy 18:3, 2025)",
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Top-1 over all released images, with chance and the accuracy on originals as anchors."""
        return _judged(self.card, referees.recogniser, NO_RECOGNISER, original, released)


@dataclass(frozen=True)
class Transfer:
    """Closed-set top-1 accuracy of another architecture, trained on originals, on the released images."""

    card = MetricCard(
        name="transfer",
        version=1,
        title="Risk, transfer attacker",
        group="privacy",
        unit="share",
        higher_is_better=False,
        range=(0.0, 1.0),
        definition=(
            "Share of released probe images whose person a second recogniser names first: another architecture, trained on "
            "the same original photographs and never shown to any anonymizer. Missing images count as identified. Who "
            "optimises against the suite's recogniser has to fool this one without having seen it."
        ),
        rung="transfer",
        referees=("transfer",),
        calibration=_CALIBRATION,
        source="a set of unseen attackers, the worst one counts: Wu et al., ECCV 2018, arXiv 1807.08379",
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Top-1 over all released images, with chance and the accuracy on originals as anchors."""
        lacking = "the suite has no second recogniser of the evaluated people"
        return _judged(self.card, referees.attackers.get("transfer"), lacking, original, released)


def _judged(
    card: MetricCard, attacker: Classifier | None, lacking: str, original: ImageSet, released: ImageSet
) -> Scores:
    """The verdict on a classifier of the people; ``lacking`` says why there is none where there is none.

    Raises:
        EnvironmentProblem: it was trained for other people.
    """
    if original.identity is None:
        return nobody_known(card.name, len(original))
    if attacker is None:
        return not_applicable(card.name, lacking, len(original))
    attacker = attacker.for_labels(original.identity)
    found, clean = (logit_matches(attacker, part.images) for part in (released, original))
    return verdict(card, original, released, found, clean)
