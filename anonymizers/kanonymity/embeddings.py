"""What persons are compared by: eigenfaces, the suite's recogniser, or a face recogniser found through a plug-in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from anonymizers.kanonymity.surrogates.base import in_content_order
from anonymizers.kanonymity.surrogates.components import learn_components
from anonymizers.kanonymity.surrogates.eigenfaces import person_means
from benchmark.errors import EntrantError, did_you_mean
from benchmark.features import features_of, recogniser_features
from benchmark.hashing import sha256_json
from benchmark.images import ImageSet
from benchmark.protocols import Controller, Referees
from benchmark.registry import load, names, source_hash

PCA, RECOGNISER = "pca", "recogniser"
VARIANCE = 0.95
"""Share of the variance of persons' mean images that eigenfaces keep."""
PART = 256
"""Images that are in memory in float64 at a time."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """How images become points.

    Attributes:
        name: as in the spec.
        describe: images to float64 ``[N, D]``, each image by itself.
        threshold: Euclidean distance up to which two images count as one person, where that is known.
    """

    name: str
    describe: Callable[[ImageSet], torch.Tensor]
    threshold: float | None = None


def needs(name: str) -> frozenset[str]:
    """What an embedding uses of ``benchmark.protocols.USES``.

    Raises:
        ValueError: there is no such embedding.
    """
    if name == PCA:
        return frozenset()
    if name == RECOGNISER:
        return frozenset({"recogniser"})
    if name not in names("embedders"):
        known = [PCA, RECOGNISER, *names("embedders")]
        raise ValueError(f"no embedding is called '{name}'.{did_you_mean(name, known)} There are: {', '.join(known)}")
    return frozenset({"landmarks"})


def found(name: str) -> dict[str, str]:
    """What an embedding of a plug-in depends on: its source, its threshold and its weights."""
    if name in (PCA, RECOGNISER):
        return {}
    plugin = load("embedders", name)
    source = source_hash(type(plugin))
    return {"embedder": source, "threshold": sha256_json(plugin.threshold), **plugin.found()}


def embedding(name: str, images: ImageSet, controller: Controller) -> Embedding:
    """The embedding of that name, for the people on these images.

    Raises:
        EntrantError: it needs a recogniser, and none was handed out.
        EnvironmentProblem: its weights are not on this machine; the message says how to get them.
    """
    if name == PCA:
        return Embedding(name, _eigenfaces(images))
    if name == RECOGNISER:
        return Embedding(name, _recogniser(controller))
    plugin = load("embedders", name)
    return Embedding(name, lambda given: plugin(given, controller.device).double(), plugin.threshold)


def _eigenfaces(images: ImageSet) -> Callable[[ImageSet], torch.Tensor]:
    axes = learn_components(person_means(in_content_order(images)), VARIANCE)

    def describe(given: ImageSet) -> torch.Tensor:
        scores = torch.cat([axes.scores(part.flatten(1).double()) for part in given.images.split(PART)])
        return scores if scores.shape[1] else scores.new_zeros(len(scores), 1)  # all persons look the same

    return describe


def _recogniser(controller: Controller) -> Callable[[ImageSet], torch.Tensor]:
    if controller.recogniser is None:
        raise EntrantError("embedding=recogniser needs a recogniser of these people, and none was handed out: use pca")
    network = recogniser_features(controller.recogniser)

    def describe(images: ImageSet) -> torch.Tensor:
        try:
            return features_of(network, images.images, Referees()).double()
        except ValueError as error:
            raise EntrantError(f"embedding=recogniser: {error}. Try embedding=pca") from error

    return describe
