"""How different released images look from their originals: LPIPS, and a relative of it that needs no download."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from torch import nn

from benchmark.errors import EnvironmentProblem
from benchmark.features import inference
from benchmark.hashing import sha256_file
from benchmark.images import ImageSet
from benchmark.learning.classifier import SCORING_BATCH
from benchmark.learning.networks import stages
from benchmark.protocols import Missing, Referees, Scores
from benchmark.records import MetricCard, Score
from benchmark.specs import Spec
from benchmark.statistics import mean_scores
from benchmark.weights import first_located, load_state, missing

NetName = Literal["alex", "vgg", "squeeze"]
TRUNKS: Mapping[str, tuple[str, ...]] = {
    "alex": ("alexnet",),
    "vgg": ("vgg16",),
    "squeeze": ("squeezenet1_1", "squeezenet1_1-fp16rounded"),
}
"""Weights that will do, by network, the preferred ones first."""
SMALLEST = {"alex": 31, "vgg": 16, "squeeze": 17}
"""Side in pixels below which nothing is left of an image inside the network."""
Compare = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def heads(net: str) -> Path:
    """The file with LPIPS's linear heads, inside the ``lpips`` package.

    Raises:
        EnvironmentProblem: the package is not installed.
    """
    spec = find_spec("lpips")
    if spec is None or spec.origin is None:
        raise EnvironmentProblem("the package lpips is not installed; type: pip install lpips")
    return Path(spec.origin).parent / "weights" / "v0.1" / f"{net}.pth"


def build_lpips(net: str, trunk: Mapping[str, torch.Tensor]) -> nn.Module:
    """``lpips.LPIPS`` with its own heads on a given trunk; nothing is downloaded.

    Args:
        net: ``alex``, ``vgg`` or ``squeeze``.
        trunk: torchvision's state dict of that network; its classifier is not needed.

    Raises:
        EnvironmentProblem: the weights are not those of this network.
    """
    import lpips

    with torch.random.fork_rng(devices=[]), _quiet_torchvision():
        network: nn.Module = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    features = network.net
    assert isinstance(features, nn.Module)
    renamed = {f"features.{name.split('.', 1)[1]}": name for name in features.state_dict()}
    state = {renamed.get(name, name): value for name, value in trunk.items() if name.startswith("features.")}
    try:
        features.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise EnvironmentProblem(
            f"these are not the weights of LPIPS's {net} trunk; replace the file by {TRUNKS[net][0]} of the registry"
        ) from error
    return network.eval().requires_grad_(False)


@contextmanager
def _quiet_torchvision() -> Iterator[None]:
    """lpips builds its trunks with a parameter that torchvision has renamed."""
    with warnings.catch_warnings():
        for message in ("The parameter 'pretrained' is deprecated", "Arguments other than a weight enum or `None`"):
            warnings.filterwarnings("ignore", message=message, category=UserWarning)
        yield


@lru_cache(maxsize=1)
def _network(net: str, path: Path, sha256: str, device: str) -> nn.Module:
    return build_lpips(net, load_state(path)).to(device)


def lpips_distance(network: nn.Module, original: torch.Tensor, released: torch.Tensor) -> torch.Tensor:
    """LPIPS of one batch: uint8 RGB ``[B, 3, H, W]`` twice to ``[B]``; the network wants [-1, 1]."""
    distance: torch.Tensor = network(original.float() / 127.5 - 1, released.float() / 127.5 - 1)
    return distance.flatten()


def unit_distance(original: torch.Tensor, released: torch.Tensor) -> torch.Tensor:
    """Squared distance of unit-normalised feature maps: ``[B, C, h, w]`` twice to ``[B]``, mean over positions.

    0..4, and at most 2 where features are not negative; a position without any feature counts as the zero vector.
    """
    a, b = (maps / (maps.square().sum(1, keepdim=True).sqrt() + 1e-10) for maps in (original, released))
    return (a - b).square().sum(1).mean((1, 2))


def stage_distance(network: nn.Module, original: torch.Tensor, released: torch.Tensor) -> torch.Tensor:
    """Mean of ``unit_distance`` over the stages of a network: uint8 ``[B, 3, H, W]`` twice to ``[B]``."""
    before, after = (stages(network, images.float() / 255) for images in (original, released))
    return torch.stack([unit_distance(a, b) for a, b in zip(before, after, strict=True)]).mean(0)


def _compared(
    original: ImageSet, released: ImageSet, device: str, title: str, compare: Compare, referees: Referees
) -> torch.Tensor:
    """Distances of all pairs, float64 ``[N]``, in fixed batches."""
    found = []
    with referees.report(title, len(original)) as progress, inference():
        for before, after in zip(
            original.images.split(SCORING_BATCH), released.images.split(SCORING_BATCH), strict=True
        ):
            found.append(compare(before.to(device), after.to(device)).double().cpu())
            progress(len(before))
    return torch.cat(found).clone()


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Lpips:
    """Learned perceptual image patch similarity (LPIPS 0.1) between each image and its release."""

    net: NetName = "alex"

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return MetricCard(
            name=str(Spec("lpips", {"net": self.net})),
            version=1,
            title=f"LPIPS ({self.net})",
            group="quality",
            unit="1",
            higher_is_better=False,
            range=(0.0, None),
            definition=(
                f"LPIPS version 0.1 with the {self.net} trunk and its linear heads fitted to human judgements: RGB in "
                "[-1, 1], squared differences of unit-normalised feature maps, weighted, mean over positions, sum over "
                "layers; mean over images. The size of the images is not changed."
            ),
            source="Zhang et al. 2018, CVPR; package lpips 0.1.4",
            weights=self._weights(),
            calibration=(
                "lpips package called directly on the same pixels: within 1e-5 per image. Its example pairs ex_ref/ex_p0 "
                "and ex_ref/ex_p1 with the squeeze trunk rounded to fp16: 0.7112 and 0.1479."
            ),
        )

    def _weights(self) -> dict[str, str]:
        try:
            trunk, _, sha256 = first_located(TRUNKS[self.net])
            return {trunk: sha256, f"lpips-heads-{self.net}": sha256_file(heads(self.net))}
        except (EnvironmentProblem, OSError):
            return {}

    def missing(self) -> Missing | None:
        """Whether the trunk's weights are on this machine."""
        return missing(TRUNKS[self.net])

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean over images, one value per image."""
        name, smallest = self.card.name, SMALLEST[self.net]
        if min(original.size) < smallest:
            reason = f"images of {original.size[0]} x {original.size[1]} px are smaller than the {smallest} px it needs"
            return Scores(Score(metric=name, status="not-applicable", reason=reason, n=len(original)))
        try:
            _, path, sha256 = first_located(TRUNKS[self.net])
            network = _network(self.net, path, sha256, referees.device)
        except EnvironmentProblem as error:
            remedy = f"anonbench weights verify {TRUNKS[self.net][0]}"
            return Scores(Score(metric=name, status="unavailable", reason=str(error), remedy=remedy, n=len(original)))
        values = _compared(
            original, released, referees.device, self.card.title, lambda a, b: lpips_distance(network, a, b), referees
        )
        return mean_scores(name, values, original)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Perceptual:
    """Distance between each image and its release in the feature maps of the suite's recogniser; not LPIPS."""

    features: Literal["recogniser"] = "recogniser"

    @property
    def card(self) -> MetricCard:
        """The metric's card."""
        return MetricCard(
            name=str(Spec("perceptual", {"features": self.features})),
            version=1,
            title=f"perceptual ({self.features})",
            group="quality",
            unit="1",
            higher_is_better=False,
            range=(0.0, 4.0),
            definition=(
                "Squared difference of the feature maps of the suite's frozen recogniser, each position normalised to "
                "length 1, summed over channels; mean over positions, stages and images (at most 2 for features that "
                "are not negative). This is NOT LPIPS: it was never fitted to human judgements, it belongs to this "
                "suite's recogniser, and it compares within one suite only."
            ),
            source="form of Zhang et al. 2018, CVPR, without the linear heads",
            referees=("recogniser",),
            calibration="none against human judgement; identical images give exactly 0",
        )

    def score(self, original: ImageSet, released: ImageSet, referees: Referees) -> Scores:
        """Mean over images, one value per image."""
        name, recogniser = self.card.name, referees.recogniser
        if recogniser is None:
            reason = "the data have no identities, so the suite has no recogniser"
            return Scores(Score(metric=name, status="not-applicable", reason=reason, n=len(original)))
        network, device = recogniser.network, str(next(recogniser.network.parameters()).device)
        values = _compared(
            original, released, device, self.card.title, lambda a, b: stage_distance(network, a, b), referees
        )
        return mean_scores(name, values, original)
