"""Tuning: a few metrics of one entrant over the values of one parameter, and which value is suggested."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from benchmark.errors import UsageError
from benchmark.records import Finite, MetricCard, ParamValue, Part, Weights
from benchmark.specs import Spec, parse_spec

Number = int | Finite
FOLDER = "tuning"
"""Of the files, beside ``records``."""
ALLOWED = "allowed"
"""Anchor of a score that says how large it may be."""
GROUPS, ABOVE = "groups", "groups above 1/size"
"""Details of a score: how many groups share a surrogate, and of how many more than one member is matched with it."""
RULE = (
    "the value where the curve, scaled to the unit square, is farthest above the chord between its ends (Kneedle without "
    "smoothing: Satopaa, Albrecht, Irwin and Raghavan, ICDCS workshops 2011)"
)
AMONG = ", among the values that are allowed"
"""The rest of the rule where a metric says how large it may be."""
TOO_LARGE, NOT_MEASURED = "too large", "not measured"


class Curve(Part):
    """One metric over all values of the parameter; None where there is no number."""

    metric: str
    """As on its card."""
    values: tuple[Finite | None, ...]
    low: tuple[Finite | None, ...]
    """Low ends of the intervals."""
    high: tuple[Finite | None, ...]
    allowed: tuple[Finite | None, ...]
    """How large it may be, of metrics that say so."""
    reasons: dict[str, str] = Field(default={})
    """Why a number is missing, by the parameter's value."""
    details: dict[str, tuple[Finite | None, ...]] = Field(default={})
    """Other numbers of its scores, ``GROUPS`` and ``ABOVE``, where they have them."""

    @property
    def bounded(self) -> bool:
        """Whether it says at any value how large it may be."""
        return any(most is not None for most in self.allowed)


class Refusal(NamedTuple):
    """Why a value is not allowed."""

    metric: str
    why: str
    """``TOO_LARGE`` or ``NOT_MEASURED``."""


class Knee(Part):
    """What is suggested."""

    value: Number
    metric: str
    """Whose curve has its knee there."""
    rule: str


class Tuning(Part):
    """The whole report, of one entrant on one suite under one seed."""

    schema_version: Literal[1] = 1
    name: str
    """Slug, the name of its file."""
    entrant: str
    """Its spec without the parameter."""
    family: str
    params: dict[str, ParamValue]
    """All parameters but the one, defaults expanded."""
    entry_hash: str
    """sha256 over the source files of the method."""
    weights: tuple[Weights, ...] = ()
    """Model files the method says it uses."""
    found: dict[str, str] = Field(default={})
    """What else its result depends on, sha256 by name."""
    parameter: str
    values: Annotated[tuple[Number, ...], Field(min_length=2)]
    seed: int
    suite_name: str
    suite_hash: str
    metrics: tuple[MetricCard, ...]
    """Cards of the curves, in their order."""
    curves: tuple[Curve, ...]
    failures: dict[str, str] = Field(default={})
    """What went wrong at which value of the parameter."""
    knee: Knee | None = None
    no_knee: str = ""
    """Why nothing is suggested."""
    command: str
    harness_version: str
    created_utc: str

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        if [curve.metric for curve in self.curves] != [card.name for card in self.metrics]:
            raise ValueError("curves and metric cards are not one each, in one order")
        for curve in self.curves:
            lines = (curve.values, curve.low, curve.high, curve.allowed, *curve.details.values())
            if {len(line) for line in lines} != {len(self.values)}:
                raise ValueError(f"{curve.metric} has not one number per value of {self.parameter}")
        if (self.knee is None) != bool(self.no_knee):
            raise ValueError("a tuning has a knee, or a reason why there is none")
        return self

    @property
    def bounded(self) -> bool:
        """Whether any metric says how large it may be; where none does, no value is allowed or refused."""
        return any(curve.bounded for curve in self.curves)

    def refusals(self) -> Iterator[tuple[Number, Refusal]]:
        """Values at which a metric is larger than allowed, or was not measured although others say how large it may be."""
        for curve in self.curves:
            for value, number, most in zip(self.values, curve.values, curve.allowed, strict=True):
                if number is None and curve.bounded:
                    yield value, Refusal(curve.metric, NOT_MEASURED)
                elif number is not None and most is not None and number > most:
                    yield value, Refusal(curve.metric, TOO_LARGE)

    def refused(self) -> dict[Number, Refusal]:
        """The values that are refused, each with the first reason."""
        found: dict[Number, Refusal] = {}
        for value, refusal in self.refusals():
            found.setdefault(value, refusal)
        return found

    def missing(self) -> list[tuple[str, str, list[str]]]:
        """Metrics that were not measured: name, reason, and at which values of the parameter."""
        found: dict[tuple[str, str], list[str]] = {}
        for curve in self.curves:
            for value, reason in curve.reasons.items():
                found.setdefault((curve.metric, reason), []).append(value)
        return [(metric, reason, values) for (metric, reason), values in found.items()]


