"""Open-set verification: are two pictures of one person? Numbers on mated and non-mated pairs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from metrics.attackers.matching import Matches

FARS = (0.01, 0.001)
FOLDS = 10
PER_FALSE_ACCEPT = 10
"""Non-mated pairs needed per 1/FAR: fewer than ten false accepts make no threshold."""
MOST_BINS = 100
PERMUTATIONS = 20
SEED = 20250102

Values = NDArray[np.floating]
Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scores of pairs, ascending; +inf and -inf are scores beyond all others.

    Attributes:
        mated: ``[M]``, of one person.
        nonmated: ``[K]``, of two people.
    """

    mated: Values
    nonmated: Values

    @staticmethod
    def of(mated: Values, nonmated: Values) -> Pairs:
        """Pairs from scores in any order."""
        return Pairs(np.sort(mated), np.sort(nonmated))

    def __bool__(self) -> bool:
        return bool(len(self.mated) and len(self.nonmated))

    @cached_property
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Histograms of both, with one more bin at either end for infinite scores."""
        bins = max(1, min(len(self.mated) // 10, MOST_BINS))
        low, high = self._range()
        inner = np.linspace(low, high, bins + 1)[1:-1]
        edges = np.concatenate([[np.nextafter(-np.inf, 0)], inner, [np.inf]])
        parts = (np.searchsorted(part.astype(np.float64), edges) for part in (self.mated, self.nonmated))
        mated, nonmated = (
            np.diff(places, prepend=0, append=len(part))
            for places, part in zip(parts, (self.mated, self.nonmated), strict=True)
        )
        return mated, nonmated

    def _range(self) -> tuple[float, float]:
        ends = [part[np.isfinite(part)][[0, -1]] for part in (self.mated, self.nonmated) if np.isfinite(part).any()]
        return (float(np.min(ends)), float(np.max(ends))) if ends else (0.0, 0.0)


def auc(pairs: Pairs) -> float:
    """Probability that a mated pair scores above a non-mated one, ties counting half (the rank formula, exact)."""
    below, upto = (np.searchsorted(pairs.nonmated, pairs.mated, side) for side in SIDES)
    return int(below.sum() + upto.sum()) / (2 * len(pairs.mated) * len(pairs.nonmated))


def eer(pairs: Pairs) -> float:
    """Equal error rate: where the step curves of false non-match and false match meet, interpolated; .5 is chance."""
    last = max(_last_too_lenient(pairs, part) for part in (pairs.mated, pairs.nonmated))
    (fnmr, fmr), (fnmr_above, fmr_above) = (_errors(pairs, last, side) for side in SIDES)
    share = (fmr - fnmr) / (fnmr_above - fnmr + fmr - fmr_above)
    return fnmr + share * (fnmr_above - fnmr)


def _errors(pairs: Pairs, threshold: float, side: Side) -> tuple[float, float]:
    """False non-match and false match rate where scores from (``left``) or above (``right``) a threshold are accepted."""
    missed, rejected = (np.searchsorted(part, threshold, side) for part in (pairs.mated, pairs.nonmated))
    return float(missed / len(pairs.mated)), float(1 - rejected / len(pairs.nonmated))


def _last_too_lenient(pairs: Pairs, scores: Values) -> float:
    """The largest of ``scores`` that, as threshold, misses no more than it falsely matches; -inf if none does."""

    def excess(threshold: float) -> float:
        missed, matched = _errors(pairs, threshold, "left")
        return missed - matched

    place = bisect_right(scores, 0.0, key=excess)
    return float(scores[place - 1]) if place else -np.inf


def d_sys(pairs: Pairs) -> float:
    """Linkability of the system, 0 unlinkable to 1 fully linkable (Gomez-Barrero et al., 2018), prior ratio 1.

    Densities are histograms with min(mated / 10, 100) bins over the range of all scores, as in VoicePrivacy. Few scores
    bias it upwards: hold it against ``d_sys_floor``.
    """
    return float(_linkability(*(part[None] for part in pairs.counts))[0])


def d_sys_floor(pairs: Pairs, draws: int = PERMUTATIONS, seed: int = SEED) -> float:
    """Mean ``d_sys`` where the labels of the same scores are permuted: what no link at all looks like."""
    mated, nonmated = pairs.counts
    pool = mated + nonmated
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(pool, len(pairs.mated), draws, method="marginals")
    return float(_linkability(drawn, pool - drawn).mean())


def _linkability(mated: NDArray[np.int64], nonmated: NDArray[np.int64]) -> Values:
    """D_sys of histograms ``[B, bins]``: the mean over mated pairs of (LR - 1) / (LR + 1), never below 0."""
    p = mated / mated.sum(1, keepdims=True)
    q = nonmated / nonmated.sum(1, keepdims=True)
    local = np.maximum(p - q, 0) / np.maximum(p + q, np.finfo(np.float64).tiny)
    linked: Values = (local * p).sum(1)
    return linked


def tar_at_far(mated: Values, nonmated: Values, far: float) -> float:
    """Share of mated scores accepted by the most lenient threshold whose false accept rate is at most ``far``.

    Args:
        mated: scores of one person, in any order.
        nonmated: scores of two people, in any order.
        far: false accept rate, 0 to 1.

    Raises:
        ValueError: either is empty.
    """
    if not len(mated) or not len(nonmated):
        raise ValueError("TAR@FAR needs mated and non-mated scores")
    allowed = accepts_allowed(len(nonmated), far)
    if allowed >= len(nonmated):
        return 1.0
    cut = len(nonmated) - 1 - allowed
    return float((mated > np.partition(nonmated, cut)[cut]).mean())


def accepts_allowed(count: int, far: float) -> int:
    """The largest number of false accepts among ``count`` whose rate is at most ``far``."""
    near = int(far * count)
    return max(accepts for accepts in (near - 1, near, near + 1) if accepts / max(count, 1) <= far)


@dataclass(frozen=True, eq=False)
class PairTable:
    """All pairs of probes and gallery entries that are to be judged.

    Attributes:
        similarity: float32 ``[N, G]``; missing probes have +inf and -inf.
        mated: bool ``[N, G]``, pairs of one person.
        nonmated: bool ``[N, G]``, pairs of two.
    """

    similarity: torch.Tensor
    mated: torch.Tensor
    nonmated: torch.Tensor

    @staticmethod
    def of(matches: Matches, truth: torch.Tensor, missing: torch.Tensor | None = None) -> PairTable:
        """Pairs that may be compared, without undetected probes.

        Args:
            matches: the similarities.
            truth: int64 ``[N]``, who the probes are.
            missing: bool ``[N]``, probes that were never delivered: they match their person better than any score, and
                nobody else.
        """
        own = matches.owner == truth[:, None]
        judged = matches.similarity != -torch.inf
        kept = matches.detected if missing is None else matches.detected | missing
        if not bool(kept.all()):
            judged &= kept[:, None]
        similarity = matches.similarity
        if missing is not None and bool(missing.any()):
            similarity = torch.where(missing[:, None], torch.where(own, torch.inf, -torch.inf), similarity)
        return PairTable(similarity, own & judged, judged & ~own)

    @cached_property
    def pairs(self) -> Pairs:
        """The scores, sorted."""
        return Pairs.of(self.similarity[self.mated].numpy(), self.similarity[self.nonmated].numpy())


@dataclass(frozen=True)
class HeldOut:
    """Acceptance at thresholds that come from originals of other people.

    Attributes:
        tar: share of accepted mated pairs by false accept rate.
        refused: why there is none, by false accept rate.
    """

    tar: dict[float, float]
    refused: dict[float, str]


def held_out_tar(
    found: PairTable, clean: PairTable, truth: torch.Tensor, owner: torch.Tensor, fars: Sequence[float] = FARS
) -> HeldOut:
    """TAR@FAR on released images, with thresholds from originals.

    People are dealt into 10 folds, or as many as there are. Non-mated pairs of originals with nobody of the fold give the
    threshold by which the mated pairs of the fold's people are judged.

    Args:
        found: pairs of released probes.
        clean: pairs of original probes, against the same gallery.
        truth: int64 ``[N]``, who the probes are.
        owner: int64 ``[G]``, the person of each gallery entry.
        fars: false accept rates.
    """
    rows, columns = _folds(truth, owner)
    left = _pairs_outside(clean.nonmated, rows, columns)
    least = int(left.min())
    needed = {far: ceil(round(PER_FALSE_ACCEPT / far, 6)) for far in fars}
    refused = {far: _too_few(far, count, least) for far, count in needed.items() if least < count}
    kept = [far for far in fars if far not in refused]
    if not kept:
        return HeldOut({}, refused)
    thresholds = _thresholds(clean, rows, columns, left, kept)
    row, _ = places = found.mated.nonzero(as_tuple=True)
    scores = found.similarity[places]
    tar = {far: float((scores > cut[rows[row]]).double().mean()) for far, cut in thresholds.items()}
    return HeldOut(tar, refused)


def _too_few(far: float, needed: int, there: int) -> str:
    return (
        f"a false accept rate of {far:g} needs {needed} non-mated pairs of originals outside each fold of people; "
        f"there are {there}"
    )


def _folds(truth: torch.Tensor, owner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The fold of each probe and of each gallery entry: people are dealt in their order."""
    people: torch.Tensor = torch.cat([truth, owner]).unique(return_inverse=True)[1] % FOLDS
    return people[: len(truth)], people[len(truth) :]


