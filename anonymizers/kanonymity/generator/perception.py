"""Features in which LPIPS is a plain squared distance, for the projection."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from benchmark.errors import EnvironmentProblem
from benchmark.weights import first_located, load_state

NetName = Literal["alex", "vgg", "squeeze"]
TRUNKS: Mapping[str, tuple[str, ...]] = {
    "alex": ("alexnet",),
    "vgg": ("vgg16",),
    "squeeze": ("squeezenet1_1", "squeezenet1_1-fp16rounded"),
}
"""Weights that will do, by network, the preferred ones first."""


class LpipsFeatures(nn.Module):
    """Feature maps whose squared distance, mean over positions and summed, is LPIPS 0.1.

    Args:
        network: an ``lpips.LPIPS``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Pictures ``[N, 3, H, W]`` in -1..1 to weighted maps of unit length, ``[N, C, h, w]`` each."""
        from lpips import normalize_tensor

        network = self.network
        stages = network.get_submodule("net")(network.get_submodule("scaling_layer")(pictures))
        heads = [network.get_submodule(f"lin{index}.model") for index in range(len(stages))]
        return [
            normalize_tensor(maps) * _weight(head).clamp_min(0).sqrt().to(maps)
            for maps, head in zip(stages, heads, strict=True)
        ]


def _weight(head: nn.Module) -> Tensor:
    """``[1, C, 1, 1]``: LPIPS keeps its heads from going below zero."""
    convolution = list(head.children())[-1]
    assert isinstance(convolution, nn.Conv2d)
    return convolution.weight


def lpips_features(net: NetName = "squeeze", device: str = "cpu") -> LpipsFeatures:
    """LPIPS with weights that are on this machine.

    Args:
        net: its trunk.
        device: of torch.

    Raises:
        EnvironmentProblem: the weights are not on this machine, or they are others; says what to type.
    """
    _, path, _ = first_located(TRUNKS[net])
    return LpipsFeatures(_lpips(net, load_state(path))).to(device)


def _lpips(net: str, trunk: Mapping[str, Tensor]) -> nn.Module:
    """``lpips.LPIPS`` with its own heads on a given trunk; nothing is downloaded."""
    import lpips

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips builds its trunks with a parameter that torchvision has renamed
        network: nn.Module = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    features = network.get_submodule("net")
    renamed = {f"features.{name.split('.', 1)[1]}": name for name in features.state_dict()}
    state = {renamed.get(name, name): value for name, value in trunk.items() if name.startswith("features.")}
    try:
        features.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise EnvironmentProblem(
            f"these are not the weights of LPIPS's {net} trunk; replace the file by {TRUNKS[net][0]} of the registry"
        ) from error
    return network
