"""The two networks of PerceptAnon.

HA1 looks at the released image: a backbone whose last layer is replaced. HA2 looks at original and released image with
one and the same backbone, and judges both feature vectors side by side, the original's first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.errors import EnvironmentProblem, UsageError, did_you_mean
from benchmark.learning.networks import SmallResNet
from metrics.perceptanon.labels import check_target, output_count
from metrics.perceptanon.table import Study, check_study

HIDDEN = 512
"""Units between the two feature vectors and the answer of HA2."""


@dataclass(frozen=True)
class Family:
    """A kind of backbone.

    Attributes:
        build: makes it with random weights.
        last: name of its last linear layer.
        block: name of the last convolutional stage, for Grad-CAM; empty where there is none.
        imagenet: name of its ImageNet weights; empty where there are none.
        sizes: least and largest side in pixels that it takes.
    """

    build: Callable[..., nn.Module]
    last: str
    block: str
    imagenet: str
    sizes: tuple[int, int] = (1, 1024)


def _torchvision(name: str) -> Callable[..., nn.Module]:
    def build() -> nn.Module:
        import torchvision

        network: nn.Module = torchvision.models.get_model(name, weights=None)
        return network

    return build


def _small(width: int = 16) -> nn.Module:
    return SmallResNet(1, width)


_LAYERS = {
    "resnet18": ("fc", "layer4.1"),
    "resnet50": ("fc", "layer4.2"),
    "resnet152": ("fc", "layer4.2"),
    "densenet121": ("classifier", "features.denseblock4"),
    "vgg11": ("classifier.6", "features"),
    "alexnet": ("classifier.6", "features"),
    "vit_b_16": ("heads.head", ""),
}
_SIZES = {"densenet121": (32, 1024), "vgg11": (32, 1024), "alexnet": (63, 1024), "vit_b_16": (224, 224)}
BACKBONES: dict[str, Family] = {
    **{
        name: Family(_torchvision(name), *layers, name, _SIZES.get(name, (1, 1024))) for name, layers in _LAYERS.items()
    },
    "small-resnet": Family(_small, "head", "blocks.3", ""),
}
"""The seven published backbones, and a small one that trains on a laptop (parameter ``width``)."""


class Judge(nn.Module):
    """A network that judges how anonymous an image is.

    Args:
        study: ``HA1`` (sees the released image) or ``HA2`` (sees the original, too).
        backbone: one of ``BACKBONES``.
        granularity: what it predicts, see ``labels``.
        task: ``regression`` or ``classification``.
        params: of the backbone.
    """

    def __init__(
        self, study: str, backbone: str, granularity: str, task: str, params: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.outputs = outputs = output_count(granularity, task)
        self.study: Study = check_study(study)
        self.family, self.task = backbone_family(backbone), task
        self.backbone = _built(backbone, self.family, params or {})
        last = self.backbone.get_submodule(self.family.last)
        assert isinstance(last, nn.Linear)
        self.features = last.in_features
        if self.study == "HA1":
            self.backbone.set_submodule(self.family.last, nn.Linear(self.features, outputs))
            self.head: nn.Module = nn.Identity()
        else:
            self.backbone.set_submodule(self.family.last, nn.Identity())
            self.head = nn.Sequential(nn.Linear(2 * self.features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))

    def forward(self, original: torch.Tensor | None, released: torch.Tensor) -> torch.Tensor:
        """Judges images.

        Args:
            original: normalised float32 ``[N, 3, S, S]``; HA1 does not look at it.
            released: as ``original``.

        Returns:
            Logits ``[N, K]`` for classification; ``[N]`` in [0, 1] for regression.
        """
        first = None if self.study == "HA1" else self.look(original)
        return self.judge(first, self.look(released))

    def look(self, images: torch.Tensor | None) -> torch.Tensor:
        """What the backbone makes of images: ``[N, K]`` in HA1, features ``[N, d]`` in HA2."""
        if images is None:
            raise UsageError("HA2 compares with the originals; hand them over, or take a checkpoint of HA1")
        seen: torch.Tensor = self.backbone(images)
        return seen

    def judge(self, original: torch.Tensor | None, released: torch.Tensor) -> torch.Tensor:
        """The answer to what ``look`` saw."""
        seen = released if original is None else torch.cat([original, released], 1)
        answer: torch.Tensor = self.head(seen)
        # The sigmoid is a part of the network, so that no copy of it can be without.
        return answer.squeeze(1).sigmoid() if self.task == "regression" else answer

    @property
    def last_block(self) -> nn.Module:
        """The last convolutional stage.

        Raises:
            UsageError: the backbone has none.
        """
        if not self.family.block:
            raise UsageError("Grad-CAM needs convolutions, and vit_b_16 has none; explain a checkpoint of resnet18")
        return self.backbone.get_submodule(self.family.block)


def backbone_family(name: str) -> Family:
    """The kind of backbone of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in BACKBONES:
        raise UsageError(f"no backbone is called '{name}'.{did_you_mean(name, BACKBONES)}")
    return BACKBONES[name]


