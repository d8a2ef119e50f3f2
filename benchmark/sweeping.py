"""Measures one entrant over the values of a parameter; releases and scores come from the store and go there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import benchmark
from benchmark.errors import AnonbenchError, EntrantError, UsageError
from benchmark.hashing import sha256_json
from benchmark.pipeline import Pipeline
from benchmark.protocols import Metric
from benchmark.records import MetricCard, Score
from benchmark.registry import Entrant, build_entrant, build_metric, find_anonymizer
from benchmark.release import EntrantFailed
from benchmark.scoring import Scorer
from benchmark.specs import Spec, parameters, parse_spec
from benchmark.tuning import (
    ABOVE,
    ALLOWED,
    AMONG,
    GROUPS,
    RULE,
    Curve,
    Knee,
    Number,
    Tuning,
    knee_of,
    paths_shortened,
    published,
    published_command,
    why_no_knee,
)

MOST_VALUES = 200
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
HOW = "write NAME=FIRST..LAST, NAME=FIRST..LAST..STEP or NAME=V,V,V, as in --over k=2..20"


def parse_over(text: str) -> tuple[str, list[Number]]:
    """Parses ``k=2..20``, ``k=2..20..3`` and ``k=2,5,10``: a parameter and its values, ascending, each once.

    Raises:
        UsageError: not of that form, or fewer than two or more than ``MOST_VALUES`` values.
    """
    name, _, rest = text.partition("=")
    span = re.fullmatch(rf"({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?", rest.strip())
    if not re.fullmatch(r"[A-Za-z_]\w*", name.strip()):
        raise UsageError(f"--over {text}: {HOW}")
    if span:
        first, last, step = (_number(part or "1") for part in span.groups())
        values = _span(first, last, step, text)
    elif re.fullmatch(rf"{_NUMBER}(,\s*{_NUMBER})*", rest.strip()):
        values = [_number(part.strip()) for part in rest.split(",")]
    else:
        raise UsageError(f"--over {text}: {HOW}")
    values = sorted(set(values))
    if not 2 <= len(values) <= MOST_VALUES:
        raise UsageError(f"--over {text}: gives {len(values)} values; 2 to {MOST_VALUES} can be swept")
    return name.strip(), values


def _number(text: str) -> Number:
    return float(text) if "." in text else int(text)


def _span(first: Number, last: Number, step: Number, text: str) -> list[Number]:
    if step <= 0 or last <= first:
        raise UsageError(f"--over {text}: LAST must be above FIRST, and STEP above 0")
    count = min(int((last - first) / step + 1e-9) + 1, MOST_VALUES + 1)
    return [
        round(first + place * step, 12) if isinstance(step, float) else first + place * step for place in range(count)
    ]


@dataclass(frozen=True)
class Sweep:
    """What is measured.

    Attributes:
        spec: the entrant without the parameter.
        parameter: its name.
        entrants: by value, in ascending order.
        usual: what the family with its defaults depends on, sha256 by name.
    """

    spec: Spec
    parameter: str
    entrants: dict[Number, Entrant]
    usual: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> Entrant:
        """The entrant at the first value."""
        return next(iter(self.entrants.values()))

    @property
    def shown(self) -> Spec:
        """The spec as it is published."""
        return published(self.spec)

    @property
    def found(self) -> dict[str, str]:
        """What the result depends on besides source and parameters, sha256 by name."""
        return _found(self.first)

    def name(self, seed: int) -> str:
        """Slug; files of one name are told apart by what they hold, or else by where they are."""
        own = {name: digest for name, digest in _held(self.first).items() if self.usual.get(name) != digest}
        told = own or (str(self.spec) if self.shown != self.spec else None)
        held = "" if told is None else f"-{sha256_json(told)[:8]}"
        return f"{self.shown.slug}{held}-over-{self.parameter}-seed-{seed}"


def _found(entrant: Entrant) -> dict[str, str]:
    return dict(getattr(entrant.anonymizer, "found", dict)())


def _held(entrant: Entrant) -> dict[str, str]:
    """The weights of an entrant and what it found, sha256 by name."""
    return {**_found(entrant), **{model.name: model.sha256 for model in entrant.facts.weights}}


def _usual(family: str) -> dict[str, str]:
    try:
        return _held(build_entrant(family))
    except AnonbenchError:  # it has no defaults, or they are not here
        return {}


def sweep_of(text: str, over: str) -> Sweep:
    """Builds the entrant at every value before any of them runs.

    Raises:
        UsageError: no such entrant or parameter, or a value out of range.
    """
    parameter, values = parse_over(over)
    spec = parse_spec(text)
    known = parameters(find_anonymizer(spec.family).factory)
    if parameter not in known:
        raise UsageError(
            f"{spec.family} has no parameter '{parameter}' (it takes {', '.join(known) or 'none'}). "
            f"Try: anonbench show {spec.family}"
        )
    specs = {value: Spec(spec.family, {**spec.params, parameter: value}) for value in values}
    entrants = {value: build_entrant(str(one)) for value, one in specs.items()}
    taken = entrants[values[0]].spec  # a file was named by its path, and its entrant has a name
    base = Spec(taken.family, {name: value for name, value in taken.params.items() if name != parameter})
    return Sweep(base, parameter, entrants, _usual(spec.family))


def metrics_for(pipeline: Pipeline, entrant: Entrant) -> list[str]:
    """What a tuning measures: metrics asked for, those the entrant brings along, then the suite's utility by attribute.

    The first is the one whose knee is looked for. Attackers and whatever else learns from the entrant are left out.
    """
    useful = [spec for spec in pipeline.suite.metrics if _is_useful(build_metric(spec))]
    return list(dict.fromkeys([*pipeline.extra_metrics, *entrant.measures, *useful]))


def _is_useful(metric: Metric) -> bool:
    card = metric.card
    plain = not (card.needs_copy or card.about_claim or card.per_count)
    return plain and card.group == "utility" and card.unit == "share" and card.higher_is_better and "(" in card.name


def tune(pipeline: Pipeline, sweep: Sweep, seed: int, say: Callable[[str], None] = lambda _: None) -> Tuning:
    """Releases and scores the entrant at every value, and looks for the knee.

    Args:
        pipeline: where, and with which further metrics.
        sweep: what.
        seed: of the entrant's randomness.
        say: told a line per value.

    Raises:
        EntrantError: it failed at every value.
    """
    wanted = metrics_for(pipeline, sweep.first)
    scorer = Scorer(pipeline.store, pipeline.suite, pipeline.report, pipeline.settings.device, only=wanted)
    cards = [metric.card for metric in scorer.metrics_of(sweep.first)]
    found: dict[Number, dict[str, Score]] = {}
    failures: dict[str, str] = {}
    for value, entrant in sweep.entrants.items():
        try:
            found[value] = _scores(pipeline, scorer, entrant, seed)
        except EntrantFailed as error:
            failures[str(value)] = _without_folders(str(error), entrant)
        say(f"{entrant.spec}: {failures.get(str(value), 'measured')}")
    if not found:
        raise EntrantError(
            f"{sweep.spec} failed at every value of {sweep.parameter}; first: {next(iter(failures.values()))}"
        )
    report = _report(pipeline, sweep, seed, cards, found, failures)
    return with_knee(report, _first_asked(pipeline, sweep.first, cards[0].name))


def _without_folders(text: str, entrant: Entrant) -> str:
    shown = published(entrant.spec).params
    for name, value in entrant.spec.params.items():
        text = text.replace(str(value), str(shown[name])) if shown[name] != value else text
    return paths_shortened(text)


def _report(
    pipeline: Pipeline,
    sweep: Sweep,
    seed: int,
    cards: Sequence[MetricCard],
    found: dict[Number, dict[str, Score]],
    failures: dict[str, str],
) -> Tuning:
    facts, values = sweep.first.facts, tuple(sweep.entrants)
    params = published(Spec(facts.family, facts.params)).params
    return Tuning(
        name=sweep.name(seed),
        entrant=str(sweep.shown),
        family=facts.family,
        params={name: value for name, value in params.items() if name != sweep.parameter},
        entry_hash=facts.entry_hash,
        weights=facts.weights,
        found=sweep.found,
        parameter=sweep.parameter,
        values=values,
        seed=seed,
        suite_name=pipeline.suite.facts.name,
        suite_hash=pipeline.suite.facts.suite_hash,
        metrics=tuple(cards),
        curves=tuple(_curve(card.name, values, found) for card in cards),
        failures=failures,
        no_knee="not looked for yet",
        command=published_command(pipeline.command),
        harness_version=benchmark.__version__,
        created_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _first_asked(pipeline: Pipeline, entrant: Entrant, name: str) -> str:
    """The metric whose knee is looked for; empty where nothing but the suite's own is measured."""
    return name if pipeline.extra_metrics or entrant.measures else ""


