"""The default partition: the least sum of squares that a second or two find."""

from __future__ import annotations

import numpy as np

from anonymizers.kanonymity.clustering.exchange import improve
from anonymizers.kanonymity.clustering.groups import Floats, dealt
from anonymizers.kanonymity.clustering.large import large
from anonymizers.kanonymity.clustering.matching import matching
from anonymizers.kanonymity.clustering.search import annealed, cooling
from anonymizers.kanonymity.clustering.sizes import Labels
from anonymizers.kanonymity.clustering.threads import one_thread

LARGE = 5_000
"""Persons above which speed comes first."""
HEAT = 0.05
"""Noise of the first round."""
OFFERS = 300_000
"""How often persons are offered to other groups, all together: less than a second's worth."""
OFFERS_EACH = 40, 600
"""Bounds for a single person."""
PASSES = 10
"""How often the borders of blocks move."""


@one_thread
def best(points: Floats, k: int, seed: int, compat: bool) -> Labels:
    """Partitions persons well: pairs by matching, larger groups by annealed cyclic exchange, then local search.

    Args:
        points: ``[P, D]``, P >= k; float32 is not copied as a whole.
        k: smallest size of a group, 2 or more.
        seed: of all draws.
        compat: nothing was published under this name; ignored.

    Returns:
        Groups 0..G-1 of k..2k-1 persons, int64 ``[P]``.
    """
    if k == 2:
        return improve(points, matching(points, k, seed, compat), k, seed)
    if len(points) > LARGE:
        return large(points, k, seed, compat)
    rng = np.random.default_rng(seed)
    labels = annealed(points, dealt(len(points), k, rng), k, cooling(offers(len(points)) * k, HEAT), PASSES, rng)
    return improve(points, labels, k, seed)


def offers(count: int) -> int:
    """How often each person is offered to other groups, on average."""
    return int(np.clip(OFFERS / count, *OFFERS_EACH))
