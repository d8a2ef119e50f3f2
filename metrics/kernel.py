"""Kernel distance between feature sets (KID): unbiased, so that it can be read at any number of images.

``MMD²`` with the kernel ``(x.y / D + 1)³`` (Binkowski et al. 2018), over all pairs of images instead of random subsets.
Where image i of one set was made from image i of the other, the pairs (i, i) are left out of the cross term as well
(Gretton et al. 2012, eq. 4): the estimate stays unbiased, and of two identical sets it is exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.records import Interval
from benchmark.statistics import LEVEL
from metrics.frechet import TooFew

BLOCK = 1024
"""Rows of a kernel matrix held at a time."""


def polynomial_kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``(x.y / D + 1)³`` of all pairs of rows: ``[N, D]`` and ``[M, D]`` to ``[N, M]``."""
    return (x @ y.T / x.shape[1] + 1) ** 3


@dataclass(frozen=True)
class PairSums:
    """Sums of kernel values over pairs of images, as needed to leave out one person after the other.

    Attributes:
        total: over all pairs.
        touching: float64 ``[C]``, over the pairs with a person on either side.
        pairs: number of all pairs.
        touching_pairs: float64 ``[C]``.
    """

    total: torch.Tensor
    touching: torch.Tensor
    pairs: int
    touching_pairs: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        """Mean over all pairs."""
        return self.total / self.pairs

    @property
    def mean_without(self) -> torch.Tensor:
        """Mean over the pairs without each person, float64 ``[C]``."""
        return (self.total - self.touching) / (self.pairs - self.touching_pairs)


def pair_sums(
    x: torch.Tensor, y: torch.Tensor, of_x: torch.Tensor, of_y: torch.Tensor, count: int, skip_same: bool
) -> PairSums:
    """Sums the kernel over pairs of rows, block by block.

    Args:
        x: ``[N, D]``.
        y: ``[M, D]``.
        of_x: int64 ``[N]``, person of each row.
        of_y: int64 ``[M]``.
        count: C, number of people.
        skip_same: leaves out the pairs (i, i).
    """
    rows, columns = torch.zeros(len(x), dtype=torch.float64), torch.zeros(len(y), dtype=torch.float64)
    own = torch.zeros(len(x), dtype=torch.float64)
    for start in range(0, len(x), BLOCK):
        part = slice(start, start + BLOCK)
        for other in range(0, len(y), BLOCK):
            others = slice(other, other + BLOCK)
            values = polynomial_kernel(x[part].double(), y[others].double())
            if skip_same and start == other:
                values.fill_diagonal_(0)
            rows[part] += values.sum(1)
            columns[others] += values.sum(0)
            own[part] += (values * (of_x[part, None] == of_y[None, others])).sum(1)
    sums = [_by_person(*part, count) for part in ((rows, of_x), (columns, of_y), (own, of_x))]
    n_x, n_y = (torch.bincount(part, minlength=count).double() for part in (of_x, of_y))
    pairs, touching = len(x) * len(y), n_x * len(y) + n_y * len(x) - n_x * n_y
    if skip_same:
        pairs, touching = pairs - len(x), touching - n_x
    return PairSums(rows.sum(), sums[0] + sums[1] - sums[2], pairs, touching)


def _by_person(values: torch.Tensor, people: torch.Tensor, count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.float64).index_add_(0, people, values)


@dataclass(frozen=True)
class KernelDistance:
    """An estimate of KID.

    Attributes:
        value: unbiased, so around 0, and often below, for equal distributions.
        error: standard error by leaving out one person after the other; NaN with fewer than three people.
        people: how many.
    """

    value: float
    error: float
    people: int

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval, or None where there is no standard error."""
        if not self.people > 2 or self.error != self.error:
            return None
        half = float(torch.special.ndtri(torch.tensor((1 + LEVEL) / 2, dtype=torch.float64))) * self.error
        low, high = self.value - half, self.value + half
        return Interval(level=LEVEL, method="jackknife over people", low=low, high=high, seed=0, resamples=self.people)


def kernel_distance(
    x: torch.Tensor, y: torch.Tensor, of_x: torch.Tensor, of_y: torch.Tensor, paired: bool
) -> KernelDistance:
    """Unbiased squared MMD of two feature sets.

    Args:
        x: ``[N, D]``, N at least 2.
        y: ``[M, D]``, M at least 2.
        of_x: int64 ``[N]``, person of each row, counted from 0.
        of_y: int64 ``[M]``, in the same counting.
        paired: row i of ``y`` was made from row i of ``x``; then N = M and both have the same people.

    Raises:
        TooFew: too few rows, or paired sets of different length.
    """
    if min(len(x), len(y)) < 2 or (paired and len(x) != len(y)):
        raise TooFew(f"KID needs at least 2 images on either side, not {len(x)} and {len(y)}")
    count = int(torch.cat([of_x, of_y]).max()) + 1
    within_x = pair_sums(x, x, of_x, of_x, count, skip_same=True)
    within_y = pair_sums(y, y, of_y, of_y, count, skip_same=True)
    across = pair_sums(x, y, of_x, of_y, count, skip_same=paired)
    value = within_x.mean + within_y.mean - 2 * across.mean
    without = within_x.mean_without + within_y.mean_without - 2 * across.mean_without
    people = len(torch.cat([of_x, of_y]).unique())
    return KernelDistance(float(value), _jackknife_error(without, people), people)


def _jackknife_error(without: torch.Tensor, people: int) -> float:
    """Standard error of estimates without one person each (Efron & Stein 1981); NaN where it is undefined."""
    if people < 3 or len(without) != people:
        return float("nan")
    return float(((people - 1) / people * (without - without.mean()).square().sum()).sqrt())
