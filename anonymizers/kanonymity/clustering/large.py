"""Very many persons: blocks by balanced bisection, and search inside them and across their borders."""

from __future__ import annotations

import numpy as np

from anonymizers.kanonymity.clustering.blocks import apart
from anonymizers.kanonymity.clustering.groups import Floats, dealt
from anonymizers.kanonymity.clustering.search import annealed, cooling, groups_of_a_block
from anonymizers.kanonymity.clustering.sizes import Labels
from anonymizers.kanonymity.clustering.threads import one_thread

OFFERS = 30
"""How often each person is offered to other groups, on average."""
HEAT = 0.02
"""Noise of the first round."""
PASSES = 20
"""How often the borders of blocks move."""


@one_thread
def large(points: Floats, k: int, seed: int, compat: bool) -> Labels:
    """Partitions persons in time linear in their number (but for a logarithm), and without comparing all pairs.

    Args:
        points: ``[P, D]``, P >= k; float32 is not copied as a whole.
        k: smallest size of a group, 2 or more.
        seed: of all draws.
        compat: nothing was published under this name; ignored.

    Returns:
        Groups 0..G-1 of k..2k-1 persons, int64 ``[P]``.
    """
    rng = np.random.default_rng(seed)
    size = groups_of_a_block(k) * k
    labels = apart(points, k, size, rng, lambda block: dealt(len(block), k, rng))
    return annealed(points, labels, k, cooling(OFFERS * k, HEAT), PASSES, rng)
