"""Faces mixed from proxies by an up-convolutional network, as in k-Same-Net."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from anonymizers.kanonymity.surrogates.base import Request, group_means, other_people, pixel_values
from anonymizers.kanonymity.surrogates.components import learn_components
from anonymizers.kanonymity.surrogates.proxies import Proxies, Recipe, choose_proxies, learned
from benchmark.filters import to_bytes
from benchmark.images import ImageSet
from benchmark.learning.training import one_thread
from benchmark.protocols import Controller

RECIPE = Recipe()


@dataclass(frozen=True)
class UpConv:
    """One face per group, mixed from as many other people (proxies) as the group has members.

    Which proxies is all that a surrogate says about its group: they are those nearest to the members in the space of the
    proxies' eigenfaces, a different one for every member while there are enough. Their mean code, a neutral expression
    and the mean pose go through a network that learned to draw each of the proxies.

    Attributes:
        recipe: how the network is trained.
        attribute: whose classes the network tells apart, where the proxies are labelled.
        compat: divides the sum of codes by its norm, as published, so that codes grow with the group; else their mean.
    """

    recipe: Recipe = RECIPE
    attribute: str = "expression"
    compat: bool = False

    uses: ClassVar[frozenset[str]] = frozenset({"identity", "train"})
    source: ClassVar[str] = "Meden, Emersic, Struc and Peer, k-Same-Net, Entropy 20(1):60, 2018"

    def fit(self, train: ImageSet | None, controller: Controller) -> None:
        """Trains the network, unless that was done before.

        Raises:
            EntrantError: there are no other people.
        """
        del train  # it is the controller's
        learned(self.proxies(controller), self.recipe, controller.seed, controller.device)

    def proxies(self, controller: Controller) -> Proxies:
        """The people whose faces are mixed."""
        return choose_proxies(other_people("upconv", controller), self.recipe.people, self.attribute)

    def render(self, request: Request) -> torch.Tensor:
        """One face per group, uint8 ``[G, 3, H, W]``.

        Raises:
            EntrantError: there are no other people.
        """
        proxies, controller = self.proxies(request.controller), request.controller
        network = learned(proxies, self.recipe, controller.seed, controller.device)
        codes = self.codes(request, proxies)
        with one_thread(), torch.inference_mode():  # one at a time: other batches are summed in another order
            faces = [network(code[None], proxies.shown[None])[0] for code in codes.float()]
        return to_bytes(torch.stack(faces).double() * 255)

    def codes(self, request: Request, proxies: Proxies) -> torch.Tensor:
        """What is drawn for each group, float64 ``[G, Q]``."""
        distances = _distances(request, proxies)
        counts = torch.stack([_nearest(distances[request.groups == group]) for group in range(request.count)])
        scale = counts.square().sum(dim=1).sqrt() if self.compat else counts.sum(dim=1)
        return counts / scale[:, None]


def _distances(request: Request, proxies: Proxies) -> torch.Tensor:
    """Between persons and proxies in the eigenfaces of the proxies, float64 ``[P, Q]``."""
    faces = learn_components(proxies.means, proxies.people)
    alone = dataclasses.replace(request, groups=torch.arange(len(request.groups)))
    persons = group_means(alone, lambda batch: faces.scores(pixel_values(batch)))
    own = faces.scores(proxies.means.double())
    return torch.cdist(persons, own, compute_mode="donot_use_mm_for_euclid_dist")


def _nearest(distances: torch.Tensor) -> torch.Tensor:
    """How often each proxy is taken, float64 ``[Q]``: one per member, nearest in sum, each ceil(m / Q) times at most.

    Args:
        distances: of the members of one group, ``[m, Q]``.
    """
    members, people = distances.shape
    rounds = -(-members // people)
    _, taken = linear_sum_assignment(np.tile(distances.numpy(), rounds))
    return torch.from_numpy(taken % people).bincount(minlength=people).double()
