"""The weight-adjusted mix of AnonFACES: members who resemble their surrogate count for less, until few enough do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anonymizers.kanonymity.generator.mixing import mix_latents, weighted
from benchmark.errors import EntrantError

THRESHOLD = 0.6
"""Distance of dlib's descriptors up to which two faces count as one person's."""
FACTOR = 0.8
"""What a matched member's weight, and a group's gain, are multiplied by."""
ROUNDS = 10
"""Most rounds; the gain is then 0.11, almost the mean face."""
COMPAT_ROUNDS = 100
"""Most rounds in compat mode; the authors' loop has no end."""
Distances = Callable[[Tensor, NDArray[np.int64]], NDArray[np.float64]]
"""Draws and compares: latents ``[g, layers, style]`` of the groups ``[g]`` to the distance of every person's original
from the surrogate of the person's group, ``[P]``. Persons of other groups are not read. NaN: no surrogate, no face."""


@dataclass(frozen=True)
class GroupOutcome:
    """What became of one group.

    Attributes:
        group: its number.
        size: its members.
        measured: members with a distance.
        matched: of these, members that resemble the surrogate.
        rounds: how often it was mixed anew.
        gain: what its difference to the origin was multiplied by.
        above: more than 1/k of the measured members are matched.
    """

    group: int
    size: int
    measured: int
    matched: int
    rounds: int
    gain: float
    above: bool


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Mixed latents and how they came about.

    Attributes:
        latents: ``[G, layers, style]``.
        groups: the outcome of each.
        distances: of each person from the surrogate, ``[P]``; NaN where there was none.
        risks: share of matched persons among the measured ones, before the first and after each round.
        rounds: that were made.
        exhausted: the loop ended because no more rounds were allowed.
    """

    latents: Tensor
    groups: tuple[GroupOutcome, ...]
    distances: NDArray[np.float64]
    risks: tuple[float, ...]
    rounds: int
    exhausted: bool

    @property
    def above(self) -> tuple[int, ...]:
        """Groups in which more than 1/k of the measured members stay matched."""
        return tuple(outcome.group for outcome in self.groups if outcome.above)

    @property
    def unmeasured(self) -> tuple[int, ...]:
        """Persons without a distance: neither matched nor safe."""
        return tuple(int(person) for person in np.flatnonzero(np.isnan(self.distances)))

    def told(self, k: int, threshold: float) -> str:
        """The outcome in one line."""
        anew = sum(outcome.rounds > 0 for outcome in self.groups)
        return (
            f"{anew} of {len(self.groups)} groups mixed anew in {self.rounds} rounds; in {len(self.above)} more than 1/{k} "
            f"of the members stay within {threshold:.3g} of the surrogate; {len(self.unmeasured)} persons not measured"
        )


@dataclass
class _State:
    """What changes from round to round."""

    mixed: Tensor
    distances: NDArray[np.float64]
    factors: NDArray[np.float64]
    gains: NDArray[np.float64]
    common: float
    rounds: NDArray[np.int64]
    risks: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Adjustment:
    """The loop and its settings.

    Attributes:
        latents: of the persons, ``[P, layers, style]``.
        groups: ``[P]``, 0..G-1.
        compare: draws and compares.
        k: at most 1/k of the members may be matched.
        threshold: a member at this distance or nearer is matched.
        factor: see ``FACTOR``.
        origin: what the mix is scaled towards, ``[layers, style]``.
        compat: the authors' rules.
    """

    latents: Tensor
    groups: NDArray[np.int64]
    compare: Distances
    k: int
    threshold: float
    factor: float
    origin: Tensor
    compat: bool

    def run(self, rounds: int, start: float) -> Adjusted:
        """Adjusts until every group (compat: the whole set) is at or below 1/k, or the rounds are used up."""
        state = self._begun(start)
        made = 0
        while made < rounds and len(changing := self.changing(state.distances)):
            self._round(state, changing)
            made += 1
        exhausted = bool(len(self.changing(state.distances)))
        return Adjusted(state.mixed, self._outcomes(state), state.distances, tuple(state.risks), made, exhausted)

    def _begun(self, start: float) -> _State:
        count = int(self.groups.max()) + 1
        start = start if self.compat else 1.0
        mixed = mix_latents(self.latents, self.groups) * start
        distances = self._compared(mixed, np.arange(count), np.full(len(self.groups), np.nan))
        gains = np.full(count, start)
        state = _State(mixed, distances, np.ones(len(self.groups)), gains, start, np.zeros(count, np.int64))
        state.risks.append(self.risk(distances))
        return state

    def _round(self, state: _State, changing: NDArray[np.int64]) -> None:
        """Mixes some groups anew, and compares them."""
        matched = self.matched(state.distances) & np.isin(self.groups, changing)
        if self.compat:  # the gain falls for all, the members' factors start afresh
            state.common *= self.factor
            state.gains[changing] = state.common
            state.factors = np.where(matched, self.factor, 1.0)
        else:
            state.gains[changing] *= self.factor
            state.factors = np.where(matched, state.factors * self.factor, state.factors)
        fresh = weighted(self.latents, self.groups, state.factors, by_number=self.compat)
        gain = torch.as_tensor(state.gains)[:, None, None].to(fresh)
        rows = torch.as_tensor(changing)
        state.mixed = state.mixed.clone()
        state.mixed[rows] = (self.origin + gain * (fresh - self.origin))[rows]
        state.rounds[changing] += 1
        state.distances = self._compared(state.mixed, changing, state.distances)
        state.risks.append(self.risk(state.distances))

    def _compared(self, mixed: Tensor, changed: NDArray[np.int64], before: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distances after some groups have changed."""
        found = np.asarray(self.compare(mixed[torch.as_tensor(changed)], changed), dtype=np.float64)
        if found.shape != self.groups.shape:
            raise EntrantError(
                f"the comparison returned shape {list(found.shape)} for {len(self.groups)} persons; return one "
                "distance per person"
            )
        return np.where(np.isin(self.groups, changed), found, before)

    def matched(self, distances: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Persons who resemble their surrogate; never one without a distance."""
        return ~np.isnan(distances) & (distances <= self.threshold)

    def risk(self, distances: NDArray[np.float64]) -> float:
        """Share of matched persons among the measured ones; NaN if there are none."""
        measured = np.count_nonzero(~np.isnan(distances))
        return float(np.count_nonzero(self.matched(distances)) / measured) if measured else float("nan")

    def counts(self, distances: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Matched and measured members of each group."""
        size = int(self.groups.max()) + 1
        matched = np.bincount(self.groups[self.matched(distances)], minlength=size)
        return matched, np.bincount(self.groups[~np.isnan(distances)], minlength=size)

    def changing(self, distances: NDArray[np.float64]) -> NDArray[np.int64]:
        """Groups that are mixed anew next; none when the loop is over.

        Compat: while more than 1/k of all persons are matched, every group with a matched member. Else: every group
        of whose measured members more than 1/k are matched.
        """
        matched, measured = self.counts(distances)
        if self.compat:
            over = matched.sum() * self.k > measured.sum()
            return np.flatnonzero(matched > 0) if over else np.empty(0, np.int64)
        return np.flatnonzero(matched * self.k > measured)

    def _outcomes(self, state: _State) -> tuple[GroupOutcome, ...]:
        matched, measured = self.counts(state.distances)
        sizes = np.bincount(self.groups)
        return tuple(
            GroupOutcome(
                group=group,
                size=int(sizes[group]),
                measured=int(measured[group]),
                matched=int(matched[group]),
                rounds=int(state.rounds[group]),
                gain=float(state.gains[group]),
                above=bool(matched[group] * self.k > measured[group]),
            )
            for group in range(len(sizes))
        )


def adjust(
    latents: Tensor,
    groups: NDArray[np.int64],
    compare: Distances,
    *,
    k: int,
    origin: Tensor | None = None,
    threshold: float = THRESHOLD,
    factor: float = FACTOR,
    rounds: int | None = None,
    start: float = 1.0,
    compat: bool = False,
) -> Adjusted:
    """Mixes naively, then lowers the weights of members who resemble their surrogate.

    In each round, every group of which more than 1/k of the members are matched is mixed anew: its matched members'
    weights are multiplied by ``factor``, again in every round, and so is the mix's difference to ``origin``.

    Compat is the authors' loop: it goes on while more than 1/k of all persons are matched, whatever single groups do;
    the gain falls for all groups in every round, weights start from 1 in every round and are not normalised, groups
    without a match keep their surrogate, and the origin of W+ is what the mix is scaled towards.

    Args:
        latents: W+ of the persons, ``[P, layers, style]``.
        groups: ``[P]``, 0..G-1.
        compare: draws and compares, see ``Distances``.
        k: least size of a group.
        origin: ``[layers, style]``; None is the mean of ``latents``. Not used in compat mode.
        threshold: a member at this distance or nearer is matched.
        factor: 0..1.
        rounds: most rounds; None is 10, and 100 in compat mode.
        start: the gain before the first round, in compat mode.
        compat: see above.

    Raises:
        EntrantError: the input is malformed, or ``compare`` returns something else than distances.
    """
    if k < 2 or not 0 < factor < 1:
        raise EntrantError(f"k={k} and factor={factor} cannot be used; k is at least 2, the factor between 0 and 1")
    centre = latents.mean(dim=0) if origin is None else origin.to(latents)
    centre = torch.zeros_like(centre) if compat else centre
    most = (COMPAT_ROUNDS if compat else ROUNDS) if rounds is None else rounds
    return Adjustment(latents, groups, compare, k, threshold, factor, centre, compat).run(most, start)
