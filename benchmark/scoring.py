"""Step 2, ``score``: metrics compare originals with released images. A new metric never re-runs an anonymizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

import benchmark
from benchmark import statistics
from benchmark.copies import OwnCopy
from benchmark.errors import AnonbenchError, EnvironmentProblem, as_line
from benchmark.hashing import sha256_json
from benchmark.images import ImageSet
from benchmark.notes import load_note
from benchmark.protocols import KAnonymityClaim, Metric, Missing, Referees, Report, Scores, Suite, missing_of, quiet
from benchmark.records import MetricCard, Score
from benchmark.registry import Entrant, build_metric, source_hash
from benchmark.release import Release, Settings, load_released, make_release, share_of
from benchmark.risk import image_flags, number_flags, risk_card, risk_of
from benchmark.store import Store, read_json, write_json

FORMAT = 3
PROBES_ALONE = Missing(
    "this entrant can release nothing but the probe images, and this needs the anonymizer itself",
    "Release the enrol and background images too (anonbench export writes them), or enter it as a class or a command",
)


@dataclass
class Scorer:
    """The metrics of a suite, with originals and referees loaded once, when the first score needs them.

    Attributes:
        store: where scores are kept.
        suite: whose metrics.
        report: shows progress.
        device: torch device name to compute on.
        extra: specs of metrics beyond the suite's.
        only: specs of metrics in place of the suite's; None: the suite's.
    """

    store: Store
    suite: Suite
    report: Report = quiet
    device: str = "cpu"
    extra: Sequence[str] = ()
    only: Sequence[str] | None = None
    metrics: Sequence[Metric] = field(init=False)
    _sources: dict[type, str] = field(init=False, repr=False)
    _measures: dict[str, Metric] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._bound: tuple[str, Referees] | None = None
        self._sources, self._measures = {}, {}
        wanted = self.suite.metrics if self.only is None else self.only
        self.metrics = _each_once([self._built(spec) for spec in [*wanted, *self.extra]])

    def _built(self, spec: str) -> Metric:
        metric = build_metric(spec)
        # Now, not with each key: a file edited while this runs is not the code that runs.
        self._sources.setdefault(type(metric), source_hash(type(metric)))
        return metric

    def metrics_of(self, entrant: Entrant) -> list[Metric]:
        """The metrics of every row, then those that this entrant brings along."""
        for spec in entrant.measures:
            if spec not in self._measures:
                self._measures[spec] = self._built(spec)
        return _each_once([*self.metrics, *(self._measures[spec] for spec in entrant.measures)])

    def cards_of(self, entrant: Entrant) -> tuple[MetricCard, ...]:
        """Cards of the risk and of all metrics of an entrant's row, in the suite's order."""
        cards = tuple(metric.card for metric in self.metrics_of(entrant))
        risk = risk_card(cards)
        return cards if risk is None else (risk, *cards)

    @cached_property
    def original(self) -> ImageSet:
        """The probe images."""
        return self.suite.images("probe", self.report)

    @cached_property
    def referees(self) -> Referees:
        """The suite's frozen models, and where metrics keep features."""
        referees = self.suite.referees(self.report)
        return dataclasses.replace(
            referees, photographs=self.photographs, device=self.device, store=self.store, report=self.report
        )

    def photographs(self, split: str) -> ImageSet:
        """What an attacker has of a split: of the background people, the half that no entrant is given."""
        images = self.suite.images(split, self.report)
        return share_of(images, "attacker") if split == "background" else images

    def referees_against(self, entrant: Entrant, seed: int, release: Release, settings: Settings) -> Referees:
        """The same, with the entrant's copy and claims; one copy serves all metrics of a release."""
        if self._bound is None or self._bound[0] != release.cell:
            self._bound = release.cell, self._against(entrant, seed, release, settings)
        return self._bound[1]

    def _against(self, entrant: Entrant, seed: int, release: Release, settings: Settings) -> Referees:
        salt, claim, copy = self.suite.facts.suite_hash, None, None
        if entrant.facts.k_anonymity is not None:
            group = load_note(self.store, release, "group", salt)
            claim = KAnonymityClaim(entrant.facts.k_anonymity, group)
        if not entrant.probes_alone:
            copy = OwnCopy(
                entrant,
                release.cell,
                seed,
                self.photographs,
                self.referees.attackers,
                salt,
                settings,
                self.store,
                self.report,
            )
        return dataclasses.replace(self.referees, copy=copy, claim=claim)

    def key(self, metric: Metric, release: Release) -> str:
        """Content address of a score: suite, released pixels, metric with version and source, statistics."""
        settings = [statistics.LEVEL, statistics.RESAMPLES, statistics.SEED]
        card = [metric.card.name, metric.card.version, metric.card.weights, self._sources[type(metric)]]
        whom = [release.sha256, release.cell if _about_entrant(metric) else ""]
        return sha256_json([FORMAT, benchmark.__version__, self.suite.facts.suite_hash, whom, card, settings])

    def known(self, entrant: Entrant, release: Release) -> list[Scores] | None:
        """All scores of a release, if all that can be had are kept already."""
        metrics = self.metrics_of(entrant)
        found = [self._unavailable(metric, entrant, release) or self._kept(metric, release) for metric in metrics]
        whole = [scores for scores in found if scores is not None]
        return whole if len(whole) == len(found) else None

    def score(self, entrant: Entrant, seed: int, release: Release, settings: Settings) -> list[Scores]:
        """Scores a release with every metric of its row; what is kept already is not computed again.

        Returns:
            The risk, if there are attackers, then all metrics in the suite's order, then the entrant's own.
        """
        scores = self.known(entrant, release)
        if scores is None:
            scores = list(self._score_all(entrant, seed, release, settings))
        cards = [metric.card for metric in self.metrics_of(entrant)]
        risk = risk_card(cards)
        return scores if risk is None else [risk_of(risk, cards, scores, len(release)), *scores]

    def flags(
        self, entrant: Entrant, seed: int, release: Release, settings: Settings, scores: Sequence[Scores]
    ) -> dict[str, str]:
        """What makes a result no result; the released images are looked at once."""
        facts = [FORMAT, benchmark.__version__, self.suite.facts.suite_hash, release.sha256, "flags"]
        path = self.store.path("scores", f"{sha256_json(facts)}.json")
        found = read_json(path)
        if not isinstance(found, dict):
            found = image_flags(self.original, self.released(entrant, seed, release, settings))
            write_json(path, found)
        return found | number_flags(self.cards_of(entrant), [part.score for part in scores])

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

    def _score_all(self, entrant: Entrant, seed: int, release: Release, settings: Settings) -> Iterator[Scores]:
        released = self.released(entrant, seed, release, settings)
        for metric in self.metrics_of(entrant):
            scores = self._unavailable(metric, entrant, release) or self._kept(metric, release)
            if scores is None:
                key = self.key(metric, release)
                scores = self._scored(metric, released, self._referees_of(metric, entrant, seed, release, settings))
                unchanged = self.key(metric, release) == key  # nobody replaced the weights in between
                if unchanged and scores.score.status not in ("failed", "unavailable"):
                    write_json(self.store.path("scores", f"{key}.json"), _as_json(scores))
            yield scores

    def _referees_of(
        self, metric: Metric, entrant: Entrant, seed: int, release: Release, settings: Settings
    ) -> Referees:
        """Copy and claim go only to metrics that declare them: scores of the others are kept by pixels alone."""
        if not _about_entrant(metric):
            return self.referees
        return self.referees_against(entrant, seed, release, settings)

    def _unavailable(self, metric: Metric, entrant: Entrant, release: Release) -> Scores | None:
        """The status of a metric that cannot be computed on this machine, or not of this entrant."""
        missing = missing_of(metric)
        if missing is None and metric.card.needs_copy and entrant.probes_alone:
            missing = PROBES_ALONE
        if missing is None:
            return None
        name, reason, remedy = metric.card.name, missing.reason, missing.remedy
        return Scores(Score(metric=name, status="unavailable", reason=reason, remedy=remedy, n=len(release)))

    def _scored(self, metric: Metric, released: ImageSet, referees: Referees) -> Scores:
        """A score, or what went wrong inside a metric: it does not take the other numbers with it."""
        try:
            return _checked(metric, metric.score(self.original, released, referees), len(released))
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


