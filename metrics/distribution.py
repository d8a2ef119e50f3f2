"""How far the released images as a set are from the originals: FID, FID-infinity and KID."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from benchmark.errors import EnvironmentProblem
from benchmark.features import FeatureNetwork, batches_of, features_of, recogniser_features
from benchmark.images import ImageSet
from benchmark.protocols import Missing, Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.specs import Spec
from benchmark.statistics import clusters_of
from benchmark.weights import Unusable, first_located, missing
from metrics.frechet import Gaussian, Moments, TooFew, distance, frechet_infinity
from metrics.inception import WEIGHTS, inception_features
from metrics.kernel import kernel_distance

FeatureName = Literal["inception", "recogniser"]
DESCRIBED = {
    "inception": "InceptionV3 pool3 features as in pytorch-fid (RGB [0, 1], bilinear to 299 px, 2048 dimensions)",
    "recogniser": "the features before the last layer of the suite's frozen recogniser (comparable within one suite)",
}
SEED = 20250101
"""Of the halves of FID-infinity."""


def gaussian_of(network: FeatureNetwork, images: torch.Tensor, referees: Referees) -> Gaussian:
    """Fits the features of images; more images than dimensions pass by as moments, batch by batch.

    Args:
        network: describes the images.
        images: uint8 ``[N, 3, H, W]``, N at least 2.
        referees: where features are kept.
    """
    batches: Iterator[torch.Tensor] = batches_of(network, images, referees)
    first = next(batches)
    batches = chain([first], batches)
    if len(images) > first.shape[1]:
        return Gaussian.of_moments(Moments.of(batches))
    return Gaussian.of_features(torch.cat(list(batches)))


def canonical(images: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows in the order of their keys, and who they count for: int64 ``[N]`` twice."""
    order = torch.tensor(sorted(range(len(images)), key=images.keys.__getitem__), dtype=torch.int64)
    people = torch.arange(len(images)) if images.identity is None else clusters_of(images)[order]
    return order, people


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class _SetDistance:
    """What the three have in common: the network, and when there is none."""

    features: FeatureName = "inception"

    family: ClassVar[str]
    short: ClassVar[str]
    low: ClassVar[float | None] = None
    per_count: ClassVar[bool] = False
    definition: ClassVar[str]
    source: ClassVar[str]
    calibration: ClassVar[str]

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return MetricCard(
            name=str(Spec(self.family, {"features": self.features})),
            version=1,
            title=f"{self.short} ({'Inception' if self.features == 'inception' else self.features})",
            group="quality",
            unit="1",
            higher_is_better=False,
            range=(self.low, None),
            definition=self.definition.format(features=DESCRIBED[self.features]),
            source=self.source,
            weights=self._weights(),
            referees=("recogniser",) if self.features == "recogniser" else (),
            per_count=self.per_count,
            calibration=self.calibration,
        )

    def _weights(self) -> dict[str, str]:
        if self.features != "inception":
            return {}
        try:
            return {WEIGHTS: first_located([WEIGHTS])[2]}
        except Unusable:
            return {}

    def missing(self) -> Missing | None:
        """Whether the Inception weights are on this machine."""
        return missing([WEIGHTS]) if self.features == "inception" else None

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """One value for the whole set, with the numbers of images and dimensions in ``details``."""
        name, count = self.card.name, len(original)
        if self.features == "recogniser" and referees.recogniser is None:
            reason = "the data have no identities, so the suite has no recogniser"
            return Scores(Score(metric=name, status="not-applicable", reason=reason, n=count))
        try:
            network = self._network(referees)
        except EnvironmentProblem as error:
            remedy = f"anonbench weights verify {WEIGHTS}"
            return Scores(Score(metric=name, status="unavailable", reason=str(error), remedy=remedy, n=count))
        try:
            _two_at_least(original, released)
            return Scores(self._measured(name, network, original, released, referees))
        except TooFew as error:
            return Scores(Score(metric=name, status="not-applicable", reason=str(error), n=count))

    def _network(self, referees: Referees) -> FeatureNetwork:
        if self.features == "inception":
            return inception_features(referees.device)
        assert referees.recogniser is not None
        return recogniser_features(referees.recogniser)

    def _measured(
        self, name: str, network: FeatureNetwork, original: ImageSet, released: ImageSet, referees: Referees
    ) -> Score:
        raise NotImplementedError


