"""What explains an identification: attributions from captum, of the cross-entropy towards the runner-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from benchmark.errors import EntrantError
from benchmark.seeding import normal

Method = Literal["signed", "abs", "integrated-gradients", "smoothgrad", "occlusion"]
BLOCK = 8
"""Batches are filled up to multiples of this. Libraries take other kernels for a few images, whose last digits differ, and
near ties would be decided otherwise."""
STEPS = 16
"""Of the path of integrated gradients."""
SAMPLES = 16
"""Noisy copies for SmoothGrad."""
NOISE = 0.1
"""Their standard deviation, of the range of values."""
WINDOWS = 8
"""Occluded windows along a side, at most."""


class Explained(NamedTuple):
    """What a recogniser says of N images.

    Attributes:
        named: whether it names the person on it, bool ``[N]``.
        saliency: float ``[N, 3, H, W]``; where the value is large, raising it helps to tell the person from the runner-up.
            Without meaning for images that are not named.
    """

    named: torch.Tensor
    saliency: torch.Tensor


Network = Callable[[torch.Tensor], torch.Tensor]
Loss = Callable[..., torch.Tensor]


class Towards(nn.Module):
    """Cross-entropy towards the runner-up, per image, and the two most likely classes of the same forward pass."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.best = torch.zeros(0, 2, dtype=torch.int64)

    def forward(self, images: torch.Tensor, runner_up: torch.Tensor | None = None) -> torch.Tensor:
        """Losses ``[N]`` of float images ``[N, 3, H, W]``; ``runner_up`` (int64 ``[N]``) fixes the class."""
        logits = self.network(images)
        if logits.shape[1] < 2:
            raise EntrantError("EDI-Anon needs a runner-up, and the recogniser knows one person only; give it two")
        if images.requires_grad and not logits.requires_grad:
            raise EntrantError("EDI-Anon needs gradients, and the recogniser's output has none; give one in PyTorch")
        self.best = best_two(logits.detach())
        towards = self.best[:, 1] if runner_up is None else runner_up
        return nn.functional.cross_entropy(logits, towards, reduction="none")


def best_two(logits: torch.Tensor) -> torch.Tensor:
    """The two most likely classes, int64 ``[N, 2]``; of equal ones the first, as ``argmax`` names it everywhere else."""
    best = logits.argmax(1, keepdim=True)
    return torch.cat([best, logits.scatter(1, best, -torch.inf).argmax(1, keepdim=True)], 1)


@dataclass(frozen=True)
class Explainer:
    """One way to explain.

    Attributes:
        network: float RGB in [0, 1] to logits, parameters without gradients.
        method: which attribution.
    """

    network: Network
    method: Method = "signed"

    @property
    def deterministic(self) -> bool:
        """Whether it says the same of the same image in every round."""
        return self.method != "smoothgrad"

    def __call__(self, images: torch.Tensor, labels: torch.Tensor, keys: Sequence[str], seed: int) -> Explained:
        """Looks at a batch.

        Args:
            images: float ``[N, 3, H, W]`` in [0, 1].
            labels: who is on it, int64 ``[N]``.
            keys: of the images.
            seed: of this round.

        Raises:
            EntrantError: the recogniser has no gradient or only one class.
        """
        if not len(images):
            return Explained(torch.zeros(0, dtype=torch.bool), images)
        if self.method in ("signed", "abs"):
            return self._fused(images, labels)
        towards = Towards(self.network)
        with torch.no_grad():
            towards(filled(images))
        best = towards.best[: len(images)]
        named, saliency = best[:, 0] == labels, torch.zeros_like(images)
        rows = named.nonzero().flatten()
        if len(rows):
            explain = {"integrated-gradients": _integrated, "smoothgrad": _smooth, "occlusion": _occluded}[self.method]
            asked = Asked(filled(images[rows]), filled(best[rows, 1]), [keys[row] for row in rows.tolist()], seed)
            saliency[rows] = explain(towards, asked)[: len(rows)].to(saliency.dtype)
        return Explained(named, saliency)

    def _fused(self, images: torch.Tensor, labels: torch.Tensor) -> Explained:
        """One pass forward and back gives the name, the runner-up and the gradient."""
        from captum.attr import Saliency

        towards, given = Towards(self.network), filled(images).requires_grad_()
        gradient = Saliency(towards).attribute(given, abs=self.method == "abs").detach()
        return Explained(towards.best[: len(images), 0] == labels, gradient[: len(images)])


class Asked(NamedTuple):
    """A filled batch with the runner-up of each image, and the keys of those that are no filling."""

    images: torch.Tensor
    runner_up: torch.Tensor
    keys: list[str]
    seed: int


def filled(rows: torch.Tensor) -> torch.Tensor:
    """The rows, the last one repeated up to a multiple of ``BLOCK``."""
    lacking = -len(rows) % BLOCK
    layout = torch.channels_last if rows.dim() == 4 and _is_channels_last(rows) else torch.contiguous_format
    return torch.cat([rows, rows[-1:].expand(lacking, *rows.shape[1:])]).clone(memory_format=layout)


def _is_channels_last(images: torch.Tensor) -> bool:
    return images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()


def _integrated(towards: Towards, asked: Asked) -> torch.Tensor:
    """Integrated gradients from black (Sundararajan et al., ICML 2017)."""
    from captum.attr import IntegratedGradients

    attribution: Any = IntegratedGradients(towards).attribute(
        asked.images.requires_grad_(), additional_forward_args=asked.runner_up, n_steps=STEPS,
        internal_batch_size=len(asked.images),
    )  # fmt: skip
    return _plain(attribution)


def _smooth(towards: Towards, asked: Asked) -> torch.Tensor:
    """SmoothGrad (Smilkov et al. 2017): the mean gradient of noisy copies.

    Captum's own noise comes from the global generator, so it would depend on the batch; here it belongs to the image.
    """
    from captum.attr import Saliency

    total, shape = torch.zeros_like(asked.images), tuple(asked.images.shape[1:])
    for sample in range(SAMPLES):
        noise = filled(normal(asked.seed, f"smoothgrad {sample}", asked.keys, shape)).to(asked.images)
        noisy = (asked.images.detach() + NOISE * noise).requires_grad_()
        total += _plain(Saliency(towards).attribute(noisy, abs=False, additional_forward_args=asked.runner_up))
    return total / SAMPLES


def _occluded(towards: Towards, asked: Asked) -> torch.Tensor:
    """Occlusion by black windows (Zeiler and Fergus, ECCV 2014)."""
    from captum.attr import Occlusion

    window = tuple(-(-side // WINDOWS) for side in asked.images.shape[2:])
    with torch.no_grad():
        attribution = Occlusion(towards).attribute(
            asked.images, sliding_window_shapes=(3, *window), strides=(3, *window),
            additional_forward_args=asked.runner_up,
        )  # fmt: skip
    return _plain(attribution)


def _plain(attribution: Any) -> torch.Tensor:
    plain: torch.Tensor = attribution.detach()
    return plain