def _each_once(metrics: Iterable[Metric]) -> list[Metric]:
    return list({metric.card.name: metric for metric in metrics}.values())


def _about_entrant(metric: Metric) -> bool:
    """Whether a score depends on more of the entrant than the released pixels."""
    return metric.card.needs_copy or metric.card.about_claim


def _checked(metric: Metric, scores: object, count: int) -> Scores:
    """Holds what a metric returned against the protocol.

    Raises:
        TypeError: it is not ``Scores``.
        ValueError: it is the score of another metric, or its per-image values are not one per image.
    """
    if not isinstance(scores, Scores):
        raise TypeError(f"score() must return benchmark.protocols.Scores, not {type(scores).__name__}")
    if scores.score.metric != metric.card.name:
        raise ValueError(f"score() returned a score of '{scores.score.metric}', not of '{metric.card.name}'")
    for name, values in scores.per_image.items():
        if values.shape != (count,):
            raise ValueError(f"per-image values '{name}' have shape {list(values.shape)}; expected [{count}]")
    return scores


def _as_json(scores: Scores) -> dict[str, Any]:
    columns = {name: values.tolist() for name, values in scores.per_image.items()}
    return {"score": scores.score.model_dump(mode="json"), "per_image": columns}


def per_image_rows(
    images: ImageSet, values_of: Iterable[tuple[str, torch.Tensor]], seed: int
) -> Mapping[str, list[Any]]:
    """Per-image values by name as columns of a long table.

    A value that is not finite (PSNR of an identical image) is missing, with its status.

    Returns:
        ``image_id, identity_id, metric, value, status, seed``.
    """
    people = _people(images)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("image_id", "identity_id", "metric", "value", "status", "seed")
    }
    for name, values in values_of:
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
