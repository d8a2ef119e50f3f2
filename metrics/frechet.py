"""Fréchet distance between feature sets: the mathematics of FID, for few and for many images.

    ``|mean(x) - mean(y)|² + tr(Sx) + tr(Sy) - 2 tr((Sx Sy)^(1/2))``    (Heusel et al. 2017)

No square root of a matrix is taken. With any roots ``Sx = Rx^T Rx`` and ``Sy = Ry^T Ry`` the last trace is the nuclear
norm of ``Rx Ry^T``: the sum of its singular values, real and never negative, and exact where covariances are singular,
as they are whenever there are fewer images than dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch


@dataclass
class Moments:
    """Count, mean and scatter of rows that pass by in batches (Chan et al. 1983), all in float64.

    Attributes:
        mean: ``[D]``.
        scatter: ``[D, D]``, sum of the outer products of the centred rows.
        count: number of rows.
    """

    mean: torch.Tensor
    scatter: torch.Tensor
    count: int = 0

    @classmethod
    def empty(cls, dimensions: int) -> Moments:
        """Moments of no rows."""
        zeros = torch.zeros(dimensions, dimensions, dtype=torch.float64)
        return cls(zeros[0].clone(), zeros)

    @classmethod
    def of(cls, batches: Iterable[torch.Tensor]) -> Moments:
        """Moments of the rows of at least one batch ``[B, D]``."""
        moments: Moments | None = None
        for batch in batches:
            moments = cls.empty(batch.shape[1]) if moments is None else moments
            moments.add(batch)
        if moments is None:
            raise ValueError("no features: give at least one batch")
        return moments

    def add(self, batch: torch.Tensor) -> None:
        """Takes in more rows, ``[B, D]``."""
        if len(batch):
            rows = batch.double()
            mean = rows.mean(0)
            self._merge(mean, rows - mean, len(batch))

    def merge(self, other: Moments) -> None:
        """Takes in the rows another one has seen."""
        if other.count:
            self.scatter += other.scatter
            self._merge(other.mean, other.mean.new_zeros(0, len(other.mean)), other.count)

    def _merge(self, mean: torch.Tensor, centred: torch.Tensor, count: int) -> None:
        """Adds the scatter of centred rows and, as one row more, that of the means."""
        both = self.count + count
        apart = mean - self.mean
        rows = torch.cat([centred, apart[None] * (self.count * count / both) ** 0.5])
        self.scatter.addmm_(rows.T, rows)
        self.mean = self.mean + apart * (count / both)
        self.count = both

    @property
    def covariance(self) -> torch.Tensor:
        """Unbiased covariance, ``[D, D]``.

        Raises:
            TooFew: fewer than two rows.
        """
        _check_count(self.count)
        return self.scatter / (self.count - 1)


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution with the covariance as ``root^T root``.

    Attributes:
        mean: float64 ``[D]``.
        root: float64 ``[R, D]``.
    """

    mean: torch.Tensor
    root: torch.Tensor

    @property
    def trace(self) -> float:
        """Trace of the covariance."""
        return float(self.root.square().sum())

    @classmethod
    def of_features(cls, features: torch.Tensor) -> Gaussian:
        """Fits rows ``[N, D]``: where there are no more than D, the centred rows themselves are a root.

        Centred rows add up to 0; a reflection that turns their sum into the first row spares that row.

        Raises:
            TooFew: fewer than two rows.
            ValueError: a value is not finite.
        """
        count = len(features)
        _check_count(count)
        if count > features.shape[1]:
            return cls.of_moments(Moments.of([features]))
        rows = _finite(features.double())
        mean = rows.mean(0)
        centred = rows - mean
        return cls(mean, (centred[1:] + centred[0] / (count**0.5 - 1)) / (count - 1) ** 0.5)

    @classmethod
    def of_moments(cls, moments: Moments) -> Gaussian:
        """Fits moments, with a pivoted Cholesky factor as root; it ends where only round-off is left.

        Raises:
            TooFew: fewer than two rows.
            ValueError: a value is not finite.
        """
        from scipy.linalg import lapack

        covariance = _finite(moments.covariance)
        factor, pivots, rank, _ = lapack.dpstrf(covariance.numpy(), lower=1)
        root = torch.zeros(rank, len(covariance), dtype=torch.float64)
        root[:, torch.from_numpy(pivots).long() - 1] = torch.from_numpy(factor).tril()[:, :rank].T
        return cls(_finite(moments.mean), root)


class TooFew(ValueError):
    """There are not enough images for what was asked."""


def _check_count(count: int) -> None:
    if count < 2:
        raise TooFew(f"a covariance needs at least 2 images, not {count}")


def _finite(values: torch.Tensor) -> torch.Tensor:
    if not values.isfinite().all():
        raise ValueError("features are not finite: the network or its weights are broken")
    return values


TRUSTED = 2e-9
"""Relative error of a nuclear norm that may come from eigenvalues of squares."""


def nuclear_norm(x: Gaussian, y: Gaussian) -> float:
    """``tr((Sx Sy)^(1/2))``: sum of the singular values of ``Rx Ry^T``.

    The eigenvalues of its square are usually enough, and cheaper with many dimensions. Squares lose what is small, so
    the round-off they can have caused decides whether they are believed.
    """
    product = x.root @ y.root.T
    if 0 in product.shape:
        return 0.0
    square = product @ product.T if len(product) <= product.shape[1] else product.T @ product
    squares = torch.linalg.eigvalsh(square)
    values = squares.clamp(min=0).sqrt()
    round_off = torch.finfo(torch.float64).eps * squares[-1] * (1 / values).sum()
    if squares[0] > 0 and round_off < TRUSTED * values.sum():
        return float(values.sum())
    return float(torch.linalg.svdvals(product).sum())


