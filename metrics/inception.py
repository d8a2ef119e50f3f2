"""The network of FID: InceptionV3 as ported by pytorch-fid, with weights from the registry and never a download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from benchmark.errors import EnvironmentProblem
from benchmark.features import FeatureNetwork
from benchmark.weights import first_located, load_state

WEIGHTS = "fid-inception"
PREPROCESSING = "pytorch-fid 0.3: [0, 1], bilinear 299 x 299 without antialias, pool3"


def build_inception(state: Mapping[str, torch.Tensor]) -> nn.Module:
    """``pytorch_fid.inception.InceptionV3`` up to its 2048 pooled features, with the given weights.

    Raises:
        EnvironmentProblem: the weights are not those of this network.
    """
    from pytorch_fid.inception import InceptionV3

    try:
        with torch.random.fork_rng(devices=[]), _weights_instead_of_download(state):
            network: nn.Module = InceptionV3([InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
    except RuntimeError as error:
        raise EnvironmentProblem(
            f"{WEIGHTS} weights do not fit pytorch-fid's InceptionV3: replace the file by {WEIGHTS} of the registry"
        ) from error
    return network.eval().requires_grad_(False)


@contextmanager
def _weights_instead_of_download(state: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """The constructor has no parameter for weights: it loads, strictly, what this one function gives it."""
    from pytorch_fid import inception

    download = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        yield
    finally:
        inception.load_state_dict_from_url = download


@lru_cache(maxsize=1)
def _network(path: Path, sha256: str, device: str) -> nn.Module:
    return build_inception(load_state(path)).to(device)


def inception_features(device: str) -> FeatureNetwork:
    """Inception features ``[N, 2048]`` with the weights on this machine.

    Raises:
        EnvironmentProblem: the weights are missing, or not those of this network.
    """
    _, path, sha256 = first_located([WEIGHTS])
    network = _network(path, sha256, device)

    def run(images: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = network(images.float() / 255)[0]
        return pooled.flatten(1)

    return FeatureNetwork("Inception", f"{sha256} {PREPROCESSING}", device, run)
