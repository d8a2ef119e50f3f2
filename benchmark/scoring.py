"""Step 2, ``score``: metrics compare originals with released images. A new metric never re-runs an anonymizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

import benchmark
from benchmark import statistics
from benchmark.errors import AnonbenchError, EnvironmentProblem, as_line
from benchmark.hashing import sha256_json
from benchmark.images import ImageSet
from benchmark.protocols import Metric, Referees, Report, Scores, Suite, missing_of, quiet
from benchmark.records import MetricCard, Score
from benchmark.registry import Entrant, build_metric, source_hash
from benchmark.release import Release, Settings, load_released, make_release
from benchmark.store import Store, read_json, write_json

FORMAT = 2


@dataclass
class Scorer:
    """The metrics of a suite, with originals and referees loaded once, when the first score needs them.

    Attributes:
        store: where scores are kept.
        suite: whose metrics.
        report: shows progress.
        device: torch device name to compute on.
        extra: specs of metrics beyond the suite's.
    """

    store: Store
    suite: Suite
    report: Report = quiet
    device: str = "cpu"
    extra: Sequence[str] = ()
    metrics: Sequence[Metric] = field(init=False)
    _sources: Mapping[type, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        built = [build_metric(spec) for spec in [*self.suite.metrics, *self.extra]]
        self.metrics = list({metric.card.name: metric for metric in built}.values())
        # Now, not with each key: a file edited while this runs is not the code that runs.
        self._sources = {kind: source_hash(kind) for kind in map(type, self.metrics)}

    @property
    def cards(self) -> tuple[MetricCard, ...]:
        """Cards of all metrics, in the suite's order."""
        return tuple(metric.card for metric in self.metrics)

    @cached_property
    def original(self) -> ImageSet:
        """The probe images."""
        return self.suite.images("probe", self.report)

    @cached_property
    def referees(self) -> Referees:
        """The suite's frozen models, and where metrics keep features."""
        referees = self.suite.referees(self.report)
        return dataclasses.replace(referees, device=self.device, store=self.store, report=self.report)

    def key(self, metric: Metric, release: Release) -> str:
        """Content address of a score: suite, released pixels, metric with version and source, statistics."""
        settings = [statistics.LEVEL, statistics.RESAMPLES, statistics.SEED]
        card = [metric.card.name, metric.card.version, metric.card.weights, self._sources[type(metric)]]
        return sha256_json([FORMAT, benchmark.__version__, self.suite.facts.suite_hash, release.sha256, card, settings])

    def known(self, release: Release) -> list[Scores] | None:
        """All scores of a release, if all that can be had are kept already."""
        found = [self._unavailable(metric, len(release)) or self._kept(metric, release) for metric in self.metrics]
        whole = [scores for scores in found if scores is not None]
        return whole if len(whole) == len(found) else None

    def score(self, entrant: Entrant, seed: int, release: Release, settings: Settings) -> list[Scores]:
        """Scores a release with every metric; what is kept already is not computed again."""
        known = self.known(release)
        if known is not None:
            return known
        return list(self._score_all(release, self.released(entrant, seed, release, settings)))

    def released(self, entrant: Entrant, seed: int, release: Release, settings: Settings) -> ImageSet:
        """The released images, made again if somebody removed or damaged files of the store."""
        found = load_released(self.store, release, self.original)
        if found is None:
            again = make_release(self.store, self.suite, entrant, seed, settings, self.report)
            found = load_released(self.store, again, self.original)
        if found is None:
            raise EnvironmentProblem(
                f"files vanish from {self.store.root} while it is used; run the same command again"
            )
        return found

    def _score_all(self, release: Release, released: ImageSet) -> Iterator[Scores]:
        for metric in self.metrics:
            scores = self._unavailable(metric, len(release)) or self._kept(metric, release)
            if scores is None:
                key = self.key(metric, release)
                scores = self._scored(metric, released)
                unchanged = self.key(metric, release) == key  # nobody replaced the weights in between
                if unchanged and scores.score.status not in ("failed", "unavailable"):
                    write_json(self.store.path("scores", f"{key}.json"), _as_json(scores))
            yield scores

    def _unavailable(self, metric: Metric, count: int) -> Scores | None:
        """The status of a metric that says it cannot be computed here."""
        missing = missing_of(metric)
        if missing is None:
            return None
        name, reason, remedy = metric.card.name, missing.reason, missing.remedy
        return Scores(Score(metric=name, status="unavailable", reason=reason, remedy=remedy, n=count))

    def _scored(self, metric: Metric, released: ImageSet) -> Scores:
        """A score, or what went wrong inside a metric: it does not take the other numbers with it."""
        try:
            return metric.score(self.original, released, self.referees)
        except AnonbenchError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary to a stranger's metric
            return Scores(Score(metric=metric.card.name, status="failed", reason=as_line(error), n=len(released)))

    def _kept(self, metric: Metric, release: Release) -> Scores | None:
        found = read_json(self.store.path("scores", f"{self.key(metric, release)}.json"))
        if not isinstance(found, dict):
            return None
        try:
            columns = {name: torch.tensor(values, dtype=torch.float64) for name, values in found["per_image"].items()}
            return Scores(Score.model_validate(found["score"]), columns)
        except (KeyError, TypeError, ValueError, AttributeError):  # damaged
            return None


def _as_json(scores: Scores) -> dict[str, Any]:
    columns = {name: values.tolist() for name, values in scores.per_image.items()}
    return {"score": scores.score.model_dump(mode="json"), "per_image": columns}


def per_image_rows(images: ImageSet, scores: Sequence[Scores], seed: int) -> Mapping[str, list[Any]]:
    """The per-image values of all metrics as columns of a long table.

    A value that is not finite (PSNR of an identical image) is missing, with its status.

    Returns:
        ``image_id, identity_id, metric, value, status, seed``.
    """
    people = _people(images)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("image_id", "identity_id", "metric", "value", "status", "seed")
    }
    for name, values in (item for part in scores for item in part.per_image.items()):
        finite = values.isfinite().tolist()
        columns["image_id"] += images.keys
        columns["identity_id"] += people
        columns["metric"] += [name] * len(images)
        columns["value"] += [value if ok else None for value, ok in zip(values.tolist(), finite, strict=True)]
        columns["status"] += ["ok" if ok else "not-applicable" for ok in finite]
        columns["seed"] += [seed] * len(images)
    return columns


def _people(images: ImageSet) -> list[str]:
    if images.identity is None:
        return [""] * len(images)
    return [images.identity.classes[index] for index in images.identity.values.tolist()]
