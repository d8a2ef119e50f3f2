"""Utility, tested: what a classifier trained on originals still reads from the released images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from benchmark.errors import EnvironmentProblem
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Missing, Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.specs import Spec
from benchmark.statistics import bootstrap, clusters_of
from metrics.answers import not_applicable, unavailable
from metrics.judge_protocol import NO_CLASS, Judge, SuiteJudge, in_classes_of, placed

DIRECTIONS = (
    "Beside it: F1 on the originals, F1 of always answering the most frequent class, and chance, the F1 of the expected "
    "confusion matrix of uniform guesses."
)


def confusion_cells(truth: torch.Tensor, predicted: torch.Tensor, classes: int) -> torch.Tensor:
    """One-hot cell of the confusion matrix per image.

    Args:
        truth: int64 ``[N]``, 0..K-1.
        predicted: int64 ``[N]``, 0..K-1, or ``NO_CLASS``.
        classes: K.

    Returns:
        float64 ``[N, K*(K+1)]``, row = truth, column = predicted, the last column for no class.
    """
    column = torch.where(predicted == NO_CLASS, classes, predicted)
    return torch.nn.functional.one_hot(truth * (classes + 1) + column, classes * (classes + 1)).double()


def macro_f1(cells: torch.Tensor, classes: int) -> torch.Tensor:
    """Macro F1 of confusion matrices.

    A class that is neither present nor predicted does not count; one that is only present or only predicted has F1 0
    (as ``sklearn.metrics.f1_score(average="macro", zero_division=0)``). Images without a predicted class are missed
    by their own class and charged to no other.

    Args:
        cells: ``[B, K*K]`` or ``[B, K*(K+1)]`` counts, columns beyond K for no class.
        classes: K.

    Returns:
        float64 ``[B]``, NaN where a matrix is empty.
    """
    matrix = cells.unflatten(1, (classes, -1))
    hit = matrix.diagonal(dim1=1, dim2=2)
    marginals = matrix.sum(2) + matrix.sum(1)[:, :classes]
    present = marginals > 0
    f1 = torch.where(present, 2 * hit / marginals.clamp(min=1), 0.0)
    mean: torch.Tensor = f1.sum(1) / present.sum(1)
    return mean


def f1_of_resample(cells: torch.Tensor, present: torch.Tensor, classes: int) -> torch.Tensor:
    """Macro F1 of resamples that hold every class the data hold; NaN for the others.

    A resample without the people of a rare class would otherwise look like easier data.

    Args:
        cells: counts as for ``macro_f1``.
        present: int64, classes that occur in the data.
        classes: K.
    """
    truths = cells.unflatten(1, (classes, -1)).sum(2)[:, present]
    return torch.where((truths > 0).all(1), macro_f1(cells, classes), torch.nan)


def chance_f1(truth: torch.Tensor, classes: int) -> float:
    """Macro F1 of the expected confusion matrix of uniform guesses: the mean of 2pq / (p + q) over classes.

    Args:
        truth: int64 ``[N]``; p is the share of a class, and q = 1/K.
        classes: K.
    """
    share = torch.bincount(truth, minlength=classes).double() / len(truth)
    return float((2 * share / (classes * share + 1)).mean())


def f1_of(truth: torch.Tensor, predicted: torch.Tensor, classes: int) -> float:
    """Macro F1 of predictions (int64 ``[N]``, ``NO_CLASS`` allowed)."""
    return float(macro_f1(confusion_cells(truth, predicted, classes).sum(0, keepdim=True), classes))


def f1_scores(
    metric: str,
    original: ImageSet,
    labels: Labels,
    predicted: torch.Tensor,
    clean: torch.Tensor,
    details: Mapping[str, float] | None = None,
) -> Scores:
    """Macro F1 with interval and anchors.

    Args:
        metric: name on the metric's card.
        original: the probes.
        labels: their true classes.
        predicted: int64 ``[N]``, what counts; ``NO_CLASS`` is wrong.
        clean: int64 ``[N]``, the same on originals, or of a training on originals.
        details: further numbers to show.
    """
    truth, classes, clusters = labels.values, len(labels.classes), clusters_of(original)
    cells = confusion_cells(truth, predicted, classes)
    majority = torch.full_like(truth, int(torch.bincount(truth, minlength=classes).argmax()))
    score = Score(
        metric=metric,
        value=float(macro_f1(cells.sum(0, keepdim=True), classes)),
        n=len(truth),
        n_clusters=len(clusters.unique()),
        interval=bootstrap(cells, clusters, partial(f1_of_resample, present=truth.unique(), classes=classes)),
        anchors={
            "originals": f1_of(truth, clean, classes),
            "always-majority": f1_of(truth, majority, classes),
            "chance": chance_f1(truth, classes),
        },
        details=dict(details or {}),
    )
    return Scores(score, {metric: (predicted == truth).double()})


def no_such_attribute(metric: str, attribute: str, count: int) -> Scores:
    """The answer where nothing is labelled."""
    reason = f"the data have no labels named {attribute}"
    return not_applicable(metric, reason, count)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class F1:
    """Macro F1 of one attribute on released images, predicted by a classifier that was trained on originals.

    Attributes:
        attribute: which.
        purpose: ``utility`` where the attribute is to be kept, ``private`` where it is to be hidden.
        judge: ``suite`` for the suite's classifier, ``deepface`` for the published networks of that package.
    """

    attribute: str
    purpose: Literal["utility", "private"] = "utility"
    judge: Literal["suite", "deepface"] = "suite"

    @property
    def name(self) -> str:
        """Name on the card: the attribute, and what is not the default."""
        given = {"attribute": self.attribute, "purpose": self.purpose, "judge": self.judge}
        usual = {"purpose": "utility", "judge": "suite"}
        return str(Spec("f1", {key: value for key, value in given.items() if usual.get(key) != value}))

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        private, own = self.purpose == "private", self.judge == "suite"
        marks = [*(["private"] if private else []), *([] if own else [self.judge])]
        return MetricCard(
            name=self.name,
            version=2,
            title=", ".join([f"F1 {self.attribute.replace('_', ' ')}", *marks]),
            group="privacy" if private else "utility",
            unit="share",
            higher_is_better=not private,
            range=(0.0, 1.0),
            definition=self._definition(),
            weights={} if own else self._weights(),
            referees=(self.attribute,) if own else (),
            calibration=(
                "scikit-learn's f1_score (macro, zero_division=0) to 1e-12; F1 on originals, of always answering the "
                "majority and of guessing stand beside every value."
            ),
            source="Haffar et al., IEEE Access 13 (2025) 63827",
        )

    def _definition(self) -> str:
        who = (
            "the suite's classifier, which was trained on original photographs of other people"
            if self.judge == "suite"
            else "deepface's published networks, trained on photographs of people outside of the suite"
        )
        lost = "right: whoever has them reads them" if self.purpose == "private" else "wrong"
        return (
            f"Macro F1 of {self.attribute} on the released images, predicted by {who}. Images that were never released "
            f"count as {lost}; images on which no face is found count as wrong. {DIRECTIONS}"
        )

    def missing(self) -> Missing | None:
        """What the judge lacks on this machine; the suite's comes with it."""
        found = None if self.judge == "suite" else self._deepface()
        return found if isinstance(found, Missing) else None

    def _deepface(self) -> Judge | Missing:
        """Deepface's network for the attribute, asked for its weights before anybody knows the data."""
        from metrics.judges import deepface_judge

        return deepface_judge(self.attribute)

    def _weights(self) -> dict[str, str]:
        found = self._deepface()
        return {} if isinstance(found, Missing) else dict(found.weights)

    def _judge(self, labels: Labels, referees: Referees) -> Judge | Missing | None:
        if self.judge == "deepface":
            from metrics.judges import deepface_judge

            return deepface_judge(self.attribute, labels.classes, referees.device)
        classifier = referees.attributes.get(self.attribute)
        return None if classifier is None else SuiteJudge(classifier.for_labels(labels))

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Macro F1 over the attribute's classes, with ``originals``, ``always-majority`` and ``chance`` as anchors.

        Raises:
            UsageError: the judge does not know a class of the labels.
        """
        labels = original.attributes.get(self.attribute)
        judge = None if labels is None else self._judge(labels, referees)
        if labels is None or judge is None:
            return no_such_attribute(self.name, self.attribute, len(original))
        if isinstance(judge, Missing):
            return unavailable(self.name, judge, len(original))
        place = in_classes_of(labels, judge)
        try:
            seen, clean = (judge.predictions(part.images, original.landmarks) for part in (released, original))
        except EnvironmentProblem as error:  # a file that is not what it is called
            remedy = " ".join(["anonbench weights verify", *judge.weights])
            return unavailable(self.name, Missing(str(error), remedy), len(original))
        lost = labels.values if self.purpose == "private" else torch.full_like(labels.values, NO_CLASS)
        predicted = torch.where(released.delivered, placed(seen, place), lost)
        return f1_scores(
            self.name,
            original,
            labels,
            predicted,
            placed(clean, place),
            _unread(seen, clean, place, released.delivered),
        )


def _unread(
    seen: torch.Tensor, clean: torch.Tensor, place: torch.Tensor, delivered: torch.Tensor
) -> Mapping[str, float]:
    """How many images have no class, by reason; reasons that do not occur are left out."""
    faceless = (seen == NO_CLASS) & delivered
    counts = {
        "missing images": ~delivered,
        "no face found": faceless,
        "no face found on originals": clean == NO_CLASS,
        "other classes": (placed(seen, place) == NO_CLASS) & delivered & ~faceless,
    }
    return {name: float(rows.sum()) for name, rows in counts.items() if bool(rows.any())}
