"""Training by the published recipe: all layers, no early stop, the epoch with the lowest validation loss wins.

After every epoch the state can be kept in a file, so that a training that was killed goes on to the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from benchmark.errors import UsageError
from benchmark.hashing import sha256_json, sha256_tensor
from benchmark.protocols import Progress, Report, quiet
from benchmark.seeding import key_of
from metrics.perceptanon.data import Examples, augmented, plain
from metrics.perceptanon.interruption import Epoch, State, keep, resumed
from metrics.perceptanon.networks import Judge

VALIDATION_BATCH = 64
Criterion = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults are those of the published code.

    Attributes:
        epochs: passes over the training images.
        batch: images per step.
        optimiser: ``sgd`` or ``adam``.
        rate: learning rate at the start.
        momentum: of SGD.
        weight_decay: L2 penalty.
        schedule: ``cosine`` to zero over all epochs, or ``step`` (times ``gamma`` every ``step_epochs`` epochs).
        step_epochs, gamma: of the ``step`` schedule.
        class_weights: weigh classes by N / n_c (classification only).
        independent_augmentation: move the two images of a pair differently, as published (HA2 only).
    """

    epochs: int = 200
    batch: int = 128
    optimiser: Literal["sgd", "adam"] = "sgd"
    rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["cosine", "step"] = "cosine"
    step_epochs: int = 10
    gamma: float = 0.1
    class_weights: bool = False
    independent_augmentation: bool = False


ADAM = Recipe(optimiser="adam", weight_decay=1e-4, schedule="step")
"""The published alternative."""


def class_weights(classes: torch.Tensor, count: int) -> torch.Tensor:
    """N / n_c per class, 1 for a class that does not occur: float32 ``[count]`` of int64 ``[N]``."""
    counts = torch.bincount(classes, minlength=count).float()
    return torch.where(counts > 0, len(classes) / counts.clamp(min=1), 1.0)


