"""The interfaces between the rooms: small structural protocols and the plain data they exchange."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import torch

    from benchmark.images import ImageSet, Released
    from benchmark.learning.classifier import Classifier
    from benchmark.records import MetricCard, Score, SuiteFacts
    from benchmark.store import Store

Progress = Callable[[int], None]
"""Called with the number of images just finished."""


def silent(_: int) -> None:
    """The progress callback of whoever does not want to hear."""


class Report(Protocol):
    """Shows that long work goes on."""

    def __call__(self, title: str, total: int) -> AbstractContextManager[Progress]:
        """Opens a piece of work of ``total`` images."""
        ...


def quiet(title: str, total: int) -> AbstractContextManager[Progress]:
    """A report that nobody reads."""
    return nullcontext(silent)


@dataclass(frozen=True)
class Controller:
    """What the person who anonymizes has at hand besides the images.

    An anonymizer finds here only what it declared in ``uses``; everything else is None.

    Attributes:
        seed: seed of all randomness of this run.
        device: torch device name to compute on.
        batch_size: images per batch; the released bytes must not depend on it.
        train: images of other people, with labels (``uses`` "train").
        recogniser: a classifier of the people in the set, with gradients (``uses`` "recogniser").
        progress: tell it how many images were just finished.
        private: folders that a command must not see, because they hold labels.
        covered: folders of records, which a command must not see either; it may lie in one of them itself.
    """

    seed: int = 0
    device: str = "cpu"
    batch_size: int = 64
    train: ImageSet | None = None
    recogniser: Classifier | None = None
    progress: Progress = silent
    private: tuple[Path, ...] = ()
    covered: tuple[Path, ...] = ()


USES = frozenset({"identity", "attributes", "landmarks", "train", "recogniser"})
"""What an anonymizer can declare to use; the board shows it, and nothing else is handed over."""


@runtime_checkable
class Anonymizer(Protocol):
    """Turns images into released images.

    Optional class attributes: ``uses`` (subset of ``USES``, default none), ``shardable`` (True if every image is
    treated by itself, so that the set may be cut into parts, default False), ``deterministic`` (default True),
    ``source`` (paper or package), ``version``, ``description``, ``authors``, ``licence``, ``code_url``, ``weights`` and
    ``training_data`` (what a record says about it), ``control`` (a row that checks the benchmark), ``kind`` (default
    ``python``), ``entry_hash`` (default: of the source the class comes from), ``probes_alone`` (it can release the probe
    images and no others), ``isolation`` and ``peak_memory_mb`` (of a command, once it has run: what kept it apart, and
    its memory) and ``k_anonymity`` (it claims that at least so many people share every released image; the note
    ``group``, int64 ``[N]``, says which) and ``measures`` (specs of metrics that say something of entrants of its kind
    alone; they are added to the suite's for its rows). Optional methods:
    ``fit(train, controller)``, and ``found()``, which names by content what the result depends on besides images and
    parameters (a weight file that may or may not be there).
    """

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Returns one released image for every image of ``images``, in the same order."""
        ...


Shared = TypeVar("Shared")


class EntrantCopy(Protocol):
    """The entrant in the hands of somebody else: an attacker, or who trains on what it releases.

    It runs with a ``Controller`` of its own: another seed, recognisers and other people that the real one never sees.
    """

    def released(self, split: str) -> torch.Tensor:
        """What the copy makes of ``Referees.photographs(split)``: uint8 ``[N, 3, H, W]`` in the same order.

        Computed once, whoever asks.

        Raises:
            EntrantFailed: the entrant raised or broke the protocol.
        """
        ...

    def once(self, name: str, make: Callable[[], Shared]) -> Shared:
        """What ``make`` returns, made once for this entrant: several metrics may read one trained network."""
        ...


@dataclass(frozen=True)
class KAnonymityClaim:
    """What an entrant claims about the probe release.

    Attributes:
        k: at least so many people share every released image.
        group: int64 ``[N]``, published group of each image, or None.
    """

    k: int
    group: torch.Tensor | None = None


@dataclass(frozen=True)
class Referees:
    """The frozen models of a suite, and what a metric needs to run models of its own.

    Attributes:
        recogniser: closed-set classifier of the evaluated people, trained on their enrol photographs; None
            where the data have no identities.
        attributes: one classifier per attribute, trained on other people.
        attackers: further models trained on originals: ``transfer`` (evaluated people, another architecture),
            ``embedding`` (classifier of the background people) and ``parrot`` (evaluated people; what an attacker hands
            to the entrant's copy). Missing where the data do not allow them.
        photographs: clear photographs by split, without the probes: ``enrol`` (of the evaluated people), ``background``
            (other people; the half that no entrant is given as ``train``). Empty sets where there are none; None where
            nothing but probes is known.
        copy: the entrant in the attacker's hands; None where it can release nothing but the probes.
        claim: what the entrant claims about k-anonymity.
        files: further pinned files of the suite by name, in the format of the metric that reads them.
        device: torch device name to compute on.
        store: where features of images are kept; None keeps them in memory alone.
        report: shows progress of long work.
    """

    recogniser: Classifier | None = None
    attributes: Mapping[str, Classifier] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    attackers: Mapping[str, Classifier] = field(default_factory=dict)
    photographs: Callable[[str], ImageSet] | None = None
    copy: EntrantCopy | None = None
    claim: KAnonymityClaim | None = None
    device: str = "cpu"
    store: Store | None = None
    report: Report = quiet


@dataclass(frozen=True)
class Missing:
    """Why a metric cannot be computed on this machine.

    Attributes:
        reason: what is not there.
        remedy: what to type to mend it.
    """

    reason: str
    remedy: str


@dataclass(frozen=True)
class Scores:
    """What a metric returns: one score and, where they exist, the values it was made from.

    Attributes:
        score: value, interval and status.
        per_image: float64 ``[N]`` by column name, in the order of the images.
    """

    score: Score
    per_image: Mapping[str, torch.Tensor] = field(default_factory=dict)


@runtime_checkable
class Metric(Protocol):
    """Compares released images with their originals.

    Optional method ``missing() -> Missing | None``: asked before anything is computed; an answer becomes the score's
    status ``unavailable``, and the run goes on. The card's ``weights`` are those found on this machine.
    """

    @property
    def card(self) -> MetricCard:
        """Name, unit, direction, range, source, version and needs."""
        ...

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Scores ``released`` (same keys and order as ``original``)."""
        ...


def missing_of(metric: Metric) -> Missing | None:
    """What a metric lacks on this machine; None for one that has no ``missing``."""
    found: Missing | None = getattr(metric, "missing", lambda: None)()
    return found


class Suite(Protocol):
    """Data set, splits, referees, metrics and default entrants, under one name, version and hash."""

    @property
    def facts(self) -> SuiteFacts:
        """Everything a record says about the suite, its hash included."""
        ...

    @property
    def metrics(self) -> Sequence[str]:
        """Specs of the metrics, as ``name(param=value)``."""
        ...

    @property
    def entrants(self) -> Sequence[str]:
        """Specs of the entrants that run when none is named."""
        ...

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        """One of ``background``, ``enrol``, ``probe``, ``spare``; probe images are what is anonymized."""
        ...

    def referees(self, report: Report = quiet) -> Referees:
        """The frozen models, loaded by hash, or trained once and kept by content."""
        ...


@dataclass(frozen=True)
class SuiteOptions:
    """What the command line says about a suite.

    Attributes:
        store: where rendered images and trained referees are kept.
        data: the folder with the data, for suites that read one.
        size: side of the images in pixels, for suites that let one choose.
        groups: cut points of numeric attributes by name.
        referee: architecture of referees that have to be trained.
        device: torch device name to train and score on.
        report: shows progress of reading and training.
    """

    store: Path
    data: Path | None = None
    size: int | None = None
    groups: Mapping[str, Sequence[float]] = field(default_factory=dict)
    referee: str | None = None
    device: str = "cpu"
    report: Report = quiet


class SuiteFactory(Protocol):
    """What is registered under ``anonbench.suites``."""

    title: str
    """One line for listings."""
    whereabouts: str
    """Where the data come from, for listings."""

    def describe(self) -> Mapping[str, str]:
        """More for who asks about this suite alone, by field."""
        ...

    def __call__(self, options: SuiteOptions) -> Suite:
        """Opens the suite."""
        ...
