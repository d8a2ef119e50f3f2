"""How far the surrogate of a group is from its members, and whom it is taken for."""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass

import numpy as np
import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from benchmark.images import ImageSet
from benchmark.protocols import Missing, Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.specs import Spec
from benchmark.statistics import mean_interval
from metrics.answers import not_applicable, unavailable
from metrics.groups.arithmetic import above_bound, re_identified, rightly_named
from metrics.groups.members import Members, published
from metrics.groups.seeing import BACKGROUND, Network, Seer, Threshold, Unusable, lacking, seer, threshold_of, weights
from metrics.kanonymity import distinct

SOURCE = "Le, Khan, Tsaloli, Carlsson and Buchegger, AnonFACES, WPES at CCS 2020"
EYES = {
    BACKGROUND: "the suite's classifier of background people without its last layer (image and mirror image added)",
    "mobilefacenet": "MobileFaceNet on faces aligned by the landmarks of the originals, a surrogate by their mean",
}


@plain_dataclass(frozen=True, eq=False)
class Seen:
    """Members of groups as a network sees them.

    Attributes:
        members: who is in which group.
        eyes: the network.
        original: unit features of the originals, float64 ``[N, D]``.
        released: of the released images.
        surrogate: int64 ``[N]``, number of the different released image.
        delivered: bool ``[N]``.
    """

    members: Members
    eyes: Seer
    original: torch.Tensor
    released: torch.Tensor
    surrogate: torch.Tensor
    delivered: torch.Tensor

    @property
    def distance(self) -> torch.Tensor:
        """From each member's originals to the surrogate, mean over the images; float64 ``[M]``, NaN without one."""
        return self.members.mean((self.original - self.released).norm(dim=1), self.delivered)

    @property
    def nearest(self) -> torch.Tensor:
        """The smallest of these distances of each member; +inf without a surrogate."""
        each = (self.original - self.released).norm(dim=1).masked_fill(~self.delivered, torch.inf)
        start = torch.full((len(self.members),), torch.inf, dtype=torch.float64)
        return start.scatter_reduce(0, self.members.of_image, each, "amin")


def look(metric: str, network: Network, original: ImageSet, released: ImageSet, referees: Referees) -> Seen | Scores:
    """What a measure of surrogates is made of, or the score that says why there is none."""
    members = published(metric, original, referees)
    if isinstance(members, Scores):
        return members
    if not bool(released.delivered.any()):
        return not_applicable(metric, "released no image", len(original))
    eyes = seer(network, referees)
    if isinstance(eyes, Missing):
        return unavailable(metric, eyes, len(original))
    if eyes is None:
        return not_applicable(metric, "there are no background people on whom an embedding was learned", len(original))
    try:
        places = eyes.places(original)
    except Unusable as error:
        lack = Missing(f"the images have no landmarks, and a face detector is needed: {error.reason}", error.remedy)
        return unavailable(metric, lack, len(original))
    surrogate = distinct(released.images)
    points = _of_surrogates(eyes, released.images, surrogate, places)[surrogate]
    return Seen(members, eyes, eyes.points(original.images, places), points, surrogate, released.delivered)


