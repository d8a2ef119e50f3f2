"""Of whom the groups are made: how alike their members are, in attributes and in embedding."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from benchmark.images import ImageSet
from benchmark.protocols import Missing, Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.specs import Spec
from metrics.answers import not_applicable
from metrics.groups.arithmetic import joined, pure, silhouettes, sse_over_sst
from metrics.groups.members import Members, published
from metrics.groups.seeing import BACKGROUND, Network, lacking, weights
from metrics.groups.surrogates import EYES, SOURCE, Seen, look

Names = Annotated[str, Field(description="an attribute, several joined by '+', or empty: the mean over each of them")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Homogeneity:
    """How many persons are in groups whose members share an attribute, so that a surrogate can keep it.

    Attributes:
        attribute: ``gender``, or several at once as in ``age+gender``; empty: each attribute by itself, then the mean.
    """

    attribute: Names = ""

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        about = self.attribute.replace("+", " and ")
        return MetricCard(
            name=str(Spec("homogeneity", {"attribute": self.attribute} if self.attribute else {})),
            version=1,
            title=f"Homogeneity, {about}" if about else "Homogeneity",
            group="utility",
            unit="share",
            higher_is_better=True,
            range=(0.0, 1.0),
            definition=(
                "Share of persons in groups all of whose members have the same "
                f"{about or 'value of an attribute, for each attribute by itself; the value is the mean over them'}. A "
                "person has what most of the person's images have."
            ),
            calibration=(
                "By the same arithmetic the stored groups of 67 people (RaFD, Ward, k = 2 to 19) give all 54 published "
                "counts for age, gender and both."
            ),
            source=SOURCE,
            about_claim=True,
        )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Share of persons in pure groups; the details have it by attribute."""
        name = self.card.name
        members = published(name, original, referees)
        if isinstance(members, Scores):
            return members
        wanted = self.attribute.split("+") if self.attribute else sorted(original.attributes)
        unknown = [attribute for attribute in wanted if attribute not in original.attributes]
        if unknown or not wanted:
            known = ", ".join(sorted(original.attributes)) or "none"
            asked = f"the attribute '{unknown[0]}'" if unknown else "any attribute"
            return not_applicable(name, f"the images are not labelled with {asked} (labelled: {known})", len(original))
        return Scores(_homogeneity(name, members, original, wanted, bool(self.attribute)))


def _homogeneity(name: str, members: Members, original: ImageSet, wanted: list[str], together: bool) -> Score:
    labels = {attribute: members.usual(original.attributes[attribute]).numpy() for attribute in wanted}
    group = members.group.numpy()
    shares = {attribute: float(pure(values, group).mean()) for attribute, values in labels.items()}
    whole = pure(joined(list(labels.values())), group)
    value = float(whole.mean()) if together else sum(shares.values()) / len(shares)
    details = members.facts | {f"of one {attribute}": share for attribute, share in shares.items()}
    details |= {} if len(wanted) == 1 else {"the same in all": float(whole.mean())}
    return _of_groups(name, value, members, details)


def _of_groups(name: str, value: float, members: Members, details: dict[str, float]) -> Score:
    """A fact about the groups: everybody counts, and nothing was sampled, so there is no interval."""
    return Score(
        metric=name,
        value=value,
        n=len(members.of_image),
        n_clusters=members.people,
        details={**members.claim, **details},
    )


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Silhouette:
    """How much nearer persons are to their own group than to the nearest other one.

    Attributes:
        network: whose embedding, as in ``information-loss``.
    """

    network: Network = "background"

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return _embedded(
            self.network,
            "silhouette",
            "Silhouette of groups",
            higher=True,
            limits=(-1.0, 1.0),
            definition="Mean silhouette of the persons by their mean embedding, Euclidean, over the published groups",
            calibration="scikit-learn's silhouette_samples; 0 for groups drawn at random and for people in groups alone.",
            source="Rousseeuw, Silhouettes, J. Computational and Applied Mathematics 20, 1987",
        )

    def missing(self) -> Missing | None:
        """Whether the network is on this machine."""
        return lacking(self.network)

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean over persons."""
        name = self.card.name
        seen = look(name, self.network, original, released, referees)
        if isinstance(seen, Scores):
            return seen
        members = seen.members
        if not 2 <= members.groups < len(members):
            return not_applicable(name, f"{members.groups} groups of {len(members)} people say nothing", len(original))
        values = silhouettes(_points(seen).numpy(), members.group.numpy())
        details = {"people nearer to another group": float((values < 0).sum())}
        return Scores(_of_groups(name, float(values.mean()), members, details))


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SseSst:
    """The share of all differences between persons that is lost inside groups.

    Attributes:
        network: whose embedding, as in ``information-loss``.
    """

    network: Network = "background"

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return _embedded(
            self.network,
            "sse-sst",
            "SSE / SST of groups",
            higher=False,
            limits=(0.0, 1.0),
            definition=(
                "Squared distances of the persons' mean embeddings to the mean of their published group, summed, over "
                "those to the mean of all"
            ),
            calibration="0 where everybody is alone, 1 where all are one group; (G - 1) / (P - 1) less than 1 at random.",
            source="Domingo-Ferrer and Mateo-Sanz, Practical data-oriented microaggregation, TKDE 14(1), 2002",
        )

    def missing(self) -> Missing | None:
        """Whether the network is on this machine."""
        return lacking(self.network)

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Within groups over all."""
        name = self.card.name
        seen = look(name, self.network, original, released, referees)
        if isinstance(seen, Scores):
            return seen
        return Scores(
            _of_groups(name, sse_over_sst(_points(seen).numpy(), seen.members.group.numpy()), seen.members, {})
        )


def _points(seen: Seen) -> torch.Tensor:
    """Mean embedding of the originals of each member, float64 ``[M, D]``."""
    return seen.members.mean(seen.original)


def _embedded(
    network: Network,
    family: str,
    title: str,
    *,
    higher: bool,
    limits: tuple[float, float],
    definition: str,
    calibration: str,
    source: str,
) -> MetricCard:
    return MetricCard(
        name=str(Spec(family, {"network": network})),
        version=1,
        title=title if network == BACKGROUND else f"{title}, {network}",
        group="utility",
        unit="1",
        higher_is_better=higher,
        range=limits,
        definition=f"{definition}. Seen by {EYES[network]}.",
        calibration=calibration,
        source=source,
        weights=weights(network),
        referees=("embedding",) if network == BACKGROUND else (),
        about_claim=True,
    )
