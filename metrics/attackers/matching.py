"""What an attacker sees: how alike every probe and every gallery entry are."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.hashing import sha256_tensor
from benchmark.learning.classifier import Classifier


@dataclass(frozen=True, eq=False)
class Matches:
    """Similarities of probes and gallery entries, from one matrix product.

    Attributes:
        similarity: float32 ``[N, G]``, larger is more alike; -inf where a pair may not be compared.
        owner: int64 ``[G]``, the person of each gallery entry, as in ``identity.values``. A classifier's logits are
            matches against one entry per person.
        undetected: bool ``[N]``, probes on which no face was found, whatever their similarities are; None where nobody
            looked for one.
    """

    similarity: torch.Tensor
    owner: torch.Tensor
    undetected: torch.Tensor | None = None

    @staticmethod
    def of_people(similarity: torch.Tensor) -> Matches:
        """Matches against one gallery entry per person, from float32 ``[N, C]`` in the order of ``identity.classes``."""
        return Matches(similarity, torch.arange(similarity.shape[1]))

    @property
    def detected(self) -> torch.Tensor:
        """Probes that say something, bool ``[N]``."""
        if self.undetected is None:
            return torch.ones(len(self.similarity), dtype=torch.bool)
        return ~self.undetected


def logit_matches(classifier: Classifier, images: torch.Tensor) -> Matches:
    """A classifier's log-probabilities as matches against one gallery entry per class.

    Args:
        classifier: its classes are the people, in the order of ``identity.classes``.
        images: uint8 ``[N, 3, H, W]``.
    """
    return Matches.of_people(classifier.logits(images).log_softmax(1))


def checked(matches: Matches, truth: torch.Tensor) -> Matches:
    """The matches, if they can be judged; undetected probes are equally like everybody they may be compared with.

    Args:
        matches: of the probes.
        truth: int64 ``[N]``, who they are.

    Raises:
        ValueError: shapes do not fit, nobody is in the gallery, or a similarity is NaN or +inf.
    """
    similarity, owner = matches.similarity.float(), matches.owner
    if similarity.shape != (len(truth), len(owner)) or not len(owner):
        raise ValueError(
            f"similarity is {list(similarity.shape)} for {len(truth)} probes and {len(owner)} gallery entries; "
            "give one row per probe and one column per entry"
        )
    if matches.undetected is not None:
        similarity = torch.where(matches.undetected[:, None] & (similarity != -torch.inf), 0.0, similarity)
    if not bool((similarity < torch.inf).all()):
        raise ValueError(
            "similarities hold NaN or +inf: the attacker is broken; only -inf may mark what is not compared"
        )
    return Matches(similarity, owner, matches.undetected)


def same_photographs(probes: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
    """Which pairs are the same photograph, pixel by pixel: ``[N, 3, H, W]`` and ``[G, 3, H, W]`` to bool ``[N, G]``."""
    numbers: dict[str, int] = {}
    left, right = (
        torch.tensor([numbers.setdefault(sha256_tensor(image), len(numbers)) for image in part], dtype=torch.int64)
        for part in (probes, gallery)
    )
    return left[:, None] == right