def _pairs_outside(pairs: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """How many pairs (bool ``[N, G]``) have nobody of a fold: int64 ``[folds]``."""
    count = int(torch.cat([rows, columns]).max()) + 1
    by_row = torch.stack([pairs[rows == fold].sum(0) for fold in range(count)])
    table = torch.zeros(count, count, dtype=torch.int64).index_add_(1, columns, by_row)
    return table.sum() - table.sum(0) - table.sum(1) + table.diagonal()


def _thresholds(
    clean: PairTable, rows: torch.Tensor, columns: torch.Tensor, left: torch.Tensor, fars: Sequence[float]
) -> dict[float, torch.Tensor]:
    """For each rate the score ``[folds]`` that a pair has to exceed.

    At most ``reach`` scores are at or above any of these thresholds, so the others are never looked at.
    """
    pool = clean.pairs.nonmated
    allowed = {far: [accepts_allowed(int(count), far) for count in left] for far in fars}
    reach = int((len(pool) - left + torch.tensor(list(allowed.values()))).max()) + 1
    top = clean.nonmated & (clean.similarity >= float(pool[-min(reach, len(pool))]))
    row, column = places = top.nonzero(as_tuple=True)
    scores, order = clean.similarity[places].sort(descending=True)
    row, column = rows[row[order]], columns[column[order]]
    cuts = [scores[(row != fold) & (column != fold)] for fold in range(len(left))]
    return {far: torch.stack([cut[k] for cut, k in zip(cuts, allowed[far], strict=True)]) for far in fars}