def _scores(pipeline: Pipeline, scorer: Scorer, entrant: Entrant, seed: int) -> dict[str, Score]:
    release = pipeline.anonymize(entrant, seed)
    return {part.score.metric: part.score for part in scorer.score(entrant, seed, release, pipeline.settings)}


def _curve(metric: str, values: Sequence[Number], found: dict[Number, dict[str, Score]]) -> Curve:
    scores = [found[value].get(metric) if value in found else None for value in values]
    spans = [score.interval if score else None for score in scores]
    return Curve(
        metric=metric,
        values=tuple(score.value if score else None for score in scores),
        low=tuple(span.low if span else None for span in spans),
        high=tuple(span.high if span else None for span in spans),
        allowed=tuple(score.anchors.get(ALLOWED) if score else None for score in scores),
        reasons=dict(_reasons(values, scores)),
        details=_details(scores),
    )


def _details(scores: Sequence[Score | None]) -> dict[str, tuple[float | None, ...]]:
    lines = {name: tuple(score.details.get(name) if score else None for score in scores) for name in (GROUPS, ABOVE)}
    return lines if any(value is not None for value in lines[ABOVE]) else {}


def _reasons(values: Sequence[Number], scores: Sequence[Score | None]) -> Iterator[tuple[str, str]]:
    for value, score in zip(values, scores, strict=True):
        if score is not None and score.value is None:
            yield str(value), score.reason


def with_knee(report: Tuning, metric: str) -> Tuning:
    """The report with the knee of one of its curves, or the reason why there is none."""
    curve = next((curve for curve in report.curves if curve.metric == metric), None)
    if curve is None:
        return report.model_copy(update={"no_knee": "no metric beyond the suite's was measured; name one with -m"})
    refused = report.refused()
    places = [row for row, value in enumerate(curve.values) if value is not None]
    x, y = [float(report.values[row]) for row in places], [value for value in curve.values if value is not None]
    allowed = [report.values[row] not in refused for row in places]
    place = knee_of(x, y, allowed) if len(x) > 2 else None
    if place is None:
        measured = [report.values[row] for row in places]
        why = why_no_knee(report, metric, measured, any(allowed))
        bend = knee_of(x, y, [True] * len(x)) if report.bounded and len(x) > 2 else None
        if bend is not None:
            why += f"; the curve of {metric} itself bends at {report.parameter} = {measured[bend]}"
        return report.model_copy(update={"no_knee": why})
    rule = RULE + (AMONG if report.bounded else "")
    knee = Knee(value=report.values[places[place]], metric=metric, rule=rule)
    return report.model_copy(update={"knee": knee, "no_knee": ""})
