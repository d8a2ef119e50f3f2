"""Records: one immutable JSON per entrant x suite x seed. Nothing on a board comes from anywhere else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from benchmark.hashing import sha256_json


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be finite; a missing value is a status with a reason")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Group = Literal["privacy", "utility", "quality", "cost"]
Status = Literal["ok", "unavailable", "not-applicable", "failed"]
ParamValue = bool | int | Finite | str


ORIGINALS = "originals"
"""Folder of the originals that examples show, by content, beside ``records``."""


class Part(BaseModel):
    """Base of every part of a record: unknown fields are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricCard(Part):
    """What a metric measures and how to read it."""

    name: str
    """The spec that identifies the metric, parameters included: ``f1(attribute=gender)``."""
    version: int
    title: str
    """Heading of its column."""
    group: Group
    unit: str
    """``share`` (0..1), ``dB``, ``grey levels²``, ..."""
    higher_is_better: bool
    range: tuple[Finite | None, Finite | None]
    """Smallest and largest possible value, None where unbounded."""
    definition: str
    """One or two sentences that pin down the formula."""
    source: str = ""
    """Paper or package the definition follows."""
    weights: dict[str, str] = {}
    """sha256 by name of the models it was computed with, those of the suite excepted."""
    referees: tuple[str, ...] = ()
    """Names of the suite's models it was computed with; the suite pins them."""
    per_count: bool = False
    """Whether the value depends on the number of images, so that only equal numbers compare (FID)."""
    calibration: str = ""
    """What it was held against, and how closely it agreed."""
    rung: str = ""
    """Of an attacker: which kind it is (``static``, ``transfer``, ``embedding``, ``adaptive``, ``reversal``)."""
    needs_copy: bool = False
    """Whether it needs the anonymizer itself, to release photographs of its own choice."""
    about_claim: bool = False
    """Whether it depends on what the entrant claims, besides the released images."""


class Interval(Part):
    """A confidence interval."""

    level: Finite
    method: str
    low: Finite
    high: Finite
    seed: int
    resamples: int

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"interval from {self.low} to {self.high} is upside down")
        return self


class Score(Part):
    """One number of one entrant, or the reason why there is none."""

    metric: str
    value: Finite | None = None
    status: Status = "ok"
    reason: str = ""
    """Why the status is not ``ok``."""
    remedy: str = ""
    """What to type to mend it."""
    n: int = 0
    """Number of images behind the value."""
    n_clusters: int = 0
    """Number of people behind the value."""
    interval: Interval | None = None
    anchors: dict[str, Finite] = {}
    """Values on the same scale to hold it against: ``chance``, ``originals``, ``always-majority``."""
    details: dict[str, Finite] = {}
    """Other numbers that belong to it: ``identical images``, ``PSNR of the mean MSE``."""
    refused: dict[str, str] = {}
    """Details that would mean nothing here, with the reason: ``TAR@FAR=0.0001``."""
    by: str = ""
    """Of the risk: the attacker whose value it is."""
    flags: dict[str, str] = {}
    """Why the value is not to be ranked by, as short name and sentence: ``too-weak``."""

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        if (self.value is None) == (self.status == "ok"):
            raise ValueError(f"{self.metric}: a score has a value if and only if its status is 'ok'")
        if self.value is None and not self.reason:
            raise ValueError(f"{self.metric}: status '{self.status}' needs a reason")
        return self


class Weights(Part):
    """A model file somebody used."""

    name: str
    sha256: str
    licence: str = ""
    url: str = ""


class EntrantFacts(Part):
    """Who was measured."""

    name: str
    """The spec with given parameters, ``blur(kernel=9)``: one row of the board."""
    family: str
    params: dict[str, ParamValue]
    """All parameters, defaults expanded."""
    kind: Literal["python", "process", "precomputed"] = "python"
    version: str = ""
    entry_hash: str
    """sha256 over the source files of the method."""
    uses: tuple[str, ...] = ()
    deterministic: bool = True
    display_name: str = ""
    description: str = ""
    source: str = ""
    authors: str = ""
    licence: str = ""
    code_url: str = ""
    weights: tuple[Weights, ...] = ()
    training_data: tuple[str, ...] = ()
    control: bool = False
    """A row that exists to check the benchmark (``identity``, ``black``)."""
    k_anonymity: int | None = None
    """It claims that at least so many people share every released image."""