def _of_surrogates(
    eyes: Seer, images: torch.Tensor, surrogate: torch.Tensor, places: torch.Tensor | None
) -> torch.Tensor:
    """Unit features of each different image, float64 ``[S, D]``; its landmarks are the mean of those it replaces."""
    count = surrogate.bincount()
    first = torch.full_like(count, len(surrogate)).scatter_reduce(0, surrogate, torch.arange(len(surrogate)), "amin")
    if places is not None:
        sums = torch.zeros(len(count), *places.shape[1:], dtype=torch.float64)
        places = sums.index_add(0, surrogate, places.double()) / count[:, None, None]
    return eyes.points(images[first], places)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class InformationLoss:
    """How far, on average, the embedding of a person moves to that of the surrogate.

    Attributes:
        network: whose embedding: ``background`` (the suite's network of the embedding attacker) or ``mobilefacenet``.
    """

    network: Network = "background"

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return MetricCard(
            name=str(Spec("information-loss", {"network": self.network})),
            version=1,
            title=_title("Information loss", self.network),
            group="utility",
            unit="embedding distance",
            higher_is_better=False,
            range=(0.0, 2.0),
            definition=(
                "Euclidean distance between the unit embeddings of an original and of the surrogate of its group: mean "
                "over the images of a person, then over all persons with a surrogate, in every group they are in. "
                f"Seen by {EYES[self.network]}."
            ),
            calibration=(
                "Releasing originals gives 0. The stored distances of AnonFACES at k = 5 (979 people, dlib) give their "
                "published .689071 by the same arithmetic; with other embeddings the numbers are on another scale."
            ),
            source=SOURCE,
            weights=weights(self.network),
            referees=("embedding",) if self.network == BACKGROUND else (),
            about_claim=True,
        )

    def missing(self) -> Missing | None:
        """Whether the network is on this machine."""
        return lacking(self.network)

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean distance over persons, with its interval over people."""
        name = self.card.name
        seen = look(name, self.network, original, released, referees)
        return seen if isinstance(seen, Scores) else Scores(_loss(name, seen))


def _loss(name: str, seen: Seen) -> Score:
    members, distance = seen.members, seen.distance
    there = ~distance.isnan()
    return Score(
        metric=name,
        value=float(distance[there].mean()),
        n=int(seen.delivered.sum()),
        n_clusters=len(members.person[there].unique()),
        interval=mean_interval(distance[there], members.clusters[there], "groups"),
        details={
            **members.claim,
            "people without surrogate": float((~there).sum()),
            "nearest": float(distance[there].min()),
            "farthest": float(distance[there].max()),
        },
    )


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ReIdentification:
    """How many persons a face matcher takes their surrogate for, which should be one in k at most.

    Attributes:
        network: whose embedding, as in ``information-loss``.
    """

    network: Network = "background"

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return MetricCard(
            name=str(Spec("re-identification", {"network": self.network})),
            version=1,
            title=_title("Re-identification", self.network),
            group="privacy",
            unit="share",
            higher_is_better=False,
            range=(0.0, 1.0),
            definition=(
                "Share of persons with a surrogate whose originals are, on average, at most the matcher's threshold away "
                "from it (Euclidean, unit embeddings). The threshold is where all pairs of photographs of other people "
                "(the spare ones; else clear photographs of these, else of background people, which is then said beside the "
                "value) give equal error; of more than 2000 photographs, those of the first people with several, then of "
                "others. Allowed is 1/k, over all and in every group: a group passes if at most one member is matched. Not "
                "delivered images count neither as matched nor as safe. Rank-1: share of persons of whom an original is, of all "
                "originals, the nearest to a surrogate of their group; at most one per group where a group has one "
                f"surrogate. Seen by {EYES[self.network]}."
            ),
            calibration=(
                "On originals the share is 1 less the matcher's misses, with random groups near its false matches. The "
                "stored distances of AnonFACES at k = 5 with dlib's threshold .6 give their published 113 of 979. A "
                "shared surrogate does not imply a share of at most 1/k: one surrogate may match several members."
            ),
            source=SOURCE,
            weights=weights(self.network),
            referees=("embedding",) if self.network == BACKGROUND else (),
            about_claim=True,
        )

    def missing(self) -> Missing | None:
        """Whether the network is on this machine."""
        return lacking(self.network)

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Share of matched persons, with the share allowed beside it."""
        name = self.card.name
        seen = look(name, self.network, original, released, referees)
        if isinstance(seen, Scores):
            return seen
        threshold = threshold_of(seen.eyes, referees)
        if threshold is None:
            return not_applicable(name, "no split has photographs to set the matcher's threshold by", len(original))
        return Scores(_matched(name, seen, threshold, threshold.reservation(self.network)))


def _matched(name: str, seen: Seen, threshold: Threshold, reservation: str) -> Score:
    members = seen.members
    distance = seen.distance
    there = ~distance.isnan()
    matched = torch.from_numpy(re_identified(distance[there].numpy(), threshold.distance))
    group = members.group[there].numpy()
    above = int(above_bound(matched.numpy(), group).sum())
    return Score(
        metric=name,
        value=float(matched.double().mean()),
        n=int(seen.delivered.sum()),
        n_clusters=len(members.person[there].unique()),
        interval=mean_interval(matched.double(), members.clusters[there], "groups"),
        anchors={"allowed": 1 / members.k},
        details={
            **members.facts,
            "people without surrogate": float((~there).sum()),
            "people matched": float(matched.sum()),
            "people matched by any photograph": float((seen.nearest <= threshold.distance).sum()),
            "groups above 1/size": float(above),
            **_rank1(seen),
            "threshold": threshold.distance,
            "equal error rate at threshold": threshold.error,
            f"photographs of threshold ({threshold.split})": float(threshold.photographs),
        },
        refused={"threshold of spare people": reservation} if reservation else {},
    )


def _rank1(seen: Seen) -> dict[str, float]:
    """Whom the nearest of all originals names, surrogate by surrogate.

    Everybody counts once, so several surrogates of a group name at most so many people, and no more than it has.
    """
    members = seen.members
    of_image = members.group[members.of_image]
    _, rows = np.unique(torch.stack([of_image, seen.surrogate]).numpy(), axis=1, return_index=True)
    shown = torch.from_numpy(rows)[seen.delivered[rows]]
    named = rightly_named(
        seen.released[shown].numpy(), of_image[shown].numpy(), seen.original.numpy(), of_image.numpy()
    )
    allowed = torch.minimum(of_image[shown].bincount(minlength=members.groups), members.group.bincount())
    return {
        "rank-1": len(members.of_image[named].unique()) / len(members),
        "rank-1 allowed, surrogates over people": float(allowed.sum()) / len(members),
    }


def _title(what: str, network: Network) -> str:
    return what if network == BACKGROUND else f"{what}, {network}"
