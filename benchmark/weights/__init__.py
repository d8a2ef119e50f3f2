"""Models that come from elsewhere: one registry, fetched into the user's cache, always checked by hash.

``entries`` and ``registry.toml`` say what there is, ``finding`` what is on this machine, ``fetching`` downloads it,
``reading`` takes the tensors out.
"""

from __future__ import annotations

from benchmark.store import cache_root
from benchmark.weights.entries import REGISTRY, WeightEntry
from benchmark.weights.fetching import fetch
from benchmark.weights.finding import (
    Unusable,
    WeightsMissing,
    WrongWeights,
    first_located,
    found_hash,
    locate,
    missing,
)
from benchmark.weights.reading import load_state

__all__ = [
    "REGISTRY",
    "Unusable",
    "WeightEntry",
    "WeightsMissing",
    "WrongWeights",
    "cache_root",
    "fetch",
    "first_located",
    "found_hash",
    "load_state",
    "locate",
    "missing",
]