ROUND_OFF = 1e-12
"""Share of the traces below which a distance is what is left of their difference, not a number."""


def distance(x: Gaussian, y: Gaussian) -> float:
    """Squared Fréchet (2-Wasserstein) distance of two Gaussians, 0..inf."""
    means = float((x.mean - y.mean).square().sum())
    spread = x.trace + y.trace
    found = means + spread - 2 * nuclear_norm(x, y)
    return found if found > ROUND_OFF * spread else 0.0


def frechet_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """Fréchet distance between two feature sets, as ``pytorch_fid`` defines it (unbiased covariances).

    It is biased upward by an amount that falls with the number of images: compare equal numbers only.

    Args:
        x: ``[N, D]``, N at least 2.
        y: ``[M, D]``, M at least 2.

    Returns:
        0..inf.

    Raises:
        TooFew: fewer than two rows.
        ValueError: a value is not finite.
    """
    return distance(Gaussian.of_features(x), Gaussian.of_features(y))


FEWEST, FEWEST_PEOPLE = 100, 10
"""Images and people below which the extrapolation is mostly noise."""
ENOUGH = 4000
"""Rows observed in all: small sets are halved up to four times, large ones once."""
PARTS = (0.3, 0.475, 0.65, 0.825, 1.0)
"""Sizes at which the bias is observed, as parts of a half."""


def frechet_infinity(x: torch.Tensor, y: torch.Tensor, people: torch.Tensor, seed: int) -> float:
    """Fréchet distance extrapolated to infinitely many images, for pairs of rows.

    The sets are halved by person. A half of ``x`` against the other half of ``x`` has a known distance, namely 0: how
    far the nuclear norm falls short there is the bias of that number of images. ``x`` against the other half of ``y``
    falls short by the bias and by the distance. Both are observed at several sizes, as logarithms relative to the
    traces, and a line through them is followed to the point without bias. The means are compared by the product of
    the two halves' differences, which has no bias.

    Where there are many more images than dimensions the bias is proportional to ``1/n`` and this is the extrapolation
    of Chong & Forsyth 2020 (arXiv 1911.07023); where there are fewer, theirs keeps most of the bias and this does not.
    The value of two equal distributions scatters around 0, so it may be negative.

    Args:
        x: ``[N, D]``.
        y: ``[N, D]``; row i belongs to the same person as row i of ``x``.
        people: int64 ``[N]``, who each row belongs to. Halves depend on the order of the rows: give them in a
            canonical one.
        seed: of the halves.

    Returns:
        An estimate of the distance.

    Raises:
        TooFew: fewer than 100 rows or 10 people, or one person has nearly all of them.
    """
    if len(x) != len(y) or len(x) < FEWEST or len(people.unique()) < FEWEST_PEOPLE:
        raise TooFew(f"FID-infinity needs at least {FEWEST} pairs of images of {FEWEST_PEOPLE} people")
    generator = torch.Generator().manual_seed(seed)
    splits = [halves(people, generator) for _ in range(min(4, max(1, ENOUGH // len(x))))]
    smallest = min(len(half) for split in splits for half in split)
    if smallest < FEWEST // 10:
        raise TooFew(f"FID-infinity needs two groups of people with {FEWEST // 10} images each, not {smallest}")
    sizes = sorted({round(smallest * part) for part in PARTS})
    rows = [torch.stack([_observe(x, y, first[:n], second[:n]) for first, second in splits]).mean(0) for n in sizes]
    return _extrapolate(torch.stack(rows))


def halves(people: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two random groups of rows that share nobody, one person after the other: int64 each."""
    rank = torch.randperm(int(people.max()) + 1, generator=generator)[people]
    order = torch.argsort(rank, stable=True)
    second = rank[order] % 2 == 1
    return order[~second], order[second]


def _observe(x: torch.Tensor, y: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Means, traces and nuclear norms of two groups of rows: float64 ``[6]``."""
    xa, xb, ya, yb = (Gaussian.of_features(part) for part in (x[first], x[second], y[first], y[second]))
    means = float((xa.mean - ya.mean) @ (xb.mean - yb.mean))
    traces = (xa.trace + xb.trace) / 2, (ya.trace + yb.trace) / 2
    across = (nuclear_norm(xa, yb) + nuclear_norm(xb, ya)) / 2
    return torch.tensor([means, *traces, across, nuclear_norm(xa, xb), nuclear_norm(ya, yb)], dtype=torch.float64)


def _extrapolate(observed: torch.Tensor) -> float:
    """The distance where the bias is 0, of observations ``[S, 6]`` at growing sizes."""
    means, trace_x, trace_y, across, within_x, within_y = observed.unbind(1)
    scale = (trace_x * trace_y).sqrt()
    rest = float(means[-1] + trace_x[-1] + trace_y[-1])
    within = (within_x * within_y).sqrt()
    if not float(torch.minimum(across, within).min()) > 1e-12 * float(scale.max()):
        return rest  # one of the sets does not vary: there is no covariance to share
    share = intercept((within / scale).log().tolist(), (across / scale).log().tolist())
    return rest - 2 * float(scale[-1] * torch.tensor(share, dtype=torch.float64).exp())


def intercept(bias: Sequence[float], value: Sequence[float]) -> float:
    """Where the least-squares line through points (bias, value) meets bias 0."""
    x, y = torch.tensor([bias, value], dtype=torch.float64)
    spread = (x - x.mean()).square().sum()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / spread if spread > 1e-20 else torch.ones(())
    return float(y.mean() - slope * x.mean())