def _details(original: ImageSet, released: ImageSet, dimensions: int) -> dict[str, float]:
    return {"images": len(original), "released images": len(released), "feature dimensions": dimensions}


def _two_at_least(*sets: ImageSet) -> None:
    fewest = min(map(len, sets))
    if fewest < 2:
        raise TooFew(f"a distance between sets needs at least 2 images, not {fewest}")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Fid(_SetDistance):
    """Fréchet distance between the feature distributions of originals and released images (FID)."""

    family = "fid"
    short = "FID"
    low = 0.0
    per_count = True
    definition = (
        "|m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^(1/2)) with means and unbiased covariances of {features}. It is biased "
        "upward by small numbers of images (with 2048 dimensions by about 50 at 500 images), so only equal numbers "
        "compare. No interval: resampling repeats images, which would bias it further."
    )
    source = "Heusel et al. 2017, NeurIPS; pytorch-fid 0.3.0"
    calibration = (
        "pytorch_fid calculate_frechet_distance on the same features: relative difference at most 1e-5 with more "
        "images than dimensions; exactly 2048 for means 0 and 1 with identity covariance in 2048 dimensions."
    )

    def _measured(
        self, name: str, network: FeatureNetwork, original: ImageSet, released: ImageSet, referees: Referees
    ) -> Score:
        before, after = (gaussian_of(network, part.images, referees) for part in (original, released))
        return Score(
            metric=name,
            value=distance(before, after),
            n=len(original),
            n_clusters=len(clusters_of(original).unique()),
            details=_details(original, released, len(before.mean)),
        )


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class FidInfinity(_SetDistance):
    """FID extrapolated to infinitely many images, where plain FID would mostly show how few there are."""

    family = "fid-infinity"
    short = "FID∞"
    definition = (
        "FID of {features}, extrapolated to infinitely many images: the set is halved by person, one half of the "
        "originals is held against the other half of the released images at five sizes, and the trace of "
        "(S1 S2)^(1/2) is followed along its shortfall between halves of one set to where that is 0. With many more "
        "images than dimensions this is the linear extrapolation in 1/n of the source; unlike that one it also holds "
        "with fewer. An estimate around 0 for equal distributions, so it may be negative."
    )
    source = "after Chong & Forsyth 2020, CVPR (arXiv 1911.07023)"
    calibration = (
        "Gaussians of known distance in 2048 dimensions with eigenvalues falling as k^-1.2, where plain FID is off by "
        "51 at 500 pairs; means of four "
        "draws at 500 pairs: within 1.5 for equal distributions, a shift, a change of scale and half of the "
        "eigenvalues reduced to 1 % (standard deviation 1 to 6); 19 of 293 too high between unrelated covariances; "
        "8 of 51 too low where all but the largest eigenvalues are reduced, 5 of 9 for noise in all directions. "
        "With 960 pairs in 120 dimensions within 1.5 everywhere."
    )

    def _measured(
        self, name: str, network: FeatureNetwork, original: ImageSet, released: ImageSet, referees: Referees
    ) -> Score:
        order, people = canonical(original)
        before, after = (features_of(network, part.images, referees) for part in (original, released))
        return Score(
            metric=name,
            value=frechet_infinity(before[order], after[order], people, SEED),
            n=len(original),
            n_clusters=len(people.unique()),
            details=_details(original, released, before.shape[1]),
        )


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Kid(_SetDistance):
    """Kernel distance between the features of originals and released images (KID), unbiased at any number."""

    family = "kid"
    short = "KID"
    definition = (
        "Unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)³ of {features}, over all pairs of "
        "images but those of an image with itself or with its own release. It is exactly 0 for identical sets, and an "
        "estimate around 0 for equal distributions, so it may be negative."
    )
    source = "Binkowski et al. 2018, ICLR; Gretton et al. 2012, JMLR 13, eq. 4"
    calibration = (
        "scikit-learn's polynomial_kernel summed pair by pair: relative difference at most 1e-9; the interval equals "
        "leaving out one person after the other."
    )

    def _measured(
        self, name: str, network: FeatureNetwork, original: ImageSet, released: ImageSet, referees: Referees
    ) -> Score:
        people = clusters_of(original)
        before, after = (features_of(network, part.images, referees) for part in (original, released))
        found = kernel_distance(before, after, people, people, paired=True)
        return Score(
            metric=name,
            value=found.value,
            n=len(original),
            n_clusters=found.people,
            interval=found.interval,
            details=_details(original, released, before.shape[1]),
        )
