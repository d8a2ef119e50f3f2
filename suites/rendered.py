"""The portraits suites: people who do not exist, rendered on the spot, with frozen referees that ship along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.hashing import sha256_file, sha256_json
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Classifier, load_classifier
from benchmark.protocols import Referees, Report, SuiteOptions, quiet
from benchmark.records import SplitFacts, SuiteFacts, Weights
from benchmark.registry import source_hash
from benchmark.store import Store
from suites.definition import Definition, People, describe, read_definition, weights_folder
from suites.referees import ATTACKERS, RECOGNISER

SPLITS = ("background", "enrol", "probe", "spare")


class RenderedSuite:
    """A suite of procedural portraits.

    Args:
        definition: what the TOML file says.
        options: store and device; the others do not apply.

    Raises:
        UsageError: an option is given that only suites with data of their own take.
    """

    def __init__(self, definition: Definition, options: SuiteOptions) -> None:
        if options.data or options.size or options.groups or options.referee:
            raise UsageError(
                f"{definition.name} renders its own pictures and takes no --data, --size, --group or --referee. "
                "Try: anonbench run folder --data DIR"
            )
        self.definition = definition
        self.options = options
        self.store = Store(options.store)
        self.weights = weights_folder(definition.name)
        self._images: dict[str, ImageSet] = {}

    @property
    def metrics(self) -> Sequence[str]:
        """Specs of the metrics."""
        return self.definition.metrics

    @property
    def entrants(self) -> Sequence[str]:
        """Specs of the default entrants."""
        return self.definition.entrants

    @cached_property
    def facts(self) -> SuiteFacts:
        """What a record says about the suite; nothing is rendered for it."""
        from suites.portraits import CLASSES

        part = self.definition
        return SuiteFacts(
            name=part.name,
            version=part.version,
            suite_hash=part.suite_hash,
            title=part.title,
            description=part.description,
            licence=part.licence,
            image_size=part.image_size,
            splits=tuple(self._split_facts(name) for name in SPLITS),
            attributes={name: CLASSES[name] for name in part.attributes},
            referees=tuple(
                Weights(name=name, sha256=sha, licence="Apache-2.0")
                for name, sha in {**part.weights, **part.files}.items()
            ),
            seed=part.seed,
            synthetic=True,
            image_rule=f"rendered at {part.image_size} px in float64, rounded once to 8 bit, kept as PNG",
        )

    def _split_facts(self, name: str) -> SplitFacts:
        people, first, last = self._range(name)
        return SplitFacts(
            name=name,
            n_images=people.identities * (last - first),
            n_identities=people.identities,
            manifest_sha256=self.definition.manifest.get(name, ""),
        )

    def _range(self, split: str) -> tuple[People, int, int]:
        """The people of a split, and the first and last + 1 of their photographs."""
        splits = self.definition.splits
        assert splits is not None
        if split == "enrol":
            return splits.evaluated, 0, splits.enrol
        if split == "probe":
            return splits.evaluated, splits.enrol, splits.evaluated.photographs
        people = splits.background if split == "background" else splits.spare
        return people, 0, people.photographs

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        """Renders a split, or reads it from the store.

        Raises:
            EnvironmentProblem: this machine renders other bytes than the pinned ones.
        """
        if split not in self._images:
            images = self._kept(split, report)
            pinned = self.definition.manifest.get(split)
            if pinned is not None and images.content != pinned:
                raise EnvironmentProblem(
                    f"{self.definition.name} {split} images differ from the pinned manifest ({images.content[:12]}, pinned "
                    f"{pinned[:12]}): scores would not compare. Delete {self.store.path('data')}, reinstall anonbench, try again"
                )
            self._images[split] = images
        return self._images[split]

    def _kept(self, split: str, report: Report) -> ImageSet:
        from safetensors.torch import load, save

        from suites import portraits

        part, (people, first, last) = self.definition, self._range(split)
        group = "evaluated" if split in ("enrol", "probe") else split
        renderer = source_hash(portraits.Portraits)
        key = sha256_json([renderer, part.seed, group, people.identities, first, last, part.image_size])

        def render() -> bytes:
            with report(f"render {part.name} {split}", people.identities * (last - first)) as progress:
                made = portraits.render_portraits(
                    seed=part.seed,
                    people=group,
                    identities=range(people.identities),
                    photographs=range(first, last),
                    size=part.image_size,
                    progress=progress,
                )
            labels = {f"label.{name}": values for name, values in made.labels.items()}
            return save({"images": made.images, "landmarks": made.landmarks, "identity": made.identity, **labels})

        tensors = load(self.store.remember(self.store.path("data", f"{key}.safetensors"), render))
        return self._image_set(tensors, group, people, range(first, last))

    def further(self, people: int, photographs: int = 2, report: Report = quiet) -> ImageSet:
        """Photographs of more people like those of the background split, none of whom is in any split.

        They are for whoever needs more than a split has; they are rendered anew with every call.

        Args:
            people: how many.
            photographs: of each.
            report: shows progress.
        """
        from suites import portraits

        splits, part = self.definition.splits, self.definition
        assert splits is not None
        known = splits.background.identities
        with report(f"render {people} more people", people * photographs) as progress:
            made = portraits.render_portraits(
                seed=part.seed,
                people="background",
                identities=range(known, known + people),
                photographs=range(photographs),
                size=part.image_size,
                progress=progress,
            )
        labels = {f"label.{name}": values for name, values in made.labels.items()}
        identity = made.identity - known
        tensors = {"images": made.images, "landmarks": made.landmarks, "identity": identity, **labels}
        return self._image_set(
            tensors, "further", People(identities=people, photographs=photographs), range(photographs)
        )

    def _image_set(self, tensors: dict[str, torch.Tensor], group: str, people: People, photographs: range) -> ImageSet:
        from suites.portraits import CLASSES

        names = tuple(f"{group}-{index:04d}" for index in range(people.identities))
        return ImageSet(
            images=tensors["images"],
            keys=tuple(f"{name}/{photograph:03d}" for name in names for photograph in photographs),
            identity=Labels(tensors["identity"], names),
            attributes={name: Labels(tensors[f"label.{name}"], CLASSES[name]) for name in self.definition.attributes},
            landmarks=tensors["landmarks"],
        )

    def referees(self, report: Report = quiet) -> Referees:
        """The frozen models.

        Raises:
            EnvironmentProblem: a file is missing or another one; the message names the command that mends it.
        """
        loaded = {name: self._referee(name, sha) for name, sha in self.definition.weights.items()}
        files = {name: self._file(name, sha) for name, sha in self.definition.files.items()}
        attackers = {name: loaded.pop(name) for name in ATTACKERS}
        return Referees(loaded.pop(RECOGNISER), loaded, files, attackers)

    def _file(self, name: str, sha256: str) -> Path:
        path = self.weights / name
        if not path.is_file() or sha256_file(path) != sha256:
            raise EnvironmentProblem(f"{path} is not the pinned file. Restore it with: git checkout suites/weights")
        return path

    def _referee(self, name: str, sha256: str) -> Classifier:
        path = self.weights / f"{name}.safetensors"
        remedy = (
            "Restore it with: git checkout suites/weights, or build new ones (a new suite version) with: make weights"
        )
        return load_classifier(name, path, self.options.device, sha256, remedy)


class RenderedFactory:
    """Opens a portraits suite by the name of its definition."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def title(self) -> str:
        """One line for listings."""
        return read_definition(self.name).title

    whereabouts = "rendered, nothing to fetch"

    def describe(self) -> Mapping[str, str]:
        """More for who asks about this suite alone."""
        return describe(read_definition(self.name))

    def __call__(self, options: SuiteOptions) -> RenderedSuite:
        """Opens the suite."""
        return RenderedSuite(read_definition(self.name), options)


smoke = RenderedFactory("portraits-smoke")
v1 = RenderedFactory("portraits-v1")
