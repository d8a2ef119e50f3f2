"""k-anonymity: whether an entrant that claims it keeps it, read from the released bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from benchmark.images import ImageSet
from benchmark.protocols import KAnonymityClaim, Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.statistics import clusters_of
from metrics.answers import not_applicable

BROKEN = "claim broken"


@dataclass(frozen=True, eq=False)
class Sharing:
    """Who shares which released image.

    Attributes:
        surrogate: int64 ``[N]``, number of the distinct released image.
        person: int64 ``[N]``, number of the person.
        people: int64 ``[S]``, people per surrogate.
        surrogates: int64 ``[P]``, surrogates per person.
        likeliest: int64 ``[S]``, images of the person who has most of a surrogate.
    """

    surrogate: torch.Tensor
    person: torch.Tensor
    people: torch.Tensor
    surrogates: torch.Tensor
    likeliest: torch.Tensor

    @property
    def of_image(self) -> torch.Tensor:
        """How many people share each image, int64 ``[N]``."""
        return self.people[self.surrogate]


def distinct(images: torch.Tensor) -> torch.Tensor:
    """Numbers images by content: uint8 ``[N, 3, H, W]`` to int64 ``[N]``, equal if and only if every byte is."""
    rows = images.flatten(1).contiguous().numpy()
    whole = rows.view(np.dtype((np.void, rows.shape[1])))[:, 0]
    numbers = np.unique(whole, return_inverse=True)[1]
    return torch.from_numpy(numbers.astype(np.int64))


def sharing(surrogate: torch.Tensor, person: torch.Tensor) -> Sharing:
    """Counts who shares what.

    Args:
        surrogate: int64 ``[N]``, N at least 1.
        person: int64 ``[N]``.
    """
    surrogate, person = (torch.unique(part, return_inverse=True)[1] for part in (surrogate, person))
    pairs, images = torch.unique(torch.stack([surrogate, person], 1), dim=0, return_counts=True)
    people = torch.bincount(pairs[:, 0])
    likeliest = torch.zeros_like(people).scatter_reduce_(0, pairs[:, 0], images, "amax")
    return Sharing(surrogate, person, people, torch.bincount(pairs[:, 1]), likeliest)


def usable(group: torch.Tensor, count: int) -> bool:
    """Whether a note can be a group per image: whole numbers, ``[count]``."""
    whole = not group.is_floating_point() and not group.is_complex() and group.dtype != torch.bool
    return whole and group.shape == (count,)


@dataclass(frozen=True)
class KAnonymity:
    """The smallest number of people who share a released image, and whether it is what was claimed."""

    card = MetricCard(
        name="k-anonymity",
        version=1,
        title="k-anonymity, audited",
        group="privacy",
        unit="people",
        higher_is_better=True,
        range=(1.0, None),
        definition=(
            "The smallest number of people who share a released image, counted from the released bytes of entrants that "
            "claim k-anonymity: images are the same if every byte is. The claim is broken where fewer than k people share "
            "an image, where a person is released as several images, or where published groups say otherwise. Linkage "
            "bound: mean over images of one over the number of people who share it, the best that can be done by who "
            "knows the groups and holds everybody in one for equally likely. Images never released do not count."
        ),
        calibration=(
            "A k-Same release has groups of k and a bound of at most 1/k; one pixel changed in one image breaks it. It "
            "says nothing of what an image tells about its whole group."
        ),
        source="Newton, Sweeney and Malin, Preserving Privacy by De-identifying Face Images, TKDE 2005",
        about_claim=True,
    )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Smallest number of people per released image; flag ``claim broken`` names the worst violation."""
        claim, there = referees.claim, released.delivered
        if claim is None or not bool(there.any()):
            reason = "makes no claim of k-anonymity" if claim is None else "released no image"
            return not_applicable(self.card.name, reason, len(original))
        found = sharing(distinct(released.images[there]), clusters_of(original)[there])
        readable = claim.group is not None and usable(claim.group, len(original))
        group = claim.group[there] if readable and claim.group is not None else None
        details = {**counted(found, claim), **(audited_groups(found, group) if group is not None else {})}
        if released.missing is not None:
            details["missing images"] = float(len(there) - int(there.sum()))
        values = torch.full((len(original),), torch.nan, dtype=torch.float64)
        values[there] = found.of_image.double()
        score = Score(
            metric=self.card.name,
            value=float(found.people.min()),
            n=len(found.person),
            n_clusters=len(found.surrogates),
            details=details,
            flags=flags(details, claim, readable),
        )
        return Scores(score, {self.card.name: values})


def counted(found: Sharing, claim: KAnonymityClaim) -> dict[str, float]:
    """What the bytes say, beside the claim."""
    return {
        "claimed": float(claim.k),
        "surrogates": float(len(found.people)),
        "smallest group": float(found.people.min()),
        "largest group": float(found.people.max()),
        "people with several surrogates": float((found.surrogates > 1).sum()),
        "linkage bound": float((1 / found.of_image.double()).mean()),
        "linkage bound, knowing counts": float(found.likeliest.sum()) / len(found.person),
        "bound allowed": 1 / claim.k,
    }


def audited_groups(found: Sharing, group: torch.Tensor) -> dict[str, float]:
    """What the published groups (int64 ``[N]``, of the released images) say, and whether the bytes agree."""
    members, images = sharing(group, found.person), sharing(group, found.surrogate)
    return {
        "groups published": float(len(members.people)),
        "smallest group published": float(members.people.min()),
        "groups with several surrogates": float((images.people > 1).sum()),
    }


def flags(details: Mapping[str, float], claim: KAnonymityClaim, readable: bool) -> dict[str, str]:
    """The worst violation of the claim, as one sentence; empty where it holds.

    Args:
        details: what was counted.
        claim: what was claimed.
        readable: whether the published groups, if there are any, are groups.
    """
    split, several = (
        int(details.get(name, 0)) for name in ("people with several surrogates", "groups with several surrogates")
    )
    least, published = int(details["smallest group"]), int(details.get("smallest group published", claim.k))
    violations = [
        (least < claim.k, f"Claimed are {claim.k} people per released image, and one is shared by {least} alone."),
        (split > 0, f"Released as several images each, which may tell them apart within their group: {split} people."),
        (several > 0, f"Published groups with several images instead of one: {several}."),
        (published < claim.k, f"Claimed are groups of {claim.k} people, and one published group has {published}."),
        (claim.group is not None and not readable, "The note 'group' is not one whole number per image."),
    ]
    return next(({BROKEN: text} for broken, text in violations if broken), {})
