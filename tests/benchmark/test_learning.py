"""The small networks, their file format and the training loop."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.hashing import sha256_bytes
from benchmark.learning.classifier import SCORING_BATCH, Architecture, Classifier, load_classifier, serialise
from benchmark.learning.networks import SmallResNet, build_network
from benchmark.learning.training import MTF_RECIPE, Recipe, augment, train, validation_loss

COLOURS = ("red", "green", "blue")
SMALL = Architecture("small-resnet", COLOURS, {"width": 4})
QUICK = Recipe(epochs=4, batch=16, rate=1e-2)
REMEDY = "Type this."


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Training is the same bytes under the same number of threads."""
    torch.set_num_threads(1)


def coloured(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise in which one colour is a little brighter: easy, but not without learning."""
    generator = np.random.default_rng(seed)
    targets = torch.from_numpy(generator.integers(0, 3, count))
    images = generator.integers(0, 200, (count, 3, 16, 16))
    images[np.arange(count), targets.numpy()] += 55
    return torch.from_numpy(images.astype(np.uint8)), targets


def trained(recipe: Recipe = QUICK, seed: int = 5, count: int = 160) -> nn.Module:
    torch.manual_seed(seed)
    return train(SMALL.build(), *coloured(count), recipe, seed)


def as_classifier(network: nn.Module) -> Classifier:
    return Classifier("colours", SMALL, network, sha256="")


def state_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.set_num_threads(1)
    return trained()


@pytest.fixture
def weights(network: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "colours.safetensors"
    path.write_bytes(serialise(SMALL, network))
    return path


def test_training_learns_a_planted_task(network: nn.Module) -> None:
    images, targets = coloured(300, seed=1)
    assert float((as_classifier(network).predictions(images) == targets).double().mean()) > 0.95


def test_training_is_deterministic_under_a_seed(network: nn.Module) -> None:
    assert same(state_of(trained()), state_of(network))
    assert not same(state_of(trained(seed=6)), state_of(network))


def test_trained_network_no_longer_learns(network: nn.Module) -> None:
    assert not network.training
    assert all(not value.requires_grad and value.grad is None for value in network.parameters())


def test_recogniser_has_gradients_towards_the_image(network: nn.Module) -> None:
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    network(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_progress_counts_every_image_of_every_epoch() -> None:
    told: list[int] = []
    train(SMALL.build(), *coloured(20), dataclasses.replace(QUICK, epochs=3), 0, progress=told.append)
    assert told == [16, 4] * 3


def test_small_data_sets_get_their_steps() -> None:
    told: list[int] = []
    recipe = dataclasses.replace(QUICK, epochs=1, min_steps=7)
    train(SMALL.build(), *coloured(20), recipe, 0, progress=told.append)
    assert len(told) == 8


def test_a_last_step_of_one_image_does_not_break_training() -> None:
    train(SMALL.build(), *coloured(17), dataclasses.replace(QUICK, epochs=1), 0)


class OneNumber(nn.Module):
    """Logits ``(w, 0)`` whatever the image: the loss on class 0 falls as ``w`` grows."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.weight, torch.zeros(())]).expand(len(images), 2)


PLAIN = dataclasses.replace(MTF_RECIPE, rate=0.5, batch=4, step_epochs=1000)


def one_class(label: int, count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(count, 3, 2, 2, dtype=torch.uint8), torch.full((count,), label)


def test_early_stop_keeps_the_best_weights() -> None:
    told: list[int] = []
    network = train(OneNumber(-1.0), *one_class(0), PLAIN, 0, validation=one_class(1), progress=told.append)
    assert len(told) == 1 + MTF_RECIPE.patience
    assert float(network.weight) == pytest.approx(-0.5, abs=1e-4)


def test_training_goes_on_while_the_validation_gets_better() -> None:
    told: list[int] = []
    recipe = dataclasses.replace(PLAIN, epochs=12)
    train(OneNumber(), *one_class(0), recipe, 0, validation=one_class(0), progress=told.append)
    assert len(told) == 12


def test_validation_loss_is_the_mean_cross_entropy() -> None:
    images, targets = torch.zeros(5, 3, 2, 2, dtype=torch.uint8), torch.tensor([0, 0, 0, 1, 1])
    expected = (3 * np.log1p(np.exp(-2.0)) + 2 * np.log1p(np.exp(2.0))) / 5
    assert validation_loss(OneNumber(2.0), images, targets, batch=2) == pytest.approx(expected, rel=1e-6)


def rates_of(recipe: Recipe, epochs: int) -> list[float]:
    """Learning rate per epoch of one step, seen from outside: Adam's step on a constant gradient is the rate."""
    moved = []
    for length in range(epochs + 1):
        network = OneNumber(-20.0)
        if length:
            train(network, *one_class(0), dataclasses.replace(recipe, epochs=length), 0)
        moved.append(float(network.weight.detach()))
    return [later - earlier for earlier, later in itertools.pairwise(moved)]


def test_step_schedule_multiplies_the_rate() -> None:
    recipe = dataclasses.replace(MTF_RECIPE, rate=0.5, step_epochs=3, gamma=0.1)
    assert rates_of(recipe, 7) == pytest.approx([0.5] * 3 + [0.05] * 3 + [0.005], rel=0.02)


def test_recipe_of_mtf_is_the_published_one() -> None:
    published = {"epochs": 1000, "batch": 16, "rate": 1e-5, "schedule": "step", "step_epochs": 20, "gamma": 0.001}
    augmentation = {"smoothing": 0, "shift": 0, "zoom": 0, "turn": 0, "gain": 0, "flip": False, "patience": 5}
    found = dataclasses.asdict(MTF_RECIPE)
    assert {name: found[name] for name in published | augmentation} == published | augmentation


def test_recipe_without_augmentation_leaves_the_images_alone() -> None:
    images = torch.rand(3, 3, 8, 8)
    assert torch.equal(augment(images, MTF_RECIPE, torch.Generator().manual_seed(0)), images)


def test_flip_mirrors_some_images_and_leaves_the_others() -> None:
    recipe = dataclasses.replace(MTF_RECIPE, flip=True)
    images = torch.rand(40, 3, 8, 8)
    made = augment(images, recipe, torch.Generator().manual_seed(0))
    mirrored = [torch.allclose(one, other.flip(2), atol=1e-5) for one, other in zip(made, images, strict=True)]
    kept = [torch.allclose(one, other, atol=1e-5) for one, other in zip(made, images, strict=True)]
    assert all(one != other for one, other in zip(mirrored, kept, strict=True))
    assert 8 < sum(mirrored) < 32


def test_shift_moves_by_at_most_its_share_of_the_side() -> None:
    recipe = dataclasses.replace(MTF_RECIPE, shift=0.25)
    images = torch.arange(64.0).expand(200, 3, 64, 64) / 63
    moved = (augment(images, recipe, torch.Generator().manual_seed(0)) - images)[:, 0, 32, 32] * 63
    assert 14 < float(moved.abs().max()) <= 16.01


def test_augmentation_keeps_range_and_shape_and_follows_its_generator() -> None:
    images = torch.rand(5, 3, 12, 12)
    one, other = (augment(images, Recipe(), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, other)
    assert one.shape == images.shape
    assert 0 <= float(one.min()) <= float(one.max()) <= 1


@pytest.mark.parametrize(("name", "classes", "millions"), [("convnext-base", 240, 87.8)])
def test_published_architecture_has_its_number_of_parameters(name: str, classes: int, millions: float) -> None:
    with torch.device("meta"):
        network = build_network(name, classes)
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("side", [16, 33, 64])
def test_small_network_takes_any_size(side: int) -> None:
    network = SmallResNet(7, width=4).eval()
    images = torch.rand(2, 3, side, side)
    assert tuple(network(images).shape) == (2, 7)
    assert tuple(network.embed(images).shape) == (2, 20)


def test_unknown_architecture_is_guessed() -> None:
    with pytest.raises(UsageError, match="Did you mean 'small-resnet'"):
        build_network("small-resnets", 2)


def test_predictions_of_a_set_are_those_of_its_images(network: nn.Module) -> None:
    images, _ = coloured(2 * SCORING_BATCH + 3, seed=2)
    together = as_classifier(network).predictions(images)
    alone = [int(as_classifier(network).predictions(image[None])[0]) for image in images]
    assert together.tolist() == alone


def test_logits_are_kept_by_content(network: nn.Module) -> None:
    classifier, (images, _) = as_classifier(network), coloured(3)
    first = classifier.logits(images)
    assert classifier.logits(images.clone()) is first
    assert classifier.logits(images.flip(0)) is not first


def test_no_images_have_no_predictions(network: nn.Module) -> None:
    assert as_classifier(network).predictions(torch.zeros(0, 3, 16, 16, dtype=torch.uint8)).tolist() == []


def test_file_brings_back_the_network(weights: Path, network: nn.Module) -> None:
    loaded = load_classifier("colours", weights, sha256=sha256_bytes(weights.read_bytes()))
    images, _ = coloured(50, seed=3)
    assert loaded.architecture == SMALL
    assert loaded.classes == COLOURS
    assert loaded.sha256 == sha256_bytes(weights.read_bytes())
    assert torch.allclose(loaded.logits(images), as_classifier(network).logits(images), atol=0.05)
    assert not loaded.network.training
    assert not any(value.requires_grad for value in loaded.network.parameters())


def test_file_of_a_loaded_network_is_the_same_file(weights: Path) -> None:
    loaded = load_classifier("colours", weights)
    assert serialise(loaded.architecture, loaded.network) == weights.read_bytes()


def test_weights_of_another_hash_are_an_environment_problem(weights: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="weights of colours are not the pinned ones") as caught:
        load_classifier("colours", weights, sha256="0" * 64, remedy=REMEDY)
    assert str(caught.value).endswith(REMEDY)


def with_header(header: object) -> bytes:
    return save({"head.bias": torch.zeros(3).half()}, metadata={"architecture": json.dumps(header)})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage that is no weights file",
        save({"a": torch.zeros(1)}),
        save({"a": torch.zeros(1)}, metadata={"architecture": "{"}),
        with_header({"name": "small-resnet"}),
        with_header({"name": "nobody-knows", "classes": ["a"], "params": {}}),
        with_header({"name": "small-resnet", "classes": ["a"], "params": {"depth": 3}}),
        with_header({"name": "small-resnet", "classes": ["a", "b", "c"], "params": {"width": 4}}),
    ],
    ids=[
        "empty",
        "garbage",
        "no header",
        "bad header",
        "half a header",
        "unknown",
        "other parameters",
        "other weights",
    ],
)
def test_file_that_is_no_network_is_an_environment_problem(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    with pytest.raises(EnvironmentProblem, match="weights of colours") as caught:
        load_classifier("colours", path, remedy=REMEDY)
    assert str(caught.value).endswith(REMEDY)
    assert "\n" not in str(caught.value)


def test_missing_weights_are_an_environment_problem(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="No such file") as caught:
        load_classifier("colours", tmp_path / "absent", remedy=REMEDY)
    assert str(caught.value).endswith(REMEDY)