def build(
    study: str, backbone: str, granularity: str, task: str, seed: int, params: dict[str, Any] | None = None
) -> Judge:
    """A network whose random weights depend on ``seed`` alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Judge(study, backbone, granularity, task, params)


def train(
    network: Judge,
    training: Examples,
    validation: Examples,
    recipe: Recipe,
    seed: int,
    device: str = "cpu",
    report: Report = quiet,
    state_file: Path | None = None,
) -> list[Epoch]:
    """Trains ``network`` in place and restores its best epoch.

    Args:
        network: with its first weights; ends on the CPU, in evaluation mode, without gradients.
        training: what to learn from.
        validation: what chooses the epoch.
        recipe: how.
        seed: of order, augmentation and dropout.
        device: torch device name.
        report: shows progress.
        state_file: where the state is kept after every epoch, and found again after an interruption.

    Returns:
        All epochs.

    Raises:
        UsageError: nothing to learn from, a recipe that does not go with the task, or a training that came to nothing.
        EnvironmentProblem: ``state_file`` is damaged or belongs to another training.
    """
    _check(network, training, validation, recipe)
    network.to(device).train().requires_grad_(True)
    mark = _fingerprint(network, training, validation, recipe, seed)
    state = resumed(network, _fresh(network, recipe), state_file, mark)
    run = _Run(network, training, validation, recipe, _criterion(network, training, recipe, device), state, device)
    done, total = len(state.history), recipe.epochs
    with report(f"train {network.study} {network.task}", total * len(training)) as progress:
        progress(done * len(training))
        for number in range(done, total):
            state.note(run.epoch(int(key_of("perceptanon", seed, number)[0] >> 1), progress), network)
            keep(network, state, state_file, mark)
    if state.best is None:
        raise UsageError(f"the training did not converge within {total} epochs; lower --rate {recipe.rate:g}")
    network.load_state_dict(state.best)
    network.to("cpu").eval().requires_grad_(False)
    return state.history


def _check(network: Judge, training: Examples, validation: Examples, recipe: Recipe) -> None:
    if recipe.class_weights and network.task == "regression":
        raise UsageError(
            "class weights go with classes only; leave out --class-weights, or write --task classification"
        )
    if len(training) < 2 or not len(validation):
        raise UsageError(
            f"{len(training)} training and {len(validation)} validation images are too few; 2 and 1 at least"
        )
    if recipe.epochs < 1 or recipe.batch < 2:
        raise UsageError("a training takes at least 1 epoch and 2 images per batch; mend --epochs or --batch")


def _fresh(network: Judge, recipe: Recipe) -> State:
    weights = [value for value in network.parameters() if value.requires_grad]
    optimiser: torch.optim.Optimizer
    if recipe.optimiser == "adam":
        optimiser = torch.optim.Adam(weights, lr=recipe.rate, weight_decay=recipe.weight_decay)
    else:
        optimiser = torch.optim.SGD(weights, recipe.rate, recipe.momentum, weight_decay=recipe.weight_decay)
    if recipe.schedule == "step":
        return State(optimiser, torch.optim.lr_scheduler.StepLR(optimiser, recipe.step_epochs, recipe.gamma))
    return State(optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=recipe.epochs))


def _criterion(network: Judge, training: Examples, recipe: Recipe, device: str) -> Criterion:
    """Squared error, or cross-entropy with weights that are counted from the labels."""
    if network.task == "regression":
        return nn.MSELoss()
    weights = class_weights(training.targets, network.outputs).to(device) if recipe.class_weights else None
    return nn.CrossEntropyLoss(weights)


@dataclass(frozen=True, eq=False)
class _Run:
    """What all epochs share."""

    network: Judge
    training: Examples
    validation: Examples
    recipe: Recipe
    criterion: Criterion
    state: State
    device: str

    def epoch(self, seed: int, progress: Progress) -> Epoch:
        """One pass and its validation; all randomness comes from ``seed``, so that it can be repeated alone."""
        rate = float(self.state.optimiser.param_groups[0]["lr"])
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # dropout
            loss = self._pass(torch.Generator().manual_seed(seed), progress)
        self.state.scheduler.step()
        return Epoch(loss, validation_loss(self.network, self.validation, self.criterion), rate)

    def _pass(self, generator: torch.Generator, progress: Progress) -> float:
        """All steps; returns the mean loss."""
        self.network.train()
        count, total = len(self.training), torch.zeros((), device=self.device)
        for rows in _steps(torch.randperm(count, generator=generator), self.recipe.batch):
            loss = self.criterion(self._answers(rows, generator), self.training.targets[rows].to(self.device))
            self.state.optimiser.zero_grad()
            loss.backward()
            self.state.optimiser.step()
            total += loss.detach() * len(rows)
            progress(len(rows))
        return float(total) / count

    def _answers(self, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        independent = self.recipe.independent_augmentation
        answers: torch.Tensor = self.network(*augmented(self.training, rows, generator, independent, self.device))
        return answers


def _steps(order: torch.Tensor, batch: int) -> list[torch.Tensor]:
    """Rows per step; a single image left over joins the step before: there is no variance over one image."""
    parts = list(order.split(batch))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


@torch.inference_mode()
def validation_loss(network: Judge, examples: Examples, criterion: Criterion) -> float:
    """Loss over all examples at once, without augmentation, in evaluation mode."""
    network.eval()
    device = str(next(network.parameters()).device)
    rows = torch.arange(len(examples)).split(VALIDATION_BATCH)
    answers = torch.cat([network(*plain(examples, part, device)) for part in rows])
    return float(criterion(answers, examples.targets.to(device)))


def _fingerprint(network: Judge, training: Examples, validation: Examples, recipe: Recipe, seed: int) -> str:
    """What a training is, by content; the first weights count, because they may come from a file."""
    start = {name: sha256_tensor(value) for name, value in network.state_dict().items()}
    return sha256_json([training.content, validation.content, asdict(recipe), seed, network.study, network.task, start])
