"""PerceptAnon as a metric of the benchmark: how anonymous a panel would find the released images."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from benchmark import weights
from benchmark.images import ImageSet
from benchmark.protocols import Missing, Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.specs import Spec
from benchmark.statistics import mean_scores

CHECKPOINT = "panel.safetensors"
"""The file of a suite with the network that learned its simulated panel; its settings lie beside it."""
SOURCE = "Patwari et al., PerceptAnon, ICML 2024 (PMLR 235:39955)"
HUMAN = (
    "Mean over images of the score that the authors' ResNet-50, trained on what people said about anonymized photographs "
    "(HA1: it sees the released image alone), gives to the released images: 1 = not anonymous, 10 = anonymous. It "
    "estimates what people perceive, and proves nothing about attackers."
)
SIMULATED = (
    "Mean over images of the score that a small network of PerceptAnon's kind (HA2: it sees original and released image) "
    "expects of a SIMULATED panel, not of people: 12 recognisers that see 12 to 32 px a side tried to pick the person out "
    "of line-ups of 10 originals; score = 1 + 9 x share of failures. It learned background people of the suite under its "
    "own list of filters; other methods are outside of what it knows."
)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PerceptAnon:
    """A learned score of how anonymous people, or a simulated panel, find the released images."""

    panel: Literal["human", "simulated"] = "human"
    labels: Literal["mean", "labels10"] = "mean"

    def __post_init__(self) -> None:
        if self.panel == "simulated" and self.labels != "mean":
            raise ValueError("the simulated panel has a mean score only; leave labels out")

    @property
    def entry(self) -> str:
        """Name of the authors' weights."""
        return f"perceptanon-ha1-{self.labels}"

    @cached_property
    def card(self) -> MetricCard:
        """The metric's card."""
        simulated = self.panel == "simulated"
        params: dict[str, bool | int | float | str] = {"panel": self.panel}
        if self.labels != "mean":
            params["labels"] = self.labels
        return MetricCard(
            name=str(Spec("perceptanon", params)),
            version=1,
            title=f"PerceptAnon ({self.panel} panel)",
            group="privacy",
            unit="score",
            higher_is_better=True,
            range=(1.0, 10.0),
            definition=SIMULATED if simulated else HUMAN,
            source=SOURCE,
            weights={} if simulated else self._found(),
            referees=(CHECKPOINT,) if simulated else (),
            calibration=(
                "Correlated with the panel itself on the evaluated people, whom neither network nor observers learned; see "
                "the table of correlations on the board."
                if simulated
                else "The published agreement with people: Spearman .88 and Kendall .70 (mean), .90 and .84 (labels10). Not "
                "repeated here: the human scores cannot be downloaded freely."
            ),
        )

    def missing(self) -> Missing | None:
        """What the authors' weights lack; the simulated panel's come with the suite."""
        return None if self.panel == "simulated" else weights.missing([self.entry])

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean over images, one value per image on the scale 1 to 10."""
        from metrics.perceptanon.checkpoint import load, load_authors

        name = self.card.name
        if self.panel == "simulated":
            path = referees.files.get(CHECKPOINT)
            if path is None:
                reason = "the suite ships no network that learned a simulated panel; the portraits suites do"
                return Scores(Score(metric=name, status="not-applicable", reason=reason, n=len(original)))
            perception = load(path, referees.device)
        else:
            perception = load_authors(weights.locate(self.entry), device=referees.device)
        values = torch.from_numpy(perception.scores(original.images, released.images))
        if self.labels == "labels10":
            values = values + 1  # class 0 stands for a rounded score of 1
        return mean_scores(name, values, original)

    def _found(self) -> dict[str, str]:
        if weights.missing([self.entry]) is not None:
            return {}
        name, _, sha256 = weights.first_located([self.entry])
        return {name: sha256}
