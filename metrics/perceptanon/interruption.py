"""The state of a training, kept in a file after every epoch and found again after an interruption."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from benchmark.errors import EnvironmentProblem
from benchmark.store import write_atomic
from metrics.perceptanon.networks import Judge


@dataclass(frozen=True)
class Epoch:
    """What one pass came to.

    Attributes:
        train_loss: mean over the training images, while they were learned.
        val_loss: of all validation images, afterwards.
        rate: learning rate of this pass.
    """

    train_loss: float
    val_loss: float
    rate: float


def best_epoch(history: Sequence[Epoch]) -> int:
    """Number of the first epoch with the lowest validation loss, counted from 0; losses that are NaN never win."""
    known = [number for number, epoch in enumerate(history) if not math.isnan(epoch.val_loss)]
    return min(known, key=lambda number: history[number].val_loss)


@dataclass
class State:
    """All that a training needs to go on.

    Attributes:
        optimiser: with its momenta.
        scheduler: of the learning rate.
        history: finished epochs.
        best: weights after the epoch with the lowest validation loss.
    """

    optimiser: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, torch.Tensor] | None = None

    @property
    def best_loss(self) -> float:
        """Lowest validation loss so far; infinite before there is one."""
        return min((epoch.val_loss for epoch in self.history if not math.isnan(epoch.val_loss)), default=math.inf)

    def note(self, epoch: Epoch, network: Judge) -> None:
        """Adds a finished epoch, and keeps its weights if it is the best."""
        if epoch.val_loss < self.best_loss:
            self.best = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        self.history.append(epoch)


def keep(network: Judge, state: State, file: Path | None, mark: str) -> None:
    """Writes the state, unless nobody wants it (``file`` None); ``mark`` says what is trained."""
    if file is None:
        return
    buffer = io.BytesIO()
    kept = {
        "mark": mark,
        "network": network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "scheduler": state.scheduler.state_dict(),
        "history": [asdict(epoch) for epoch in state.history],
        "best": state.best,
    }
    torch.save(kept, buffer)
    write_atomic(file, buffer.getvalue())


def resumed(network: Judge, state: State, file: Path | None, mark: str) -> State:
    """The kept state if there is one, put into ``network``, too; else ``state``.

    Raises:
        EnvironmentProblem: the file is damaged, or of a training with another ``mark``.
    """
    if file is None or not file.is_file():
        return state
    remedy = f"Delete {file} to start again"
    try:
        kept = torch.load(file, map_location="cpu", weights_only=True)  # never runs code from the file
        if kept["mark"] != mark:
            raise EnvironmentProblem(f"{file} is an unfinished training with other data or settings. {remedy}")
        network.load_state_dict(kept["network"])
        state.optimiser.load_state_dict(kept["optimiser"])
        state.scheduler.load_state_dict(kept["scheduler"])
        return replace(state, history=[Epoch(**epoch) for epoch in kept["history"]], best=kept["best"])
    except EnvironmentProblem:
        raise
    except Exception as error:
        raise EnvironmentProblem(f"{file} is not the state of a training ({type(error).__name__}). {remedy}") from error
