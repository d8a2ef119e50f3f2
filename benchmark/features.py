"""Features of images under a frozen network: computed once per batch of pixels, and kept by content.

    features/<key>.safetensors        one batch, float32, with the sha256 of its values in the header

The key is a hash of the network and of the batch, so other weights, another preprocessing or other pixels never meet
what is kept, and a killed run goes on at the batch where it ended.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

from benchmark.hashing import sha256_json, sha256_tensor
from benchmark.learning.classifier import SCORING_BATCH, Classifier
from benchmark.learning.networks import embed
from benchmark.protocols import Referees
from benchmark.store import Store, write_atomic

FORMAT = 1
MEMO = 256
"""Batches kept in memory where there is no store; 128 MiB at 2048 dimensions."""


@dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """A frozen network that describes images by vectors.

    Attributes:
        name: for progress, as in ``Inception features``.
        identity: sha256 of the weights, and the name of everything else the result depends on.
        device: where ``run`` wants its images.
        run: uint8 ``[B, 3, H, W]`` to ``[B, D]``.
    """

    name: str
    identity: str
    device: str
    run: Callable[[torch.Tensor], torch.Tensor]


def recogniser_features(recogniser: Classifier) -> FeatureNetwork:
    """The features before the last layer of a suite's recogniser."""

    def run(images: torch.Tensor) -> torch.Tensor:
        return embed(recogniser.network, images.float() / 255)

    device = next(recogniser.network.parameters()).device
    return FeatureNetwork("recogniser", f"{recogniser.sha256} embed", str(device), run)


def features_of(network: FeatureNetwork, images: torch.Tensor, referees: Referees) -> torch.Tensor:
    """Features float32 ``[N, D]`` of at least one image, on the CPU.

    Args:
        network: what to compute.
        images: uint8 ``[N, 3, H, W]`` RGB.
        referees: where features are kept and progress is shown.
    """
    return torch.cat(list(batches_of(network, images, referees)))


def batches_of(network: FeatureNetwork, images: torch.Tensor, referees: Referees) -> Iterator[torch.Tensor]:
    """The same, one batch of ``SCORING_BATCH`` at a time, for sets whose features need not be in memory at once.

    Progress opens with the first batch that has to be computed, and covers the images from there on.
    """
    with ExitStack() as stack:
        progress: Callable[[int], None] | None = None
        for start in range(0, len(images), SCORING_BATCH):
            batch = images[start : start + SCORING_BATCH]
            key = sha256_json([FORMAT, network.identity, sha256_tensor(batch)])
            features = _kept(key, len(batch), referees.store)
            if features is None:
                if progress is None:
                    report = referees.report(f"{network.name} features", len(images) - start)
                    progress = stack.enter_context(report)
                features = _computed(network, batch)
                _keep(key, features, referees.store)
            if progress is not None:
                progress(len(batch))
            yield features


@contextmanager
def inference() -> Iterator[None]:
    """No gradients, and all 24 bits of float32 where a device would rather round to 11 (TF32)."""
    with torch.inference_mode(), torch.backends.cudnn.flags(torch.backends.cudnn.enabled, allow_tf32=False):
        yield


def _computed(network: FeatureNetwork, batch: torch.Tensor) -> torch.Tensor:
    with inference():
        found = network.run(batch.to(network.device)).float().cpu()
    features = found.clone().contiguous()  # outside inference mode: an ordinary tensor
    if features.dim() != 2 or len(features) != len(batch):
        raise ValueError(f"{network.name} must return one row per image, not {tuple(features.shape)}")
    if not features.isfinite().all():
        raise ValueError(f"{network.name} features are not finite: the network or its weights are broken")
    return features


_memo: OrderedDict[str, torch.Tensor] = OrderedDict()


def _kept(key: str, count: int, store: Store | None) -> torch.Tensor | None:
    """What is kept under ``key``, or None if it is absent or damaged."""
    if store is None:
        return _memo.get(key)
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(store.path("features", f"{key}.safetensors"), framework="pt") as file:
            features: torch.Tensor = file.get_tensor("features")
            whole = file.metadata()["sha256"] == sha256_tensor(features)
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return features if whole and len(features) == count else None


def _keep(key: str, features: torch.Tensor, store: Store | None) -> None:
    if store is None:
        _memo[key] = features
        while len(_memo) > MEMO:
            _memo.popitem(last=False)
        return
    from safetensors.torch import save

    data = save({"features": features}, metadata={"sha256": sha256_tensor(features)})
    write_atomic(store.path("features", f"{key}.safetensors"), data)
