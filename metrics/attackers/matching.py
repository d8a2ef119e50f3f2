"""What an attacker sees: how alike every probe and every gallery entry are."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.hashing import sha256_tensor


@dataclass(frozen=True, eq=False)
class Matches:
    """Similarities of probes and gallery entries, from one matrix product.

    Attributes:
        similarity: float32 ``[N, G]``, larger is more alike; -inf where a pair may not be compared.
        owner: int64 ``[G]``, the person of each gallery entry, as in ``identity.values``. A classifier's logits are
            matches against one entry per person.
        undetected: bool ``[N]``, probes on which no face was found; None where nobody looked for one.
    """

    similarity: torch.Tensor
    owner: torch.Tensor
    undetected: torch.Tensor | None = None


def same_photographs(probes: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
    """Which pairs are the same photograph, pixel by pixel: ``[N, 3, H, W]`` and ``[G, 3, H, W]`` to bool ``[N, G]``."""
    numbers: dict[str, int] = {}
    left, right = (
        torch.tensor([numbers.setdefault(sha256_tensor(image), len(numbers)) for image in part], dtype=torch.int64)
        for part in (probes, gallery)
    )
    return left[:, None] == right
