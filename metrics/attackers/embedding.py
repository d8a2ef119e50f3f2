"""The embedding attacker: released images against a gallery of clear photographs, by what a face recogniser sees."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch.nn.functional import normalize

from benchmark.faces import YUNET, canonical, detections, usable
from benchmark.features import FeatureNetwork, features_of
from benchmark.images import ImageSet
from benchmark.learning.classifier import Classifier
from benchmark.learning.networks import embed
from benchmark.protocols import Missing, Referees, Scores
from benchmark.records import MetricCard, ParamValue
from benchmark.specs import Spec
from benchmark.weights import Unusable, missing
from metrics.answers import not_applicable, unavailable
from metrics.attackers.alignment import aligned
from metrics.attackers.closed_set import person_similarity, standing
from metrics.attackers.embedders import FaceEmbedder, embedder, found_weights, missing_for, weights_of
from metrics.attackers.matching import Matches, checked, same_photographs
from metrics.attackers.verdict import nobody_known, verdict

BACKGROUND = "background"
AS_ORIGINAL, AGAIN = "aligned as original", "aligned again"
"""The two ways to align a released face, as they stand in the details."""
NetworkName = Literal[
    "background",
    "mobilefacenet",
    "ArcFace",
    "Facenet",
    "Facenet512",
    "SFace",
    "VGG-Face",
    "GhostFaceNet",
    "OpenFace",
    "DeepID",
    "DeepFace",
]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Embedding:
    """Who is most alike in the eyes of a face recogniser that knows none of them.

    Attributes:
        network: ``background`` (the suite's classifier of other people, without its last layer) or a face recogniser.
        same_photo: whether the gallery holds the originals of the probes as well. The attacker then mostly answers
            "is it the same picture?", so it is no part of the risk.
    """

    network: NetworkName = "background"
    same_photo: bool = False

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        own = self.network == BACKGROUND
        params: dict[str, ParamValue] = {"network": self.network}
        if self.same_photo:
            params["same_photo"] = True
        return MetricCard(
            name=str(Spec("embedding", params)),
            version=1,
            title=f"Risk, {self.network} embedding{', own photograph in the gallery' if self.same_photo else ''}",
            group="privacy",
            unit="share",
            higher_is_better=False,
            range=(0.0, 1.0),
            definition=_definition(self.network, self.same_photo),
            source="rank-k retrieval of FaceAnonEval; attacker embeddings of SEBA",
            weights={} if own else {**weights_of(self.network), **found_weights(YUNET)},
            referees=("embedding",) if own else (),
            calibration=(
                "Top-1 on originals stands beside every value; an attacker that is weak there is flagged. A photograph that "
                "is its probe's original, pixel by pixel, is never compared with it."
                if not self.same_photo
                else "Top-1 on originals stands beside every value; it is 1 by construction."
            ),
            rung="" if self.same_photo else "embedding",
        )

    def missing(self) -> Missing | None:
        """Whether the recogniser is on this machine; YuNet is asked for when there are images without landmarks."""
        return None if self.network == BACKGROUND else missing_for(self.network)

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Closed-set top-1 of the better of the attacker's two alignments, with both in the details."""
        name, count = self.card.name, len(original)
        if original.identity is None:
            return nobody_known(name, count)
        gallery = None if referees.photographs is None else referees.photographs("enrol")
        if gallery is None or gallery.identity is None or not len(gallery):
            return not_applicable(name, "there are no clear photographs of the evaluated people to compare with", count)
        if gallery.identity.classes != original.identity.classes:
            return not_applicable(name, "the clear photographs show other people than the images", count)
        gallery = _with_originals(gallery, original) if self.same_photo else gallery
        attack = _attack(self.network, original, gallery, referees)
        if isinstance(attack, Missing):
            return unavailable(name, attack, count)
        if attack is None:
            return not_applicable(name, "there are no background people on whom an embedding could be learned", count)
        return _judged(self.card, original, released, gallery, attack, self.same_photo)


@dataclasses.dataclass(frozen=True, eq=False)
class _Attack:
    """A recogniser with what it needs to look at a set of images.

    Attributes:
        network: describes whole images, or aligned faces.
        face: how faces are aligned; None where whole images are described.
        places: landmarks of the originals, float64 ``[N, 5, 2]``; of no use to whole images.
        again: whether YuNet is there to find the faces on released images.
        referees: where features and detections are kept.
        gallery: unit features of the gallery, ``[G, D]``.
    """

    network: FeatureNetwork
    face: FaceEmbedder | None
    places: torch.Tensor | None
    again: bool
    referees: Referees
    gallery: torch.Tensor

    def views(self, images: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
        """Unit features ``[N, D]`` and who was undetected, by the name of the alignment."""
        if self.face is None or self.places is None:
            return {"": (_unit(self.network, images, self.referees), None)}
        seen: dict[str, tuple[torch.Tensor, torch.Tensor | None]]
        seen = {AS_ORIGINAL: (_of_faces(self.face, self.network, images, self.places, self.referees), None)}
        if self.again:
            points = detections(images, self.referees.store)
            found = usable(points)
            points = torch.where(found[:, None, None], points, self.places)
            seen[AGAIN] = (_of_faces(self.face, self.network, images, points, self.referees), ~found)
        return seen


def _attack(name: str, original: ImageSet, gallery: ImageSet, referees: Referees) -> _Attack | Missing | None:
    """The recogniser ready to compare; what is missing; or None where nobody trained one."""
    if name == BACKGROUND:
        classifier = referees.attackers.get("embedding")
        if classifier is None:
            return None
        network = background_features(classifier)
        return _Attack(network, None, None, False, referees, _unit(network, gallery.images, referees))
    face = embedder(name, referees.device)
    if isinstance(face, Missing):
        return face
    try:
        places, gallery_places = (landmarks_of(part, referees) for part in (original, gallery))
    except Unusable as error:
        reason = f"the images have no landmarks, and a face detector is needed to align them: {error.reason}"
        return Missing(reason, error.remedy)
    network = FeatureNetwork(face.name, face.identity, referees.device, face.run)
    features = _of_faces(face, network, gallery.images, gallery_places, referees)
    return _Attack(network, face, places, missing([YUNET]) is None, referees, features)


def background_features(classifier: Classifier) -> FeatureNetwork:
    """The features before the last layer, of an image and of its mirror image, added."""

    def run(images: torch.Tensor) -> torch.Tensor:
        pixels = images.float() / 255
        return embed(classifier.network, pixels) + embed(classifier.network, pixels.flip(3))

    device = next(classifier.network.parameters()).device
    return FeatureNetwork("embedding", f"{classifier.sha256} embed mirrored sum", str(device), run)


def landmarks_of(images: ImageSet, referees: Referees) -> torch.Tensor:
    """Where the faces of originals are: the suite's landmarks, else YuNet's, else the canonical positions.

    Returns:
        float64 ``[N, 5, 2]`` (x, y) in px.

    Raises:
        Unusable: the suite has no landmarks and YuNet is not there.
    """
    points = detections(images.images, referees.store) if images.landmarks is None else images.landmarks.double()
    return torch.where(usable(points)[:, None, None], points, canonical(*images.size))


def _of_faces(
    face: FaceEmbedder, network: FeatureNetwork, images: torch.Tensor, points: torch.Tensor, referees: Referees
) -> torch.Tensor:
    return _unit(network, aligned(images, points, face.template, face.height, face.width), referees)


def _unit(network: FeatureNetwork, images: torch.Tensor, referees: Referees) -> torch.Tensor:
    return normalize(features_of(network, images, referees))


def _with_originals(gallery: ImageSet, original: ImageSet) -> ImageSet:
    """The gallery and the originals of the probes."""
    assert gallery.identity is not None
    assert original.identity is not None
    both = torch.cat([gallery.identity.values, original.identity.values])
    points = None
    if gallery.landmarks is not None and original.landmarks is not None:
        points = torch.cat([gallery.landmarks, original.landmarks])
    return ImageSet(
        torch.cat([gallery.images, original.images]),
        (*(f"enrol {key}" for key in gallery.keys), *(f"probe {key}" for key in original.keys)),
        type(gallery.identity)(both, gallery.identity.classes),
        landmarks=points,
    )


def _judged(
    card: MetricCard, original: ImageSet, released: ImageSet, gallery: ImageSet, attack: _Attack, same_photo: bool
) -> Scores:
    assert gallery.identity is not None
    owner = gallery.identity.values
    banned = None if same_photo else same_photographs(original.images, gallery.images)

    def matches(images: torch.Tensor) -> dict[str, Matches]:
        pairs = {name: (features @ attack.gallery.T, lost) for name, (features, lost) in attack.views(images).items()}
        return {name: Matches(_without(alike, banned), owner, lost) for name, (alike, lost) in pairs.items()}

    found, clean = matches(released.images), matches(original.images)
    tops = {name: top1(part, original, released) for name, part in found.items()}
    details = {name: value for name, value in tops.items() if name}
    return verdict(card, original, released, _best(found, tops), _best_clean(clean, original), details)


def _without(similarity: torch.Tensor, banned: torch.Tensor | None) -> torch.Tensor:
    return similarity if banned is None else similarity.masked_fill(banned, -torch.inf)


def top1(matches: Matches, original: ImageSet, released: ImageSet) -> float:
    """Closed-set top-1 as ``verdict`` computes it: undetected guess, missing counts as identified."""
    assert original.identity is not None
    truth, people = original.identity.values, len(original.identity.classes)
    credit = standing(person_similarity(checked(matches, truth), people), truth).credit(1)
    return float(credit.masked_fill(~released.delivered, 1.0).mean())


def _best(matches: dict[str, Matches], tops: dict[str, float]) -> Matches:
    return matches[max(tops, key=tops.__getitem__)]


def _best_clean(clean: dict[str, Matches], original: ImageSet) -> Matches:
    return _best(clean, {name: top1(part, original, original) for name, part in clean.items()})


def _definition(network: str, same_photo: bool) -> str:
    if network == BACKGROUND:
        seen = (
            "the features before the last layer of the suite's classifier of background people, of the whole image and "
            "its mirror image, added"
        )
    else:
        seen = (
            f"{network} on faces aligned by five landmarks (the suite's, else YuNet's): with those of the original and "
            "again with those YuNet finds on the released image, whichever finds more people; without YuNet only the former"
        )
    gallery = "photographs and the probes' own originals" if same_photo else "photographs"
    return (
        f"Share of released probe images whose person has the most similar (cosine) of all clear enrol {gallery}, seen "
        f"by {seen}. An image without a found face earns chance, one never delivered counts as identified."
    )
