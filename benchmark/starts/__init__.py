"""Starts for entrants of one's own: what ``anonbench new`` writes."""

from benchmark.starts.writing import KINDS, Start, write_start

__all__ = ["KINDS", "Start", "write_start"]