class SplitFacts(Part):
    """One split of a suite's data."""

    name: str
    n_images: int
    n_identities: int
    manifest_sha256: str


class SuiteFacts(Part):
    """What was measured on."""

    name: str
    version: str
    suite_hash: str
    """sha256 of the whole definition: data, splits, referees, metrics, seeds."""
    title: str
    description: str = ""
    licence: str = ""
    image_size: int
    """Side of the square images in pixels."""
    splits: tuple[SplitFacts, ...]
    attributes: dict[str, tuple[str, ...]] = {}
    """Classes by attribute."""
    referees: tuple[Weights, ...] = ()
    seed: int = 0
    synthetic: bool = False
    shows_faces: bool = True
    """Whether the licence lets a board show the images."""
    image_rule: str = ""
    """Decode, crop and resize as one sentence."""


class Machine(Part):
    """Where it ran."""

    system: str
    machine: str
    processor: str
    cores: int
    memory_gib: Finite
    gpus: tuple[str, ...] = ()


class RunFacts(Part):
    """How it ran. Volatile: not part of the result's identity."""

    seed: int
    batch_size: int
    scoring_batch: int
    threads: int
    device: str
    harness_version: str
    harness_commit: str = ""
    harness_dirty: bool | None = None
    python: str
    packages: dict[str, str]
    machine: Machine
    command: str
    started_utc: str
    ended_utc: str
    reused: tuple[str, ...] = ()
    """Steps that were taken from the store: ``released``, ``scores``."""
    isolation: str = ""
    """Of a command: what kept it apart from the machine, and what did not."""


class Cost(Part):
    """What it cost to release the images. Volatile."""

    seconds_per_image: Finite | None = None
    seconds_fit: Finite | None = None
    peak_memory_mb: Finite | None = None
    """Largest resident memory of the process above what it held before, in MB (10^6 bytes)."""
    note: str = ""


class Failure(Part):
    """Something that went wrong with an image or with the entrant as a whole."""

    stage: Literal["build", "fit", "anonymize", "score"]
    kind: Literal["entrant", "environment", "ambiguous"]
    message: str
    key: str = ""
    """The image, or empty for all of them."""


class Coverage(Part):
    """How many images there are; the denominator is always ``n_expected``."""

    n_expected: int
    n_output: int
    n_scored: int
    n_failed: int
    failures: tuple[Failure, ...] = ()


class Example(Part):
    """One pair of pictures for the entrant's page."""

    key: str
    original: str
    """PNG, relative to the record: beside it, or under ``originals`` of the result folder, once for all entrants."""
    released: str
    """PNG beside the record."""


class TraceStep(Part):
    """An image after some of its rounds."""

    after: int
    """Rounds behind it; 0 is the original."""
    picture: str
    """WebP beside the record: the image above what mattered on it (bright), both slightly compressed."""


class TraceSequence(Part):
    """One image on its way, from the original to what is released."""

    key: str
    steps: tuple[TraceStep, ...]


