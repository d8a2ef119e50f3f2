"""Runs a stranger's command over a scratch folder, kept apart from the machine as far as the system allows.

Three tiers, the best one that works: ``bubblewrap`` (no network, a view of the files that holds only what the command
needs, its own processes), ``namespaces`` (no network, its own processes; the files of the user stay visible) and
``none`` (a process group). In all of them a watchdog holds time, memory, processes and output against the limits,
and whatever the command started is ended with it.
"""

from benchmark.sandbox.capture import Captured
from benchmark.sandbox.running import Outcome, run_contained

__all__ = ["Captured", "Outcome", "run_contained"]
