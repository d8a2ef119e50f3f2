"""Tables of rank correlations: how far metrics agree with a panel that looked at the same images."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from benchmark.records import Finite, MetricCard, Part

Panel = Literal["human", "simulated"]


class Correlation(Part):
    """One metric against the panel's scores on one split, or the reason why there is no number."""

    metric: str
    """The metric's spec, as on its card."""
    split: str
    n: int = Field(default=0, ge=0)
    """Number of images behind the numbers."""
    spearman: Finite | None = Field(default=None, ge=-1, le=1)
    kendall: Finite | None = Field(default=None, ge=-1, le=1)
    reason: str = ""
    """Why there is none."""

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        measured = self.spearman is not None or self.kendall is not None
        if measured == bool(self.reason):
            raise ValueError(f"{self.metric} on {self.split}: a correlation has a value or a reason, never both")
        return self


class CorrelationTable(Part):
    """All metrics against one set of scores."""

    schema_version: Literal[1] = 1
    name: str
    """Slug, the name of its file."""
    title: str
    description: str
    """How the panel's scores were made."""
    scores_name: str
    """What the metrics are correlated with: ``mean rating``."""
    panel: Panel
    direction: str = ""
    """How to read the sign: ``a high rating means well anonymized``."""
    suite_name: str = ""
    suite_hash: str = ""
    """Of the suite whose board it stands on."""
    splits: tuple[str, ...]
    """In the order of their columns."""
    metrics: tuple[MetricCard, ...]
    """In the order of their rows."""
    rows: tuple[Correlation, ...]
    sources: dict[str, str] = Field(default={})
    """sha256 by name of the files it was computed from."""
    command: str
    harness_version: str
    created_utc: str

    @model_validator(mode="after")
    def _one_row_per_named_pair(self) -> Self:
        _only_once("metric", [card.name for card in self.metrics])
        _only_once("split", list(self.splits))
        _only_once("row", [f"{row.metric} on {row.split}" for row in self.rows])
        names = {card.name for card in self.metrics}
        for row in self.rows:
            if row.metric not in names:
                raise ValueError(f"a row names metric '{row.metric}', which has no card")
            if row.split not in self.splits:
                raise ValueError(f"a row names split '{row.split}', which is not in splits")
        return self

    def row(self, metric: str, split: str) -> Correlation | None:
        """The correlation of ``metric`` on ``split``, or None."""
        return next((row for row in self.rows if (row.metric, row.split) == (metric, split)), None)


def read_correlations(path: Path) -> CorrelationTable:
    """Reads and validates one file of ``OUT/correlations``."""
    return CorrelationTable.model_validate_json(path.read_bytes())


def _only_once(what: str, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what} '{twice[0]}' is there twice")
