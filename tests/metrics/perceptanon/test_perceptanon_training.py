"""Training on SYNTHETIC scores: it learns, keeps the best epoch, repeats itself, and survives being killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.protocols import Progress, Report
from metrics.perceptanon import training as module
from metrics.perceptanon.data import Examples, plain
from metrics.perceptanon.interruption import Epoch, best_epoch
from metrics.perceptanon.networks import Judge
from metrics.perceptanon.training import ADAM, Recipe, build, class_weights, train

SHORT = Recipe(epochs=3, batch=8)


def masked(count: int, study: str, side: int = 24, seed: int = 0, classes: bool = False) -> Examples:
    """Pictures with a black square; the synthetic score is the square of its size."""
    draw = np.random.default_rng(seed)
    sizes = np.linspace(2, side - 2, count).round().astype(int)
    originals = draw.integers(90, 220, (count, 3, side, side), dtype=np.uint8)
    released = originals.copy()
    for image, size in zip(released, sizes, strict=True):
        image[:, :size, :size] = 0
    bank = torch.from_numpy(np.concatenate([released, originals]))
    shares = (sizes / side) ** 2
    targets = torch.from_numpy((shares > 0.3).astype(np.int64)) if classes else torch.from_numpy(shares).float()
    original = torch.arange(count, 2 * count) if study == "HA2" else None
    return Examples(bank, original, torch.arange(count), targets)


def small(study: str = "HA1", task: str = "regression", seed: int = 0, width: int = 4) -> Judge:
    granularity = "mean" if task == "regression" else "binary"
    return build(study, "small-resnet", granularity, task, seed, {"width": width})


def states_equal(one: Judge, two: Judge) -> bool:
    other = two.state_dict()
    return all(torch.equal(value, other[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize("study", ["HA1", "HA2"])
def test_learns_the_size_of_a_mask(study: str) -> None:
    examples = masked(32, study)
    network = small(study, width=8)
    train(network, examples, examples, Recipe(epochs=40, batch=8, rate=0.05), seed=0)
    with torch.inference_mode():
        answers = network(*plain(examples, torch.arange(32), "cpu"))
    assert spearmanr(answers.numpy(), examples.targets.numpy()).statistic > 0.95


def test_an_epoch_without_a_loss_is_never_the_best() -> None:
    losses = [float("nan"), 3.0, 2.0, float("nan"), 2.0]
    assert best_epoch([Epoch(0.0, loss, 0.1) for loss in losses]) == 2


def test_the_best_epoch_is_restored_and_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    losses, seen = iter([0.9, 0.2, 0.5, 7.0]), []

    def planted(network: Judge, examples: Examples, criterion: object) -> float:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        return next(losses)

    monkeypatch.setattr(module, "validation_loss", planted)
    network, examples = small(), masked(16, "HA1")
    history = train(network, examples, examples, replace(SHORT, epochs=4), seed=0)
    assert [epoch.val_loss for epoch in history] == [0.9, 0.2, 0.5, 7.0]
    assert all(torch.equal(value, seen[1][name]) for name, value in network.state_dict().items())
    assert not torch.equal(network.state_dict()["backbone.head.weight"], seen[3]["backbone.head.weight"])


def test_the_same_seed_gives_the_same_network_and_another_one_does_not() -> None:
    examples = masked(16, "HA2")
    networks = [small("HA2") for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        torch.rand(seed)  # the global generator does not matter
        train(network, examples, examples, SHORT, seed)
    assert states_equal(networks[0], networks[1])
    assert not states_equal(networks[0], networks[2])


def test_training_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    train(small(), masked(8, "HA1"), masked(8, "HA1"), SHORT, seed=0)
    assert torch.equal(torch.rand(1), expected)


class Killed(Exception):
    """Stands in for the end of the process."""


def killer(after: int) -> Report:
    """A report that raises after so many images."""

    @contextmanager
    def report(title: str, total: int) -> Iterator[Progress]:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if done > after:
                raise Killed

        yield advance

    return report


@pytest.mark.parametrize("recipe", [replace(SHORT, epochs=5), replace(ADAM, epochs=5, batch=8, step_epochs=2)])
def test_a_killed_training_goes_on_to_the_same_result(tmp_path: Path, recipe: Recipe) -> None:
    examples, state = masked(16, "HA2"), tmp_path / "state"
    undisturbed = small("HA2")
    history = train(undisturbed, examples, examples, recipe, seed=4)
    with pytest.raises(Killed):
        train(small("HA2"), examples, examples, recipe, 4, report=killer(16 * 2 + 9), state_file=state)
    resumed = small("HA2")
    assert train(resumed, examples, examples, recipe, 4, state_file=state) == history
    assert states_equal(undisturbed, resumed)


def test_dropout_is_repeated_after_a_kill(tmp_path: Path) -> None:
    def network() -> Judge:
        made = small()
        made.head = nn.Dropout(0.5)
        return made

    examples, state = masked(16, "HA1"), tmp_path / "state"
    one, two = network(), network()
    history = train(one, examples, examples, SHORT, seed=0)
    with pytest.raises(Killed):
        train(network(), examples, examples, SHORT, 0, report=killer(20), state_file=state)
    assert train(two, examples, examples, SHORT, 0, state_file=state) == history


def test_a_state_of_another_training_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    examples, state = masked(16, "HA1"), tmp_path / "state"
    train(small(), examples, examples, SHORT, 0, state_file=state)
    for network, recipe, seed in (
        (small(), SHORT, 1),
        (small(), replace(SHORT, rate=1.0), 0),
        (small(seed=9), SHORT, 0),
    ):
        with pytest.raises(EnvironmentProblem, match=r"with other data or settings\. Delete .* to start again"):
            train(network, examples, examples, recipe, seed, state_file=state)
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(EnvironmentProblem, match="is not the state of a training"):
        train(small(), examples, examples, SHORT, 0, state_file=state)


def test_schedules() -> None:
    examples = masked(8, "HA1")
    cosine = train(small(), examples, examples, replace(SHORT, epochs=4), 0)
    assert [epoch.rate for epoch in cosine] == pytest.approx([0.01, 0.0085355, 0.005, 0.0014645], rel=1e-4)
    step = train(small(), examples, examples, replace(ADAM, epochs=3, batch=8, step_epochs=2), 0)
    assert [epoch.rate for epoch in step] == pytest.approx([0.01, 0.01, 0.001])


def test_the_defaults_are_the_published_ones() -> None:
    expected = ("sgd", 0.01, 0.9, 0.0, "cosine", 128, 200)
    recipe = Recipe()
    found = (recipe.optimiser, recipe.rate, recipe.momentum, recipe.weight_decay, recipe.schedule)
    assert (*found, recipe.batch, recipe.epochs) == expected
    assert (ADAM.optimiser, ADAM.weight_decay, ADAM.schedule, ADAM.step_epochs, ADAM.gamma) == (
        "adam", 1e-4, "step", 10, 0.1,
    )  # fmt: skip


def test_class_weights_are_n_over_n_c_and_1_for_absent_classes() -> None:
    assert class_weights(torch.tensor([0, 0, 0, 2]), 4).tolist() == pytest.approx([4 / 3, 1, 4, 1])


def test_classification_learns_with_class_weights() -> None:
    examples = masked(24, "HA1", classes=True)
    network = small(task="classification", width=8)
    train(network, examples, examples, Recipe(epochs=25, batch=8, rate=0.03, class_weights=True), 0)
    with torch.inference_mode():
        guesses = network(*plain(examples, torch.arange(24), "cpu")).argmax(1)
    assert (guesses == examples.targets).float().mean() > 0.9


def test_class_weights_do_not_go_with_regression() -> None:
    examples = masked(8, "HA1")
    with pytest.raises(UsageError, match="class weights go with classes only"):
        train(small(), examples, examples, replace(SHORT, class_weights=True), 0)


def test_too_little_to_learn_from() -> None:
    with pytest.raises(UsageError, match="1 training and 8 validation images are too few"):
        train(small(), masked(1, "HA1"), masked(8, "HA1"), SHORT, 0)
    with pytest.raises(UsageError, match="at least 1 epoch"):
        train(small(), masked(8, "HA1"), masked(8, "HA1"), replace(SHORT, epochs=0), 0)


def test_a_training_that_diverges_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "validation_loss", lambda *_: float("nan"))
    with pytest.raises(UsageError, match=r"did not converge within 3 epochs; lower --rate 0\.01"):
        train(small(), masked(8, "HA1"), masked(8, "HA1"), SHORT, 0)


def test_a_single_image_left_over_joins_the_step_before() -> None:
    examples = masked(9, "HA1")
    assert len(train(small(), examples, examples, SHORT, 0)) == 3


def test_progress_counts_every_image() -> None:
    told: list[int] = []

    @contextmanager
    def report(title: str, total: int) -> Iterator[Progress]:
        assert total == 3 * 16
        yield told.append

    examples = masked(16, "HA1")
    history = train(small(), examples, examples, SHORT, 0, report=report)
    assert sum(told) == 48
    assert isinstance(history[0], Epoch)
