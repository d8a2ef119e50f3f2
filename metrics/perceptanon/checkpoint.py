"""A trained network on disk (safetensors, settings in a JSON file beside it) and in use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.decode import one_line
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.hashing import sha256_bytes, sha256_file
from benchmark.store import write_atomic, write_json
from metrics.perceptanon.data import SIZE, Examples, normalised, plain, squashed
from metrics.perceptanon.labels import Granularity, Task, human_scale
from metrics.perceptanon.networks import Judge, authors_task, from_authors
from metrics.perceptanon.table import Study

BATCH = 64
"""Images per forward pass; fixed, so that scores do not depend on anybody's batch size."""

FORMAT = 1
"""Of the JSON file."""


class Settings(BaseModel):
    """What a checkpoint is, and what it was made from.

    Attributes:
        study: ``HA1`` (sees the released image) or ``HA2`` (sees both).
        backbone: name of the backbone.
        params: of the backbone.
        granularity: what it predicts, see ``labels``.
        task: ``regression`` or ``classification``.
        size: side in pixels of what it sees.
        trained_on: name of the data.
        panel: who gave the scores; a simulated panel is never to be taken for people.
        split: which rows it was trained on; empty if unknown.
        paper_splits: whether variants of one photograph lay in several parts of the split.
        start: ``imagenet`` or ``none``.
        seed: of the training.
        epochs: how many were trained.
        val_loss: lowest validation loss, that of this checkpoint; None if unknown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: Study
    backbone: str
    params: dict[str, int] = Field(default_factory=dict)
    granularity: Granularity
    task: Task
    size: int = Field(ge=1)
    trained_on: str
    panel: Literal["human", "simulated"]
    split: str
    paper_splits: bool
    start: Literal["imagenet", "none"]
    seed: int
    epochs: int
    val_loss: float | None

    @property
    def title(self) -> str:
        """A name for files, which keeps the usual variants of one study apart."""
        rule = ["paper"] if self.paper_splits else []
        panel = ["simulated"] if self.panel == "simulated" else []
        return "-".join(
            [*panel, self.study, self.split, *rule, self.granularity, self.task, self.backbone, f"seed{self.seed}"]
        )


@dataclass(frozen=True, eq=False)
class Perception:
    """A network that no longer learns.

    Attributes:
        network: in evaluation mode, parameters without gradients.
        settings: what it is.
        sha256: of its file.
    """

    network: Judge
    settings: Settings
    sha256: str

    @torch.inference_mode()
    def outputs(self, original: torch.Tensor | None, released: torch.Tensor) -> torch.Tensor:
        """What the network says about images of any size.

        Args:
            original: uint8 ``[N, 3, H, W]``; HA1 does not look at it, and None will do.
            released: uint8 ``[N, 3, H', W']``.

        Returns:
            float32 ``[N]`` in [0, 1] for regression, logits ``[N, K]`` for classification, on the CPU.

        Raises:
            UsageError: HA2 was given no originals, or not as many as released images.
        """
        pairs = self.pairs(original, released)
        return _joined(
            [self.network(self.seen(first), self.seen(second)).cpu() for first, second in pairs], self.network
        )

    def pairs(
        self, original: torch.Tensor | None, released: torch.Tensor
    ) -> list[tuple[torch.Tensor | None, torch.Tensor]]:
        """Batches; originals only where they are looked at."""
        parts = list(released.split(BATCH)) if len(released) else []
        if self.settings.study == "HA1":
            return [(None, part) for part in parts]
        if original is None:
            raise UsageError("this checkpoint compares with the originals (HA2); hand them over with --original")
        if len(original) != len(released):
            raise UsageError(f"{len(original)} originals for {len(released)} released images; give one for each")
        return list(zip(original.split(BATCH), parts, strict=True)) if parts else []

    def seen(self, images: torch.Tensor | None) -> torch.Tensor | None:
        """Images as the network sees them: squashed and normalised, float32 ``[N, 3, S, S]`` on its device."""
        if images is None:
            return None
        return normalised(squashed(images.cpu(), self.settings.size).to(next(self.network.parameters()).device))

    @torch.inference_mode()
    def outputs_of(self, examples: Examples) -> torch.Tensor:
        """As ``outputs``, of examples that were read at the right size."""
        device = str(next(self.network.parameters()).device)
        rows = torch.arange(len(examples)).split(BATCH) if len(examples) else ()
        return _joined([self.network(*plain(examples, part, device)).cpu() for part in rows], self.network)

    def answers(self, outputs: torch.Tensor) -> NDArray[np.float64]:
        """Outputs as one number per image, to be compared with ``labels.targets``: float64 ``[N]``."""
        values = outputs.argmax(1) if self.settings.task == "classification" else outputs
        return values.double().numpy()

    def scores(self, original: torch.Tensor | None, released: torch.Tensor) -> NDArray[np.float64]:
        """Scores of images; see ``outputs`` for arguments and errors.

        Returns:
            float64 ``[N]``: 1 (everybody sees who or what it is) to 10 (anonymous) of a checkpoint for the mean score;
            the class of any other, with fractions for regression.
        """
        answers = self.answers(self.outputs(original, released))
        return human_scale(answers, self.settings.granularity, self.settings.task)


def _joined(parts: list[torch.Tensor], network: Judge) -> torch.Tensor:
    return torch.cat(parts) if parts else torch.zeros((0,) if network.task == "regression" else (0, 1))


def settings_file(path: Path) -> Path:
    """The JSON file beside a checkpoint."""
    return path.with_suffix(".json")


def save(path: Path, network: Judge, settings: Settings, half: bool = False) -> str:
    """Writes a checkpoint and its settings.

    Args:
        path: ends in ``.safetensors``.
        network: to be written.
        settings: what it is.
        half: write float16, which halves the file.

    Returns:
        Its sha256.
    """
    from safetensors.torch import save as serialise

    state = {name: _shrunk(value.detach().cpu(), half).contiguous() for name, value in network.state_dict().items()}
    data = serialise(state, metadata={"settings": _canonical(settings)})
    sha256 = sha256_bytes(data)
    write_atomic(path, data)
    write_json(settings_file(path), {"format": FORMAT, "sha256": sha256, **settings.model_dump()})
    return sha256


def _shrunk(value: torch.Tensor, half: bool) -> torch.Tensor:
    return value.half() if half and value.is_floating_point() else value


def _canonical(settings: Settings) -> str:
    return json.dumps(settings.model_dump(), sort_keys=True)


def load(path: Path, device: str = "cpu", sha256: str | None = None) -> Perception:
    """Reads a checkpoint, after checking its hash.

    Args:
        path: the ``.safetensors`` file; its ``.json`` lies beside it.
        device: torch device name.
        sha256: what the hash must be, if it is pinned.

    Raises:
        UsageError: there is no such file.
        EnvironmentProblem: file and settings do not belong together, or are not what was pinned.
    """
    if not path.is_file():
        raise UsageError(f"{one_line(path)} does not exist; train it with: anonbench perceptanon train")
    settings, written = _settings(settings_file(path))
    found = sha256_file(path)
    if found != written or sha256 not in (None, found):
        raise EnvironmentProblem(
            f"{path} has sha256 {found}, not {sha256 if found == written else written}; restore the file, or train again"
        )
    network = Judge(settings.study, settings.backbone, settings.granularity, settings.task, settings.params)
    _restore(network, settings, path)
    return Perception(network.eval().requires_grad_(False).to(device), settings, found)


def _settings(file: Path) -> tuple[Settings, str]:
    """Settings and hash from the JSON file."""
    name = one_line(file)
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        if content.pop("format") != FORMAT:
            raise EnvironmentProblem(f"{name} is of another version of the harness; train again")
        sha256 = content.pop("sha256")
        return Settings.model_validate(content), str(sha256)
    except FileNotFoundError as error:
        raise EnvironmentProblem(f"{name} is missing; keep it beside the checkpoint") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise EnvironmentProblem(
            f"{name}: {where}: {first['msg'].lower()}; restore the file, or train again"
        ) from error
    except KeyError as error:
        raise EnvironmentProblem(
            f"{name}: {error.args[0]}: field required; restore the file, or train again"
        ) from error
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise EnvironmentProblem(
            f"{name} is not the settings of a checkpoint; restore the file, or train again"
        ) from error


def _restore(network: Judge, settings: Settings, path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            same = (file.metadata() or {}).get("settings") == _canonical(settings)
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        network.load_state_dict(
            {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        )
    except (SafetensorError, RuntimeError) as error:
        raise EnvironmentProblem(f"{path} does not hold the network of its settings; train again") from error
    if not same:
        raise EnvironmentProblem(f"{settings_file(path)} was changed after the training; restore it, or train again")


def load_authors(path: Path, task: str | None = None, device: str = "cpu") -> Perception:
    """Reads a checkpoint of the authors; see ``networks.from_authors``.

    Args:
        path: a PyTorch file.
        task: what it was trained for; by default its last layer says.
        device: torch device name.
    """
    network = from_authors(path, task or authors_task(path))
    settings = Settings(
        study="HA1", backbone="resnet50", granularity="mean" if network.task == "regression" else "labels10",
        task="regression" if network.task == "regression" else "classification", size=SIZE, trained_on="perceptanon",
        panel="human", split="all", paper_splits=True, start="imagenet", seed=0, epochs=200, val_loss=None,
    )  # fmt: skip
    return Perception(network.to(device), settings, sha256_file(path))


def open_perception(path: Path, device: str = "cpu") -> Perception:
    """Reads a checkpoint of ours (``.safetensors``) or of the authors (any other ending)."""
    if path.suffix == ".safetensors":
        return load(path, device)
    if not path.is_file():
        raise UsageError(f"{one_line(path)} does not exist; name a checkpoint, as in HA1-all.safetensors")
    return load_authors(path, device=device)
