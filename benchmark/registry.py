"""What can be named on the command line: built-ins and strangers' packages, found through the same entry points."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from benchmark.entrants.finding import Found, found_in, is_place
from benchmark.errors import AnonbenchError, EntrantError, EnvironmentProblem, UsageError, as_line, did_you_mean
from benchmark.hashing import sha256_json
from benchmark.protocols import USES, Anonymizer, Metric
from benchmark.records import EntrantFacts
from benchmark.specs import Spec, construct, expanded, parse_spec

Kind = Literal["anonymizers", "embedders", "metrics", "suites"]


@cache
def _points(kind: Kind) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"anonbench.{kind}"):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise EnvironmentProblem(
                f"two installed packages register the {kind[:-1]} '{point.name}': {other.value} and {point.value}. "
                "Uninstall one of them"
            )
    return found


def names(kind: Kind) -> list[str]:
    """All registered names of a kind, sorted."""
    return sorted(_points(kind))


def load(kind: Kind, name: str) -> Any:
    """The object registered under ``name``.

    Raises:
        UsageError: there is none.
        EnvironmentProblem: its module cannot be imported.
    """
    points = _points(kind)
    if name not in points:
        hint = did_you_mean(name, points)
        raise UsageError(f"no {kind[:-1]} is called '{name}'.{hint} Try: anonbench list {kind}")
    try:
        return points[name].load()
    except Exception as error:  # a stranger's module may raise anything while it is imported
        raise EnvironmentProblem(
            f"{kind[:-1]} '{name}' cannot be imported: {type(error).__name__}: {error}. Mend or uninstall its package"
        ) from error


@dataclass(frozen=True)
class Entrant:
    """An anonymizer with its parameters, ready to run, and what a record says about it.

    Attributes:
        spec: family and given parameters.
        anonymizer: what runs.
        facts: what a record says.
        make: builds the anonymizer anew; None where it was handed in ready made.
    """

    spec: Spec
    anonymizer: Anonymizer
    facts: EntrantFacts
    make: Callable[[], Anonymizer] | None = None

    @property
    def uses(self) -> frozenset[str]:
        """What it declared to use."""
        return frozenset(self.facts.uses)

    @property
    def measures(self) -> tuple[str, ...]:
        """Specs of the metrics it brings along, beyond the suite's."""
        return tuple(getattr(self.anonymizer, "measures", ()))

    @property
    def shardable(self) -> bool:
        """Whether the set may be cut into parts."""
        return bool(getattr(self.anonymizer, "shardable", False))

    @property
    def probes_alone(self) -> bool:
        """Whether it can release the probe images and no others."""
        return bool(getattr(self.anonymizer, "probes_alone", False))

    def fresh(self) -> Entrant:
        """The same with an anonymizer that remembers nothing of earlier calls, where one can be built."""
        return self if self.make is None else dataclasses.replace(self, anonymizer=self.make())


def find_anonymizer(family: str) -> Found:
    """What builds the anonymizer of this name, or the one in this file, folder or archive.

    Raises:
        UsageError: there is none.
        EnvironmentProblem: its module cannot be imported.
    """
    if family not in _points("anonymizers") and is_place(family):
        return found_in(family, frozenset(_points("anonymizers")))
    return Found(family, load("anonymizers", family))


def build_entrant(text: str) -> Entrant:
    """Builds the entrant a spec names.

    Raises:
        UsageError: unknown family or parameter, or a value out of range.
        EntrantError: what is registered is not an anonymizer.
    """
    given = parse_spec(text)
    found = find_anonymizer(given.family)
    spec, factory = Spec(found.family, given.params), found.factory
    anonymizer = construct(factory, spec, given.family)
    try:
        return _entrant(spec, factory, anonymizer)
    except (KeyboardInterrupt, AnonbenchError):
        raise
    except BaseException as error:  # what a stranger's class says about itself may be anything
        raise EntrantError(
            f"'{spec.family}' says something about itself that no record can hold: {_first_line(error)}. Mend its class "
            "attributes and parameters"
        ) from error


