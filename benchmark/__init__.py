"""The harness: image sets, protocols, registry, store, pipeline, records, statistics and board.

It names no particular anonymizer, metric or data set; those are found through entry points.
"""

__version__ = "0.1.0"
