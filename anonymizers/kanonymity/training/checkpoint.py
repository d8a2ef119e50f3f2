"""What a stopped training is taken up from: its state, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from anonymizers.kanonymity.training.trainer import Trainer
from benchmark.errors import UsageError
from benchmark.hashing import sha256_json
from benchmark.images import ImageSet

PACKAGE = Path(__file__).parents[1]
CODE = (
    *(f"generator/{name}.py" for name in ("encoder", "layers", "network", "pictures")),
    *(f"training/{name}.py" for name in ("batch", "discriminator", "losses", "recipe", "session", "trainer")),
)
"""Files that decide what a step computes. Not the whole folders: a new reader of files ends nobody's training of hours."""
OTHERS = {
    "identity": "belongs to a training on other photographs or with other settings",
    "code": "was written by another version of the training code",
}
"""What a mark that differs says of a checkpoint."""


def marks_of(trainer: Trainer, images: ImageSet) -> dict[str, str]:
    """Which training it is, by the name of what is marked; asked for once, before the first step.

    Code that is edited later is not the code that runs.
    """
    identity = [trainer.design.as_dict(), vars(trainer.recipe), images.content]
    code = {name: (PACKAGE / name).read_text(encoding="utf-8") for name in CODE}
    return {"identity": sha256_json(identity), "code": sha256_json(code)}


def write_checkpoint(trainer: Trainer, path: Path, marks: Mapping[str, str]) -> None:
    """Writes what a later run resumes from, whole or not at all; ``marks`` say what training it belongs to."""
    part = path.with_suffix(".part")
    torch.save({**marks, **trainer.state()}, part)
    part.replace(path)


def take_up(trainer: Trainer, path: Path, marks: Mapping[str, str]) -> None:
    """Continues where a checkpoint was written, if there is one.

    Raises:
        UsageError: it is damaged, or of another training.
    """
    if not path.is_file():
        return
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("no dictionary")
    except (RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        raise UsageError(f"{path} is damaged or no checkpoint: delete it first") from error
    for name, reason in OTHERS.items():
        if state.get(name) != marks[name]:
            raise UsageError(f"{path} {reason}: delete it first")
    trainer.resume(state)
