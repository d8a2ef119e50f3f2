"""Utility: what a classifier trained on originals still reads from the released images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from benchmark.images import ImageSet
from benchmark.protocols import Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.specs import Spec
from benchmark.statistics import bootstrap, clusters_of


def confusion_cells(truth: torch.Tensor, predicted: torch.Tensor, classes: int) -> torch.Tensor:
    """One-hot cell of the confusion matrix per image: float64 ``[N, K*K]``, row = truth, column = predicted."""
    return torch.nn.functional.one_hot(truth * classes + predicted, classes * classes).double()


def macro_f1(cells: torch.Tensor, classes: int) -> torch.Tensor:
    """Macro F1 of confusion matrices.

    A class that is neither present nor predicted does not count; one that is only present or only predicted has F1 0
    (as ``sklearn.metrics.f1_score(average="macro", zero_division=0)``).

    Args:
        cells: ``[B, K*K]`` counts.
        classes: K.

    Returns:
        float64 ``[B]``, NaN where a matrix is empty.
    """
    matrix = cells.unflatten(1, (classes, classes))
    hit = matrix.diagonal(dim1=1, dim2=2)
    marginals = matrix.sum(1) + matrix.sum(2)
    present = marginals > 0
    f1 = torch.where(present, 2 * hit / marginals.clamp(min=1), 0.0)
    mean: torch.Tensor = f1.sum(1) / present.sum(1)
    return mean


def f1_of_resample(cells: torch.Tensor, present: torch.Tensor, classes: int) -> torch.Tensor:
    """Macro F1 of resamples that hold every class the data hold; NaN for the others.

    A resample without the people of a rare class would otherwise look like easier data.

    Args:
        cells: ``[B, K*K]`` counts.
        present: int64, classes that occur in the data.
        classes: K.
    """
    truths = cells.unflatten(1, (classes, classes)).sum(2)[:, present]
    return torch.where((truths > 0).all(1), macro_f1(cells, classes), torch.nan)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class F1:
    """Macro F1 of one attribute, predicted by a classifier that was trained on originals of other people."""

    attribute: str

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return MetricCard(
            name=str(Spec("f1", {"attribute": self.attribute})),
            version=1,
            title=f"F1 {self.attribute.replace('_', ' ')}",
            group="utility",
            unit="share",
            higher_is_better=True,
            range=(0.0, 1.0),
            definition=(
                f"Macro F1 of {self.attribute} on the released images, predicted by the suite's classifier, which was "
                "trained on original photographs of other people. Beside it: F1 on the originals and F1 of always "
                "answering the most frequent class."
            ),
            referees=(self.attribute,),
            calibration=(
                "scikit-learn's f1_score (macro, zero_division=0) to 1e-12; F1 on originals and of always answering the "
                "majority stand beside every value."
            ),
            source="Haffar et al., IEEE Access 13 (2025) 63827",
        )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Macro F1 over the attribute's classes, with ``originals`` and ``always-majority`` as anchors."""
        name = self.card.name
        classifier, labels = referees.attributes.get(self.attribute), original.attributes.get(self.attribute)
        if classifier is None or labels is None:
            reason = f"the data have no labels named {self.attribute}"
            return Scores(Score(metric=name, status="not-applicable", reason=reason, n=len(original)))
        truth, classes = labels.values, len(labels.classes)
        predicted = classifier.for_labels(labels).predictions(released.images)
        cells = confusion_cells(truth, predicted, classes)
        clusters = clusters_of(original)
        score = Score(
            metric=name,
            value=float(macro_f1(cells.sum(0, keepdim=True), classes)),
            n=len(truth),
            n_clusters=len(clusters.unique()),
            interval=bootstrap(cells, clusters, partial(f1_of_resample, present=truth.unique(), classes=classes)),
            anchors=_anchors(truth, classifier.predictions(original.images), classes),
        )
        return Scores(score, {name: (predicted == truth).double()})


def _anchors(truth: torch.Tensor, clean: torch.Tensor, classes: int) -> Mapping[str, float]:
    majority = torch.full_like(truth, int(torch.bincount(truth, minlength=classes).argmax()))
    guesses = {"originals": clean, "always-majority": majority}
    return {
        name: float(macro_f1(confusion_cells(truth, guess, classes).sum(0, keepdim=True), classes))
        for name, guess in guesses.items()
    }
