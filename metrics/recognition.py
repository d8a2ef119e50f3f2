"""Re-identification risk: what an attacker makes of the released images."""

from __future__ import annotations

from dataclasses import dataclass

from benchmark.images import ImageSet
from benchmark.protocols import Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.statistics import mean_scores


@dataclass(frozen=True)
class Static:
    """Closed-set top-1 accuracy of the suite's recogniser, trained on originals, on the released images."""

    card = MetricCard(
        name="static",
        version=1,
        title="Risk, static attacker",
        group="privacy",
        unit="share",
        higher_is_better=False,
        range=(0.0, 1.0),
        definition=(
            "Share of released probe images whose person the suite's recogniser, trained on other, original "
            "photographs of the same people, names first. Chance is one over the number of people. The weakest "
            "attacker: it never sees a released image before it is asked."
        ),
        referees=("recogniser",),
        calibration=(
            "Accuracy on originals and chance stand beside every value; releasing originals and releasing nothing are "
            "rows of the board."
        ),
        source="RIR of EDI-Anon (Haffar et al., Transactions on Data Privacy 18:3, 2025)",
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Top-1 over all released images, with chance and the accuracy on originals as anchors."""
        if referees.recogniser is None or original.identity is None:
            return Scores(_nobody_known(self.card.name, len(original)))
        recogniser, truth = referees.recogniser.for_labels(original.identity), original.identity.values
        hit = (recogniser.predictions(released.images) == truth).double()
        clean = (recogniser.predictions(original.images) == truth).double()
        anchors = {"chance": 1 / len(original.identity.classes), "originals": float(clean.mean())}
        return mean_scores(self.card.name, hit, original, anchors=anchors)


def _nobody_known(metric: str, n: int) -> Score:
    reason = "the data name no identities, so nobody can be re-identified"
    return Score(metric=metric, status="not-applicable", reason=reason, n=n)
