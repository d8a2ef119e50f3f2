"""Features are computed once per batch of pixels and network, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from benchmark import features as module
from benchmark.features import FeatureNetwork, batches_of, features_of, recogniser_features
from benchmark.learning.classifier import SCORING_BATCH, Architecture, Classifier
from benchmark.learning.networks import embed
from benchmark.protocols import Progress, Referees
from benchmark.store import Store

CLASSES = ("a", "b")


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 24, 24), generator=generator, dtype=torch.uint8)


def recogniser(seed: int = 0) -> Classifier:
    architecture = Architecture("small-resnet", CLASSES, {"width": 4})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = architecture.build()
    return Classifier("recogniser", architecture, network.eval().requires_grad_(False), sha256=f"seed {seed}")


@dataclass
class Counted:
    """A real network that tells how many images went through it, and can be killed."""

    inner: FeatureNetwork
    dies_after: int = 1_000_000
    images: int = 0

    @property
    def network(self) -> FeatureNetwork:
        return FeatureNetwork(self.inner.name, self.inner.identity, self.inner.device, self.run)

    def run(self, images: torch.Tensor) -> torch.Tensor:
        if self.images >= self.dies_after:
            raise KeyboardInterrupt
        self.images += len(images)
        return self.inner.run(images)


@dataclass
class Told:
    """A report that remembers."""

    titles: list[tuple[str, int]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    @contextmanager
    def __call__(self, title: str, total: int) -> Iterator[Progress]:
        self.titles.append((title, total))
        yield self.steps.append


@pytest.fixture
def counted() -> Counted:
    return Counted(recogniser_features(recogniser()))


@pytest.fixture(params=["store", "memory"])
def referees(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Referees:
    monkeypatch.setattr(module, "_memo", type(module._memo)())
    return Referees(store=Store(tmp_path) if request.param == "store" else None, report=Told())


@pytest.fixture
def stored(tmp_path: Path) -> Referees:
    return Referees(store=Store(tmp_path))


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "features").iterdir())


def test_they_are_the_network_s_own(counted: Counted, referees: Referees) -> None:
    images = pictures(SCORING_BATCH + 7)
    found = features_of(counted.network, images, referees)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert not found.is_inference()
    assert torch.allclose(found, embed(recogniser().network, images.float() / 255), atol=1e-6)


def test_second_call_does_not_run_the_network(counted: Counted, referees: Referees) -> None:
    images = pictures(2 * SCORING_BATCH + 3)
    first = features_of(counted.network, images, referees)
    second = features_of(counted.network, images, referees)
    assert counted.images == len(images)
    assert torch.equal(first, second)


def test_other_weights_and_other_pixels_are_computed(counted: Counted, referees: Referees) -> None:
    images = pictures(5)
    mine = features_of(counted.network, images, referees)
    other = Counted(recogniser_features(recogniser(seed=1)))
    assert not torch.allclose(features_of(other.network, images, referees), mine)
    changed = images.clone()
    changed[0, 0, 0, 0] ^= 1
    features_of(counted.network, changed, referees)
    assert (counted.images, other.images) == (10, 5)


def test_progress_only_where_something_is_computed(counted: Counted, referees: Referees) -> None:
    told = referees.report
    assert isinstance(told, Told)
    features_of(counted.network, pictures(SCORING_BATCH), referees)
    features_of(counted.network, pictures(SCORING_BATCH), referees)
    assert told.titles == [("recogniser features", SCORING_BATCH)]
    both = torch.cat([pictures(SCORING_BATCH), pictures(10, seed=1)])
    features_of(counted.network, both, referees)
    assert told.titles[1:] == [("recogniser features", 10)]
    assert sum(told.steps) == SCORING_BATCH + 10


def test_a_killed_run_goes_on_where_it_ended(stored: Referees) -> None:
    images = pictures(3 * SCORING_BATCH)
    killed = Counted(recogniser_features(recogniser()), dies_after=2 * SCORING_BATCH)
    with pytest.raises(KeyboardInterrupt):
        features_of(killed.network, images, stored)
    again = Counted(recogniser_features(recogniser()))
    found = features_of(again.network, images, stored)
    assert again.images == SCORING_BATCH
    assert torch.allclose(found, embed(recogniser().network, images.float() / 255), atol=1e-6)


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("damage", [flipped, lambda data: data[:-9], lambda _: b"", lambda _: b"<html></html>"])
def test_a_damaged_file_is_computed_again(
    counted: Counted, stored: Referees, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    images = pictures(9)
    before = features_of(counted.network, images, stored)
    (file,) = files(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    assert torch.equal(features_of(counted.network, images, stored), before)
    assert counted.images == 18
    features_of(counted.network, images, stored)
    assert counted.images == 18


def test_streams_batch_by_batch(counted: Counted, stored: Referees) -> None:
    batches = batches_of(counted.network, pictures(3 * SCORING_BATCH), stored)
    next(batches)
    assert counted.images == SCORING_BATCH
    assert [len(batch) for batch in batches] == [SCORING_BATCH] * 2


def test_memory_is_bounded(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_memo", type(module._memo)())
    monkeypatch.setattr(module, "MEMO", 2)
    features_of(counted.network, pictures(5 * SCORING_BATCH), Referees())
    assert len(module._memo) == 2


def test_a_network_must_return_one_row_per_image(stored: Referees) -> None:
    broken = FeatureNetwork("broken", "x", "cpu", lambda images: images.float().mean((1, 2, 3)))
    with pytest.raises(ValueError, match="one row per image"):
        features_of(broken, pictures(3), stored)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused_and_not_kept(stored: Referees, tmp_path: Path, value: float) -> None:
    broken = FeatureNetwork("broken", "x", "cpu", lambda images: images.float().mean((2, 3)) * value)
    with pytest.raises(ValueError, match="broken features are not finite"):
        features_of(broken, pictures(3), stored)
    assert not (tmp_path / "features").exists()
