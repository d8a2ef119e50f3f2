"""Suites of photographs: any folder, and the public data sets by name. Referees are trained on the data themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from benchmark.decode import RULE
from benchmark.errors import UsageError, did_you_mean
from benchmark.hashing import sha256_json
from benchmark.images import ImageSet
from benchmark.learning.networks import ARCHITECTURES
from benchmark.learning.training import MTF_RECIPE
from benchmark.protocols import Referees, Report, SuiteOptions, quiet
from benchmark.records import SplitFacts, SuiteFacts, Weights
from benchmark.specs import Spec, parse_spec
from benchmark.store import Store
from suites.definition import Definition, RefereePlan, describe, read_definition
from suites.folder.data import FolderData, read_folder
from suites.folder.datasets import DATA_HOME, DATASETS, load_dataset
from suites.folder.split import split_folder
from suites.referees import RECOGNISER, learnable, plans_of, trained_and_kept

ATTACKERS_OF_PEOPLE = (
    "static",
    "transfer",
    "embedding(network=mobilefacenet)",
    "adaptive",
    "reversal",
    "k-anonymity",
)
"""Metrics of folders that say who is on a photograph."""

PUBLISHED = "convnext-base"
"""The architecture whose recipe was published with MTF."""


class FolderSuite:
    """A suite over photographs.

    Args:
        name: ``folder``, or the name of a data set.
        definition: size, seed, default entrants and training plans.
        options: data folder, size, groups, referee architecture, store, device.
    """

    def __init__(self, name: str, definition: Definition, options: SuiteOptions) -> None:
        if name == "folder" and options.data is None:
            raise UsageError("say which folder: anonbench run folder --data DIR, with one sub-folder per person")
        self.name = name
        self.definition = definition
        self.options = options
        self.store = Store(options.store)
        self.plans = _plans(definition, options.referee or _default_referee(name))
        self.size = options.size or (224 if self.plans[RECOGNISER].architecture == PUBLISHED else definition.image_size)
        self._report = options.report
        self._referees: Referees | None = None

    @cached_property
    def _data(self) -> FolderData:
        groups = self.options.groups
        with self._report(f"read {self.title}", 1) as progress:
            if self.name == "folder":
                assert self.options.data is not None
                return read_folder(self.options.data, self.size, groups, progress)
            return load_dataset(self.name, self.options.data, self.size, groups, progress)

    @cached_property
    def _splits(self) -> Mapping[str, ImageSet]:
        return split_folder(self._data.images, self.definition.seed)

    @property
    def title(self) -> str:
        """Heading of the board."""
        if self.name in DATASETS:
            return DATASETS[self.name].title
        return f"Photographs in {Path(self.options.data or '').resolve().name}"

    @property
    def entrants(self) -> Sequence[str]:
        """Specs of the default entrants."""
        return self.definition.entrants

    @cached_property
    def metrics(self) -> Sequence[str]:
        """Specs of the metrics: attackers where people are known, F1 of every attribute, and the quality metrics."""
        images = self._data.images
        known = images.identity is not None
        attackers = list(ATTACKERS_OF_PEOPLE) if known else []
        if known and learnable(self._splits["background"]):
            attackers.insert(2, "embedding(network=background)")
        useful = [str(Spec(family, {"attribute": name})) for family in ("f1", "f1-train") for name in images.attributes]
        always = [spec for spec in self.definition.metrics if known or not _needs_recogniser(spec)]
        return [*attackers, *useful, *always]

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        """One of the splits; the folder is read once."""
        self._report = report
        return self._splits[split]

    def referees(self, report: Report = quiet) -> Referees:
        """Referees trained on this folder, or those kept from an earlier run on the same photographs."""
        if self._referees is None:
            self._report = report
            enrol, background = self._splits["enrol"], self._splits["background"]
            self._referees = trained_and_kept(self.store, self.plans, enrol, background, self.options.device, report)
        return self._referees

    @cached_property
    def facts(self) -> SuiteFacts:
        """What a record says about the suite; its hash covers the photographs and the trained referees."""
        referees = self.referees(self._report)
        recogniser = [referees.recogniser] if referees.recogniser else []
        models = [*recogniser, *referees.attributes.values(), *referees.attackers.values()]
        weights = tuple(Weights(name=model.name, sha256=model.sha256) for model in models)
        splits = tuple(_split_facts(name, images) for name, images in self._splits.items())
        identity = [self.name, self.definition.version, self.definition.seed, self.size, RULE, list(self.metrics)]
        contents = [split.manifest_sha256 for split in splits] + [model.sha256 for model in weights]
        licence = DATASETS[self.name].licence if self.name in DATASETS else self.definition.licence
        return SuiteFacts(
            name=self.name,
            version=self.definition.version,
            suite_hash=sha256_json([identity, self._data.manifest_sha256, contents]),
            title=self.title,
            description=" ".join([self.definition.description, *self._data.notes]),
            licence=licence,
            image_size=self.size,
            splits=splits,
            attributes={name: labels.classes for name, labels in self._data.images.attributes.items()},
            referees=weights,
            seed=self.definition.seed,
            image_rule=RULE,
        )


def _needs_recogniser(metric: str) -> bool:
    return parse_spec(metric).params.get("features") == "recogniser"


def _split_facts(name: str, images: ImageSet) -> SplitFacts:
    people = 0 if images.identity is None else len(images.identity.values.unique())
    return SplitFacts(name=name, n_images=len(images), n_identities=people, manifest_sha256=images.content)


def _default_referee(name: str) -> str:
    return PUBLISHED if name == "mtf" else "small-resnet"


def _plans(definition: Definition, architecture: str) -> dict[str, RefereePlan]:
    """Training plans of the recogniser and of the attribute classifiers.

    Raises:
        UsageError: there is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        hint = did_you_mean(architecture, ARCHITECTURES)
        raise UsageError(f"--referee {architecture}: no architecture is called that.{hint}")
    plans = {**plans_of(definition), "attribute": definition.attribute_classifier}
    if architecture == PUBLISHED:
        published = RefereePlan(architecture=PUBLISHED, recipe=asdict(MTF_RECIPE), pretrained="convnext-base-imagenet")
        plans |= {RECOGNISER: published, "attribute": published, "parrot": published.model_copy(update={"seed": 5})}
    return plans


class FolderFactory:
    """Opens a suite over photographs by name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def title(self) -> str:
        """One line for listings."""
        if self.name in DATASETS:
            return f"{DATASETS[self.name].title} ({DATASETS[self.name].licence})"
        return read_definition("folder").title

    @property
    def whereabouts(self) -> str:
        """Where the data come from, for listings."""
        if self.name not in DATASETS:
            return "--data DIR"
        return f"--data DIR or ${DATA_HOME}/{self.name}; from {DATASETS[self.name].source}"

    def describe(self) -> Mapping[str, str]:
        """More for who asks about this suite alone."""
        return {"data": self.whereabouts, **describe(read_definition("folder"))}

    def __call__(self, options: SuiteOptions) -> FolderSuite:
        """Opens the suite."""
        return FolderSuite(self.name, read_definition("folder"), options)


folder = FolderFactory("folder")
att, london, utkface, celeba, lfw, mtf = (
    FolderFactory(name) for name in ("att", "london", "utkface", "celeba", "lfw", "mtf")
)
