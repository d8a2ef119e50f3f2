"""What is installed here, to hold records against: cards of metrics, facts of suites that need no data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.errors import AnonbenchError
from benchmark.records import MetricCard, SuiteFacts


def installed_card(name: str) -> MetricCard | None:
    """The card of the installed metric of that name; None where there is none."""
    from benchmark.registry import build_metric

    try:
        card = build_metric(name).card
    except AnonbenchError:
        return None
    return card if card.name == name else None


def installed_suite(name: str) -> SuiteFacts | None:
    """The facts of the installed suite of that name; None where there is none or it reads data that are not here."""
    from benchmark.protocols import Suite, SuiteOptions
    from benchmark.registry import load, names

    # A name from a record is looked up, never handed to anything that would open a file by it.
    if name not in names("suites"):
        return None
    factory = load("suites", name)
    if "data" in factory.describe():
        return None
    suite: Suite = factory(SuiteOptions(store=Path("unused")))
    return suite.facts


@dataclass
class Known:
    """Looks things up once.

    Attributes:
        card_of: the installed card by name of a metric.
        suite_of: the installed facts by name of a suite.
    """

    card_of: Callable[[str], MetricCard | None] = installed_card
    suite_of: Callable[[str], SuiteFacts | None] = installed_suite
    _cards: dict[str, MetricCard | None] = field(default_factory=dict)
    _suites: dict[str, SuiteFacts | None] = field(default_factory=dict)

    def card(self, name: str) -> MetricCard | None:
        """The installed card, or None."""
        if name not in self._cards:
            self._cards[name] = self.card_of(name)
        return self._cards[name]

    def suite(self, name: str) -> SuiteFacts | None:
        """The installed suite's facts, or None."""
        if name not in self._suites:
            self._suites[name] = self.suite_of(name)
        return self._suites[name]
