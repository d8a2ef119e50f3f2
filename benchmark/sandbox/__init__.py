"""Runs a stranger's command over a scratch folder, kept apart from the machine as far as the system allows.

Three tiers, the best one that works: ``bubblewrap`` (no network, a view of the files that holds only what the command
needs, its own processes), ``namespaces`` (no network, its own processes; the files of the user stay visible) and
``none`` (a process group). In all of them a watchdog holds time, memory, processes and output against the limits, and
whatever the command started is ended with it. Without a namespace, daemons are found because orphans come back to the
harness on Linux; elsewhere they are known by their variable ``HOME``, which they can change. A harness that is killed
takes the command with it, but without a namespace not its daemons.

What a folder shows that is read is shown as it is: links in it lead nowhere, and sockets at its two upper levels are
covered that are there when the command starts; deeper or later ones are not.
"""

from benchmark.sandbox.capture import Captured
from benchmark.sandbox.running import Outcome, at_most, run_contained

__all__ = ["Captured", "Outcome", "at_most", "run_contained"]