def why_no_knee(report: Tuning, metric: str, measured: Sequence[Number], allowed: bool) -> str:
    """Why there is no knee, given where the metric was measured and whether any of these values is allowed."""
    if not measured:
        return f"{metric} was not measured at any value"
    if not allowed:
        where = "" if len(measured) == len(report.values) else f" at which {metric} was measured"
        return f"every value{where} is refused: {', '.join(_refusing(report, measured))}"
    if len(measured) < 3:
        return f"a knee takes three values, and {metric} was measured at {len(measured)}"
    where = "any value that is allowed" if report.bounded else "any value between its ends"
    return f"the curve of {metric} does not bend at {where}"


def _refusing(report: Tuning, among: Sequence[Number]) -> Iterator[str]:
    values: dict[Refusal, list[str]] = defaultdict(list)
    for value, refusal in report.refusals():
        if value in among:
            values[refusal].append(str(value))
    for refusal, at in values.items():
        yield f"by {refusal.metric}, {refusal.why} ({report.parameter}={', '.join(at)})"


def above_text(details: Mapping[str, float | None]) -> str:
    """How many groups have more than one over their size matched, from a score's details; empty where nobody counted."""
    above, groups = details.get(ABOVE), details.get(GROUPS)
    if above is None:
        return ""
    return f"{above:g}{'' if groups is None else f' of {groups:g}'} {ABOVE}"


def without_folders(value: ParamValue) -> ParamValue:
    """A parameter as it may be published: of a path on somebody's machine its last part alone."""
    if not names_folder(value) or re.match(_REMOTE, str(value), re.IGNORECASE):
        return value
    return str(value).replace("\\", "/").rstrip("/").rpartition("/")[2]


def names_folder(value: ParamValue) -> bool:
    """Whether a parameter is text that could say where a file lies."""
    return isinstance(value, str) and ("/" in value or "\\" in value)


_REMOTE = r"(?!file:)[a-z][a-z0-9+.-]*://"
_START = r"(?:file:/|[A-Za-z]:[/\\]|~?/|\\\\)"
_ABSOLUTE = re.compile(
    rf"(?P<quote>['\"])(?P<quoted>{_START}[^'\"\n]+)(?P=quote)|(?<![\w./\\~])(?!(?<=:)//)(?P<bare>{_START}[^\s'\"]*[^\s'\".,:;)])",
    re.IGNORECASE,
)
"""Paths from a root, in quotes with spaces, else up to the next one; not the middle of a word or of an address."""


def paths_shortened(text: str) -> str:
    """A message in which absolute paths are their last parts alone."""
    return _ABSOLUTE.sub(_last_part, text)


def _last_part(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return f"{quote}{without_folders(found['quoted'] or found['bare'])}{quote}"


def published(spec: Spec) -> Spec:
    """A spec without the folders of the files it names."""
    family = str(without_folders(spec.family))
    return Spec(family, {name: without_folders(value) for name, value in spec.params.items()})


def published_command(command: str) -> str:
    """A command without the folders of the files it names."""
    return shlex.join(published_word(word) for word in shlex.split(command))


def published_word(word: str) -> str:
    """A word of a command, or a spec, without the folders of the files it names."""
    if not names_folder(word):
        return word
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    try:
        shown = str(published(parse_spec(value)))
    except UsageError:
        shown = str(without_folders(value))
    return option + equals + shown


def read_tuning(path: Path) -> Tuning:
    """Reads and validates one file of ``OUT/tuning``."""
    return Tuning.model_validate_json(path.read_bytes())


def knee_of(x: Sequence[float], y: Sequence[float], allowed: Sequence[bool]) -> int | None:
    """The place of a curve's knee, see ``RULE``.

    Args:
        x: the parameter's values, ascending, at least two.
        y: the metric's values.
        allowed: which places may be suggested.

    Returns:
        None for a curve that does not bend towards its end, and where nothing is allowed.
    """
    wide, high = x[-1] - x[0], y[-1] - y[0]
    if not wide or not high:
        return None
    above = [(value - y[0]) / high - (place - x[0]) / wide for value, place in zip(y, x, strict=True)]
    between = [row for row in range(1, len(x) - 1) if allowed[row]]
    best = max(between, key=lambda row: above[row], default=None)
    return best if best is not None and above[best] > 1e-9 else None
