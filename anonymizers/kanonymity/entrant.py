"""The entrant: who shares a face with whom, and which face that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from anonymizers.conventional.ksame import GroupSize, KSamePixel
from anonymizers.kanonymity import embeddings
from anonymizers.kanonymity.partition import LOCAL_SEARCH, find_method, partition, partition_inside
from anonymizers.kanonymity.persons import Persons, attribute_of, described, persons_of, twins, varies
from anonymizers.kanonymity.surrogates.appearance import Appearance
from anonymizers.kanonymity.surrogates.base import Request, Surrogate
from anonymizers.kanonymity.surrogates.eigenfaces import Basis, Eigenfaces
from anonymizers.kanonymity.surrogates.pixels import Pixels
from anonymizers.kanonymity.surrogates.style import Layers, Mix, Style
from anonymizers.kanonymity.surrogates.upconv import UpConv
from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller
from benchmark.records import Weights
from benchmark.registry import source_hash

Maker = Literal["style", "pixels", "eigenfaces", "appearance", "upconv"]
SOURCE = "Le, Khan, Tsaloli, Carlsson and Buchegger, AnonFACES, WPES 2020"


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Kanon:
    """k-anonymous faces: persons are divided into groups of at least k, and every group shares one surrogate face."""

    shardable: ClassVar[bool] = False
    measures: ClassVar[tuple[str, ...]] = (
        "information-loss",
        "re-identification",
        "homogeneity",
        "silhouette",
        "sse-sst",
    )

    k: GroupSize = 5
    partition: Annotated[str, Field(description="how persons are divided: best, hp, mdav, knn, and so on")] = "best"
    surrogate: Annotated[Maker, Field(description="which face a group shares")] = "style"
    embedding: Annotated[str, Field(description="what persons are compared by: pca, recogniser, or a plug-in")] = "pca"
    select: Annotated[str, Field(description="attributes that a group does not mix, as in gender+age")] = ""
    generator: Annotated[str, Field(description="of style: portraits, or a file")] = "portraits"
    mix: Annotated[Mix, Field(description="of style: how latents are mixed")] = "naive"
    layers: Annotated[Layers, Field(description="of style: layers that are mixed; the others show the mean face")] = (
        "all"
    )
    psi: Annotated[float, Field(gt=0, le=2, description="of style: truncation; 1 is none")] = 1.0
    steps: Annotated[int, Field(ge=0, le=10_000, description="of style: of projection after the encoder")] = 0
    basis: Annotated[
        Basis, Field(description="of eigenfaces, appearance: whom they learn from, other people or the set")
    ] = "train"
    compat: Annotated[bool, Field(description="the published program, bugs included")] = False

    @field_validator("partition")
    @classmethod
    def _known_partition(cls, value: str) -> str:
        try:
            find_method(value)
        except EntrantError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _usable(self) -> Kanon:
        embeddings.needs(self.embedding)
        if self.partition.removesuffix(LOCAL_SEARCH) == "matching" and self.k != 2:
            raise ValueError(f"partition={self.partition} makes pairs, and k={self.k}: use k=2 or partition=best")
        return self

    @property
    def k_anonymity(self) -> int:
        """It claims that at least ``k`` people share every released image."""
        return self.k

    @property
    def source(self) -> str:
        """The paper of the surrogate."""
        return self._maker.source

    @property
    def uses(self) -> frozenset[str]:
        """Who is on the images, and what embedding, surrogate and ``select`` need."""
        chosen = frozenset({"attributes"}) if self.select else frozenset()
        return frozenset({"identity"}) | embeddings.needs(self.embedding) | self._maker.uses | chosen

    @property
    def weights(self) -> tuple[Weights, ...]:
        """The generator, where one draws."""
        return self._maker.weights if isinstance(self._maker, Style) else ()

    @property
    def training_data(self) -> tuple[str, ...]:
        """What the generator was trained on."""
        return self._maker.training_data if isinstance(self._maker, Style) else ()

    def found(self) -> dict[str, str]:
        """The source of the conventional k-Same, the embedding's weights and the generator, by hash."""
        drawn = {part.name: part.sha256 for part in self.weights}
        return {"conventional": source_hash(KSamePixel), **embeddings.found(self.embedding), **drawn}

    def fit(self, train: ImageSet | None, controller: Controller) -> None:
        """Lets the surrogates learn what they learn of other people."""
        learn = getattr(self._maker, "fit", None)
        if learn is not None:
            learn(train, controller)

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Releases one surrogate per group; note ``group`` is int64 ``[N]``.

        Raises:
            EntrantError: there are fewer than ``k`` persons, or something that the parameters ask for is not there.
        """
        persons = persons_of(images)
        space = embeddings.embedding(self.embedding, images, controller)
        points = persons.means(space.describe(images))
        groups = self._groups(points, persons, images, controller.seed)
        request = Request(images, persons.of_image, groups, controller)
        surrogates = self._maker.render(request)
        group = groups[persons.of_image]
        if self.surrogate != "style":  # which tells of every photograph it projects
            controller.progress(len(images))
        notes = self._notes(points, persons, groups) | self._selected(persons, images) | request.notes
        return Released(surrogates[group], {"group": group, **notes})

    def _groups(self, points: torch.Tensor, persons: Persons, images: ImageSet, seed: int) -> torch.Tensor:
        """Group of each person, int64 ``[P]``."""
        values = points.numpy()
        if not self.select:
            return torch.from_numpy(partition(values, self.k, self.partition, seed=seed, compat=self.compat))
        attribute, classes = attribute_of(persons, images, tuple(self.select.split("+")))
        named = [classes[value] for value in attribute.tolist()]
        found = partition_inside(values, self.k, named, self.partition, seed=seed, compat=self.compat)
        return torch.from_numpy(found)

    @property
    def _maker(self) -> Surrogate:
        if self.surrogate == "style":
            return Style(
                self.generator, self.mix, self.layers, self.psi, self.steps, self.embedding, self.k, self.compat
            )
        simple: Mapping[str, Surrogate] = {
            "pixels": Pixels(),
            "eigenfaces": Eigenfaces(basis=self.basis),
            "appearance": Appearance(basis=self.basis),
            "upconv": UpConv(compat=self.compat),
        }
        return simple[self.surrogate]

    def _notes(self, points: torch.Tensor, persons: Persons, groups: torch.Tensor) -> dict[str, str]:
        sizes = groups.bincount()
        notes = {
            "grouped": described(persons),
            "groups": f"{len(sizes)} of {int(sizes.min())} to {int(sizes.max())} persons",
            "divided": f"by {self.partition}, on {self.embedding}",
        }
        alike = twins(points)
        if alike:
            notes["same embedding"] = (
                f"{alike} persons have exactly the embedding of another, who may be the same person"
            )
        return notes

    def _selected(self, persons: Persons, images: ImageSet) -> dict[str, str]:
        """By what, and of which attributes a person's most frequent value had to do."""
        names = self.select.split("+") if self.select else []
        varying = [f"{name} of {count}" for name in names if (count := varies(persons, images.attributes[name]))]
        told = f"no group mixes {', '.join(names)}"
        if varying:
            told += f"; by the most frequent value where photographs of a person differ: {', '.join(varying)} persons"
        return {"selected": told} if names else {}
