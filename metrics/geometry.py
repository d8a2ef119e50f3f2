"""What a machine still finds on released faces: whether there is one, and where its five points are."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from benchmark.faces import YUNET, YUNET_SCORE, YUNET_SIDE, detections, usable
from benchmark.images import ImageSet
from benchmark.protocols import Missing, Referees, Scores
from benchmark.records import MetricCard
from benchmark.statistics import mean_scores
from benchmark.weights import missing
from metrics.answers import not_applicable, unavailable
from metrics.attackers.embedders import found_weights

UNDETECTED = 1.0
"""Error of an image on which no face is found, in distances between the eyes."""
HOW = f"YuNet (score at least {YUNET_SCORE}; images with a longer side beyond {YUNET_SIDE} px are shrunk to it)"


@dataclass(frozen=True)
class Detection:
    """Share of released images on which a face is found."""

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return MetricCard(
            name="detection",
            version=1,
            title="Face found",
            group="utility",
            unit="share",
            higher_is_better=True,
            range=(0.0, 1.0),
            definition=(
                f"Share of released images on which {HOW} finds a face, over all images; one that was never delivered "
                "has none. Beside it: the same on originals."
            ),
            source="detection rate of DeepPrivacy (Hukkelas et al. 2019); YuNet (Wu et al. 2023)",
            weights=found_weights(YUNET),
            calibration="The share on originals stands beside every value; a plane of one colour gives 0.",
        )

    def missing(self) -> Missing | None:
        """Whether YuNet is on this machine."""
        return missing([YUNET])

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """The share, with that on originals as an anchor."""
        name, lacking = self.card.name, self.missing()
        if lacking is not None:
            return unavailable(name, lacking, len(original))
        found = _found(released, referees)
        clean = usable(detections(original.images, referees.store)).double()
        return mean_scores(name, found.double(), original, anchors={"originals": float(clean.mean())})


@dataclass(frozen=True)
class Nme:
    """How far the points of a released face are from those of its original: normalised mean error (NME)."""

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return MetricCard(
            name="nme",
            version=1,
            title="Landmark error",
            group="utility",
            unit="eye distances",
            higher_is_better=False,
            range=(0.0, None),
            definition=(
                f"Mean distance of the five points that {HOW} finds on the released image to those of the original (the "
                "suite's landmarks, else YuNet's), over the distance between the original's eyes; mean over images. An "
                f"image on which no face is found, or that was never delivered, has error {UNDETECTED:g}; an original "
                "whose points nobody knows is left out."
            ),
            source="NME over the distance between the eyes, as in 300-W (Sagonas et al. 2013)",
            weights=found_weights(YUNET),
            calibration="closed form on planted points; the error on originals stands beside every value",
        )

    def missing(self) -> Missing | None:
        """Whether YuNet is on this machine."""
        return missing([YUNET])

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """The mean over images whose original has known points; ``undetected`` and ``without landmarks`` are counted."""
        name, lacking = self.card.name, self.missing()
        if lacking is not None:
            return unavailable(name, lacking, len(original))
        clean = detections(original.images, referees.store)
        truth = clean if original.landmarks is None else original.landmarks.double()
        known = usable(truth)
        if not bool(known.any()):
            reason = "no original has landmarks, and no face is found on any"
            return not_applicable(name, reason, len(original))
        found = _found(released, referees)
        error = landmark_error(detections(released.images, referees.store), truth, found)
        on_originals = landmark_error(clean, truth, usable(clean))
        return _over_known(name, error, known, found, float(on_originals[known].mean()), original)


def landmark_error(points: torch.Tensor, truth: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """Normalised mean error per image.

    Args:
        points: ``[N, 5, 2]`` in px, as found.
        truth: ``[N, 5, 2]`` in px, where they should be.
        found: bool ``[N]``, images with a face; the others have error ``UNDETECTED``.

    Returns:
        float64 ``[N]`` in distances between the eyes; NaN where the truth is not usable.
    """
    eyes = (truth[:, 0] - truth[:, 1]).double().norm(dim=1)
    error = (points - truth).double().norm(dim=2).mean(1) / eyes
    return torch.where(usable(truth), torch.where(found, error, UNDETECTED), torch.nan)


def _over_known(
    name: str, error: torch.Tensor, known: torch.Tensor, found: torch.Tensor, clean: float, original: ImageSet
) -> Scores:
    """The mean over the images in ``known``; the column holds NaN for the others."""
    lost = int((known & ~found).sum())
    counts = {"undetected": float(lost)}
    if not bool(known.all()):
        counts["without landmarks"] = float((~known).sum())
    rows = known.nonzero().flatten()
    scores = mean_scores(name, error[rows], original.select(rows), anchors={"originals": clean}, details=counts)
    return dataclasses.replace(scores, per_image={name: error})


def _found(released: ImageSet, referees: Referees) -> torch.Tensor:
    """Released images with a face, bool ``[N]``; none on what was never delivered."""
    return usable(detections(released.images, referees.store)) & released.delivered