class TraceFacts(Part):
    """The rounds of an entrant that works in rounds; per image they stand in the Parquet file beside the record."""

    risk: Annotated[tuple[Finite, ...], Field(min_length=1)]
    """Share of all images that the entrant's own recogniser names rightly, before the first round and after each."""
    target: Finite
    """The share below which it stops."""
    recognised: int
    """Images still named rightly when it stopped."""
    rounds_median: Finite
    rounds_max: int
    changed_mean: Finite
    """Share of the values (pixel x channel) of an image that were ever changed, on average."""
    sequences: tuple[TraceSequence, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether it came below its target."""
        return self.risk[-1] < self.target


class SheetGroup(Part):
    """A group of people who share a surrogate, as far as a sheet shows it."""

    members: int = Field(ge=1)
    """How many people it has."""
    keys: tuple[str, ...]
    """One image of each of its first members, in the order of the picture."""


class Sheet(Part):
    """A picture of groups: a line per group, originals of its members and then the surrogate."""

    picture: str
    """WebP beside the record, slightly compressed."""
    width: int = Field(ge=1, le=4096)
    height: int = Field(ge=1, le=4096)
    groups: Annotated[tuple[SheetGroup, ...], Field(min_length=1)]


class Claims(Part):
    """Who says so. Volatile: a result that somebody else reproduces stays the same result."""

    self_reported: bool = False
    submitted_by: str = ""
    conflict_of_interest: str = ""
    """What ties the submitter to the method, in the submitter's words."""
    training_overlap: str = ""
    """What the method learned from that is also in the suite, in the submitter's words."""
    publishable: bool | None = None
    """Whether the submitter may publish the pictures and numbers under the licence of the board; None: not asked."""
    reproduced_by: str = ""
    reproduced_utc: str = ""
    max_abs_diff: Finite | None = None
    """Largest difference between the claimed and the reproduced scores, in the unit of ``max_abs_diff_metric``."""
    max_abs_diff_metric: str = ""


class Invalidation(Part):
    """Why a record no longer counts."""

    by: str
    when: str
    reason: str


RISK = "risk"
"""Name of the worst attacker's score, which is made of the others."""
AT_LEAST = "at least"
"""Of a risk that is missing: the detail that says how large it is at least."""
TOO_WEAK = "too-weak"
"""Flag of an attacker that hardly identifies originals."""
BELOW_CHANCE = "below-chance"
"""Flag of an attacker, and of a result, that is worse than guessing."""
VOLATILE = {"result_id", "created_utc", "run", "cost", "claims", "supersedes", "invalidated"}


class Record(Part):
    """The result of one entrant on one suite under one seed."""

    schema_version: Literal[1] = 1
    result_id: str = ""
    """sha256 of the record without its volatile parts (times, costs, machine)."""
    created_utc: str
    status: Literal["ok", "partial", "failed"]
    supersedes: str = ""
    invalidated: Invalidation | None = None
    entry: EntrantFacts
    suite: SuiteFacts
    seed: int
    metrics: tuple[MetricCard, ...]
    scores: tuple[Score, ...]
    release_sha256: str = ""
    """sha256 over keys and bytes of the released images."""
    notes: dict[str, str] = {}
    """Short facts the entrant published about its release."""
    flags: dict[str, str] = {}
    """What makes the result no result, as short name and sentence (``no-op``, ``constant``); never ranked above others."""
    coverage: Coverage
    examples: tuple[Example, ...] = ()
    trace: TraceFacts | None = None
    """The rounds of an entrant that works in rounds."""
    sheet: Sheet | None = None
    """Some groups of an entrant that publishes groups."""
    run: RunFacts
    cost: Cost
    claims: Claims = Claims()

    @model_validator(mode="after")
    def _every_score_has_a_card(self) -> Self:
        orphans = sorted({score.metric for score in self.scores} - {card.name for card in self.metrics})
        if orphans:
            raise ValueError(f"score '{orphans[0]}' has no metric card")
        return self

    def score(self, metric: str) -> Score | None:
        """The score of ``metric``, or None."""
        return next((score for score in self.scores if score.metric == metric), None)

    def identified(self) -> Record:
        """The record with its ``result_id`` filled in."""
        return self.model_copy(update={"result_id": result_id(self)})


def result_id(record: Record) -> str:
    """sha256 of what does not change between two runs of the same thing.

    A record without a trace or a sheet has the id it had before there were any.
    """
    absent = {name for name in ("trace", "sheet") if getattr(record, name) is None}
    return sha256_json(record.model_dump(mode="json", exclude=VOLATILE | absent))


def json_schema() -> dict[str, Any]:
    """JSON Schema of a record."""
    return Record.model_json_schema()


def read_record(path: Path) -> Record:
    """Reads and validates one record file."""
    return Record.model_validate_json(path.read_bytes())