def check_size(backbone: str, size: int) -> None:
    """Makes sure that a backbone takes images of this size.

    Raises:
        UsageError: it does not.
    """
    least, most = backbone_family(backbone).sizes
    if not least <= size <= most:
        allowed = f"{least}" if least == most else f"{least} to {most}"
        raise UsageError(f"{backbone} takes images of {allowed} pixels a side, not {size}; mend --size")


def _built(name: str, family: Family, params: Mapping[str, Any]) -> nn.Module:
    try:
        return family.build(**params)
    except TypeError as error:
        raise UsageError(
            f"backbone {name} has no parameters {dict(params)}; only small-resnet has one: width"
        ) from error


def start_from_imagenet(network: Judge) -> None:
    """Gives the backbone the weights that torchvision calls its default, except in the last layer.

    Raises:
        UsageError: there are none for this backbone.
        EnvironmentProblem: the file is not on this machine, or does not fit.
    """
    from benchmark.weights import first_located, load_state

    if not network.family.imagenet:
        raise UsageError("small-resnet has no ImageNet weights; write --start none")
    _, path, _ = first_located([network.family.imagenet])
    last = f"{network.family.last}."
    state = {_modern(key): value for key, value in load_state(path).items() if not key.startswith(last)}
    own = {key for key in network.backbone.state_dict() if not key.startswith(last)}
    _fit(network.backbone, state, own, path)


def _modern(key: str) -> str:
    """Old DenseNet files write ``norm.1`` for what is called ``norm1`` today."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key)


def _fit(module: nn.Module, state: Mapping[str, torch.Tensor], needed: set[str], path: Path) -> None:
    """Loads weights of which only the last layer's may be missing, and says what does not fit."""
    own = module.state_dict()
    missing = sorted(key for key in needed - set(state) if not key.endswith("num_batches_tracked"))
    foreign = sorted(set(state) - set(own))
    wrong = sorted(key for key in set(state) & set(own) if state[key].shape != own[key].shape)
    for label, keys in (("lacks", missing), ("has the unknown", foreign), ("has another shape of", wrong)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise EnvironmentProblem(f"{path} does not fit the network: it {label} {keys[0]}{more}. Take another file")
    module.load_state_dict(dict(state), strict=False)


def from_authors(path: Path, task: str) -> Judge:
    """Reads a checkpoint of the authors: ResNet-50, HA1, ten classes or the mean score.

    Args:
        path: a PyTorch file, the weights under ``state_dict`` or at the top, possibly prefixed ``module.``.
        task: ``classification`` (ten logits) or ``regression`` (one output, to which the sigmoid belongs).

    Raises:
        EnvironmentProblem: the file cannot be read safely, or does not fit.
        UsageError: it was trained for the other task.
    """
    granularity = "mean" if task == "regression" else "labels10"
    check_target(granularity, task)
    state = _authors_state(path)
    found = task_of(state, path)
    if found != task:
        raise UsageError(f"{path} was trained for {found}, not {task}; write {found}")
    network = Judge("HA1", "resnet50", granularity, task)
    _fit(network.backbone, state, set(network.backbone.state_dict()), path)
    return network.eval().requires_grad_(False)


def authors_task(path: Path) -> str:
    """Which task a checkpoint of the authors was trained for."""
    return task_of(_authors_state(path), path)


def task_of(state: Mapping[str, torch.Tensor], path: Path) -> str:
    """The task that belongs to the last layer of a ResNet-50.

    Raises:
        EnvironmentProblem: there is no such layer, or it has neither one nor ten outputs.
    """
    weight = state.get("fc.weight")
    tasks = {(10, 2048): "classification", (1, 2048): "regression"}
    shape = None if weight is None else tuple(weight.shape)
    if shape not in tasks:
        found = "no fc.weight" if shape is None else f"fc.weight of {' x '.join(map(str, shape))}"
        raise EnvironmentProblem(
            f"{path} is not a ResNet-50 of PerceptAnon: it has {found}, not 10 x 2048 or 1 x 2048. Take another file"
        )
    return tasks[shape]


def _authors_state(path: Path) -> dict[str, torch.Tensor]:
    from benchmark.weights import load_state

    state = load_state(path)
    return {key.removeprefix("state_dict.").removeprefix("module."): value for key, value in state.items()}
