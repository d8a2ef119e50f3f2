"""In whose eyes people are near each other: the embeddings of the embedding attacker, and when they say "the same"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import normalize

from benchmark.faces import YUNET
from benchmark.features import FeatureNetwork, features_of
from benchmark.images import ImageSet
from benchmark.protocols import Missing, Referees
from benchmark.statistics import equal_error_threshold, rows_of_some
from benchmark.weights import Unusable
from metrics.attackers.alignment import aligned
from metrics.attackers.embedders import FaceEmbedder, embedder, found_weights, missing_for, weights_of
from metrics.attackers.embedding import background_features, landmarks_of
from metrics.groups.arithmetic import Floats

BACKGROUND = "background"
Network = Literal["background", "mobilefacenet"]
MOST_PHOTOGRAPHS = 2000
"""Photographs whose pairs give the threshold: two million pairs at most."""
SEEN_BY = "e42286f8709dde8e8956ccd1575cfed168a07d65dfdf86ab4b23da9b1af3f365"
"""Hash of the sources outside this package by which people are seen, as a test computes it. Scores are kept under the
source of this package alone: written down here, a change of those ends what is kept."""
ORDER = ("spare", "enrol", "background")
"""Splits that may give the threshold. The suite's own network has learned the background people and holds pairs of
them for more alike than pairs of people it has never seen, so they come last."""


@dataclass(frozen=True, eq=False)
class Seer:
    """A frozen network that sees photographs as unit vectors.

    Attributes:
        network: describes whole images, or aligned faces.
        face: how faces are aligned; None where whole images are described.
        referees: where features and detections are kept.
    """

    network: FeatureNetwork
    face: FaceEmbedder | None
    referees: Referees

    def points(self, images: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
        """Unit features, float64 ``[N, D]``.

        Args:
            images: uint8 ``[N, 3, H, W]``.
            places: landmarks ``[N, 5, 2]`` in px; of no use to whole images.
        """
        if self.face is not None and places is not None:
            images = aligned(images, places, self.face.template, self.face.height, self.face.width)
        return normalize(features_of(self.network, images, self.referees).double())

    def places(self, originals: ImageSet) -> torch.Tensor | None:
        """Where the faces are on originals, and on what replaces them; None where whole images are seen.

        Raises:
            Unusable: the suite has no landmarks and no face detector is there.
        """
        return None if self.face is None else landmarks_of(originals, self.referees)


def seer(name: Network, referees: Referees) -> Seer | Missing | None:
    """The network ready to look; what is missing; or None where nobody trained one."""
    if name == BACKGROUND:
        classifier = referees.attackers.get("embedding")
        return None if classifier is None else Seer(background_features(classifier), None, referees)
    face = embedder(name, referees.device)
    if isinstance(face, Missing):
        return face
    return Seer(FeatureNetwork(face.name, face.identity, referees.device, face.run), face, referees)


def lacking(name: Network) -> Missing | None:
    """What a network lacks on this machine."""
    return None if name == BACKGROUND else missing_for(name)


def weights(name: Network) -> dict[str, str]:
    """sha256 by name of the weights that are not the suite's; YuNet finds the faces where nobody marked them."""
    return {} if name == BACKGROUND else {**weights_of(name), **found_weights(YUNET)}


@dataclass(frozen=True)
class Threshold:
    """When two photographs are held for one person.

    Attributes:
        distance: at most so far apart.
        error: the equal error rate there.
        split: whose photographs gave it.
        photographs: how many.
    """

    distance: float
    error: float
    split: str
    photographs: int

    def reservation(self, name: Network) -> str:
        """What is to be said of a threshold that no spare people gave; empty if they did."""
        learned = ", whom this network has learned" if name == BACKGROUND else ""
        whose = {"enrol": "the evaluated people's own clear photographs", "background": f"background people{learned}"}
        if self.split not in whose:
            return ""
        return f"there are no pairs of photographs of spare people; it was set by {whose[self.split]}"


def threshold_of(eyes: Seer, referees: Referees) -> Threshold | None:
    """The distance of equal error over all pairs of photographs of the first split of ``ORDER`` that has both kinds.

    None where no split has pairs of one person and of two.

    Raises:
        Unusable: as ``Seer.places``.
    """
    for split in ORDER if referees.photographs is not None else ():
        assert referees.photographs is not None
        found = _pairs(eyes, referees.photographs(split))
        if found is not None:
            same, different, count = found
            return Threshold(*equal_error_threshold(same, different), split, count)
    return None


def _pairs(eyes: Seer, photographs: ImageSet) -> tuple[Floats, Floats, int] | None:
    if photographs.identity is None or len(photographs) < 2:
        return None
    photographs = photographs.select(rows_of_some(photographs.identity.values, MOST_PHOTOGRAPHS))
    assert photographs.identity is not None
    who = photographs.identity.values.numpy()
    left, right = np.triu_indices(len(who), 1)
    same = who[left] == who[right]
    if same.all() or not same.any():
        return None
    points = eyes.points(photographs.images, eyes.places(photographs))
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").numpy()[left, right]
    return distance[same], distance[~same], len(who)


__all__ = ["BACKGROUND", "Network", "Seer", "Threshold", "Unusable", "lacking", "seer", "threshold_of", "weights"]
