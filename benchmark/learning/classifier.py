"""A frozen classifier with its file format: safetensors in half precision, the architecture in the header."""

from __future__ import annotations

import copy
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.hashing import sha256_bytes, sha256_tensor
from benchmark.images import Labels
from benchmark.learning.networks import build_network

SCORING_BATCH = 64
"""Images per forward pass when scoring; fixed, so that scores do not depend on anybody's batch size."""


@dataclass(frozen=True)
class Architecture:
    """What it takes to build a network."""

    name: str
    classes: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """A freshly initialised network."""
        return build_network(self.name, len(self.classes), **self.params)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network that no longer learns.

    Attributes:
        name: which referee or attacker it is.
        architecture: how it is built, and its classes.
        network: float RGB in [0, 1] to logits; evaluation mode, parameters without gradients.
        sha256: of its file.
    """

    name: str
    architecture: Architecture
    network: nn.Module
    sha256: str
    _known: dict[str, torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.architecture.classes

    def copy(self) -> Classifier:
        """One that shares nothing with this one, for whoever might change it."""
        return dataclasses.replace(self, network=copy.deepcopy(self.network), _known={})

    def for_labels(self, labels: Labels) -> Classifier:
        """Itself, if it predicts just these classes in this order.

        Raises:
            EnvironmentProblem: it was made for other classes, so its predictions would mean something else.
        """
        if self.classes != labels.classes:
            raise EnvironmentProblem(
                f"{self.name} was trained for {len(self.classes)} classes that are not the {len(labels.classes)} of the "
                "images. Rebuild it with: make weights"
            )
        return self

    @torch.inference_mode()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits float32 ``[N, C]`` of uint8 ``[N, 3, H, W]``, in fixed batches, kept by content."""
        content = sha256_tensor(images)
        if content not in self._known:
            device = next(self.network.parameters()).device
            parts = [self.network(part.to(device).float() / 255).cpu() for part in images.split(SCORING_BATCH)]
            self._known[content] = torch.cat(parts) if parts else torch.zeros(0, len(self.classes))
        return self._known[content]

    def predictions(self, images: torch.Tensor) -> torch.Tensor:
        """Most likely class per image, int64 ``[N]``."""
        return self.logits(images).argmax(1)


def serialise(architecture: Architecture, network: nn.Module) -> bytes:
    """The file of a network: weights in float16, architecture and classes in the header."""
    from safetensors.torch import save

    weights = {name: _halved(value).contiguous() for name, value in network.state_dict().items()}
    header = {"name": architecture.name, "classes": list(architecture.classes), "params": architecture.params}
    return save(weights, metadata={"architecture": json.dumps(header, sort_keys=True)})


def _halved(value: torch.Tensor) -> torch.Tensor:
    return value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()


def load_classifier(
    name: str, path: Path, device: str = "cpu", sha256: str | None = None, remedy: str = ""
) -> Classifier:
    """Reads a classifier, after checking its hash.

    Args:
        name: what to call it.
        path: a file written from ``serialise``.
        device: where its parameters go.
        sha256: what the file's hash must be, if it is pinned.
        remedy: what to type when the file is missing or another one.

    Raises:
        EnvironmentProblem: the file is missing, another one, or not a network.
    """
    from safetensors import SafetensorError, safe_open

    try:
        data = path.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(
            f"weights of {name} cannot be read: {path}: {error.strerror}. {remedy}".strip()
        ) from error
    found = sha256_bytes(data)
    if sha256 is not None and found != sha256:
        raise EnvironmentProblem(
            f"weights of {name} are not the pinned ones: {path} has sha256 {found}. {remedy}".strip()
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["architecture"])
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        architecture = Architecture(header["name"], tuple(header["classes"]), header["params"])
        network = architecture.build()
        network.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
        )
    except (SafetensorError, UsageError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise EnvironmentProblem(
            f"weights of {name} cannot be read: {path} is not a network file. {remedy}".strip()
        ) from error
    network.eval().requires_grad_(False)
    return Classifier(name, architecture, network.to(device), found)