def _first_line(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return as_line(error)


def _entrant(spec: Spec, factory: Any, anonymizer: Any) -> Entrant:
    if not isinstance(anonymizer, Anonymizer):
        raise EntrantError(f"'{spec.family}' has no method anonymize(images, controller). Give it one")
    unknown = sorted(set(getattr(anonymizer, "uses", ())) - USES)
    if unknown:
        raise EntrantError(f"'{spec.family}' declares to use '{unknown[0]}'.{did_you_mean(unknown[0], USES)}")
    strange = sorted({parse_spec(text).family for text in getattr(anonymizer, "measures", ())} - set(names("metrics")))
    if strange:
        raise EntrantError(f"'{spec.family}' measures '{strange[0]}'.{did_you_mean(strange[0], names('metrics'))}")
    taken = {name: getattr(anonymizer, name, value) for name, value in spec.params.items()}
    spec = Spec(spec.family, taken)
    return Entrant(spec, anonymizer, _facts(spec, factory, anonymizer), partial(construct, factory, spec))


def _facts(spec: Spec, factory: Any, anonymizer: Anonymizer) -> EntrantFacts:
    params = {name: getattr(anonymizer, name, value) for name, value in expanded(factory, spec).items()}
    params = {name: value for name, value in params.items() if value is not None}  # None: not set
    return EntrantFacts(
        name=str(spec),
        family=spec.family,
        params=params,
        version=str(getattr(anonymizer, "version", "")),
        entry_hash=getattr(anonymizer, "entry_hash", "") or source_hash(type(anonymizer)),
        uses=tuple(sorted(getattr(anonymizer, "uses", ()))),
        deterministic=bool(getattr(anonymizer, "deterministic", True)),
        display_name=str(spec),
        description=str(getattr(anonymizer, "description", "") or first_line(factory)),
        source=str(getattr(anonymizer, "source", "")),
        authors=str(getattr(anonymizer, "authors", "")),
        licence=str(getattr(anonymizer, "licence", "")),
        code_url=str(getattr(anonymizer, "code_url", "")),
        weights=tuple(getattr(anonymizer, "weights", ())),
        training_data=tuple(getattr(anonymizer, "training_data", ())),
        control=bool(getattr(anonymizer, "control", False)),
        kind=getattr(anonymizer, "kind", "python"),
        k_anonymity=getattr(anonymizer, "k_anonymity", None),
    )


def first_line(thing: object) -> str:
    """First line of a docstring."""
    return (inspect.getdoc(thing) or "").split("\n", 1)[0]


APART = "__apart__ = True"
"""Line of an ``__init__.py`` that says: nothing in the packages around this one imports it."""


def source_hash(kind: type) -> str:
    """sha256 over the source a class comes from: its file, or all files of the package folder around it and below.

    Packages below that stand apart are left out: an addition to a folder then leaves what is kept of the others.
    """
    try:
        file = Path(inspect.getfile(kind))
    except (OSError, TypeError) as error:
        raise UsageError(f"{kind.__name__} has no source file, so its results could not be told apart") from error
    packaged = (file.parent / "__init__.py").exists()
    files = _files_below(file.parent) if packaged else [file]
    return sha256_json({part.relative_to(file.parent).as_posix(): _source(part) for part in files})


def _files_below(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.py"))
    apart = [init.parent for init in files if init.name == "__init__.py" and init.parent != folder and _is_apart(init)]
    return [file for file in files if not any(file.is_relative_to(place) for place in apart)]


def _is_apart(init: Path) -> bool:
    return APART in _source(init).splitlines()


def _source(file: Path) -> str:
    """The text of a source file; bytes that are no UTF-8 stay told apart."""
    return file.read_text(encoding="utf-8", errors="backslashreplace")


def build_metric(text: str) -> Metric:
    """Builds the metric a spec names.

    Raises:
        UsageError: unknown metric or parameter.
    """
    spec = parse_spec(text)
    metric = construct(load("metrics", spec.family), spec)
    if not isinstance(metric, Metric):
        raise UsageError(f"'{spec.family}' is not a metric: it has no card or no method score(...)")
    return metric
