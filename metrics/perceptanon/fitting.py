"""From a study to a checkpoint and its test: what the commands ``train`` and ``evaluate`` do."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmark.errors import UsageError
from benchmark.protocols import Report, quiet
from benchmark.store import write_atomic
from metrics.perceptanon.checkpoint import Perception, Settings, save
from metrics.perceptanon.data import SIZE, load_examples
from metrics.perceptanon.evaluation import Evaluation, evaluate
from metrics.perceptanon.interruption import Epoch, best_epoch
from metrics.perceptanon.labels import check_target
from metrics.perceptanon.networks import Judge, backbone_family, check_size, start_from_imagenet
from metrics.perceptanon.splits import Split, read_split, split_table
from metrics.perceptanon.study import description_of, panel_of
from metrics.perceptanon.table import check_study, read_table
from metrics.perceptanon.training import Recipe, build, train


@dataclass(frozen=True)
class Plan:
    """What is to be trained.

    Attributes:
        data: folder of the study.
        study: ``HA1`` or ``HA2``.
        panel: who gave the scores; None for simulated where the study says so, and human elsewhere.
        split: which rows.
        paper_splits: draw rows one by one, as published.
        saved_splits: folder with splits that were written before; None draws them.
        granularity, task: what is learned.
        backbone, params: which network.
        start: ``imagenet``, ``none``, or None for ImageNet where there are such weights.
        size: side in pixels of what the network sees.
        seed: of first weights, order, augmentation and dropout.
        recipe: how it is trained.
        half: write the checkpoint in float16.
    """

    data: Path
    study: str
    panel: Literal["human", "simulated"] | None = None
    split: str = "all"
    paper_splits: bool = False
    saved_splits: Path | None = None
    granularity: str = "mean"
    task: str = "regression"
    backbone: str = "resnet18"
    params: Mapping[str, int] = field(default_factory=dict)
    start: Literal["imagenet", "none"] | None = None
    size: int = SIZE
    seed: int = 0
    recipe: Recipe = field(default_factory=Recipe)
    half: bool = False


def open_split(data: Path, study: str, name: str, paper: bool = False, saved: Path | None = None) -> Split:
    """The split of this name, read from ``saved`` or drawn on the spot: both give the same rows."""
    if saved is not None:
        return read_split(data, study, name, saved)
    return split_table(read_table(data, study), name, paper)


def fit(plan: Plan, out: Path, device: str = "cpu", report: Report = quiet) -> tuple[Path, Settings, list[Epoch]]:
    """Trains a network and writes checkpoint, settings and history into ``out``.

    A training that was killed goes on after its last finished epoch when it is started again.

    Returns:
        The checkpoint's file, its settings, and all epochs.
    """
    check_target(plan.granularity, plan.task)
    check_size(plan.backbone, plan.size)
    start = plan.start or ("imagenet" if backbone_family(plan.backbone).imagenet else "none")
    network = build(plan.study, plan.backbone, plan.granularity, plan.task, plan.seed, dict(plan.params))
    if start == "imagenet":
        start_from_imagenet(network)
    split = open_split(plan.data, plan.study, plan.split, plan.paper_splits, plan.saved_splits)
    settings = _settings(plan, start, split.leaks)
    path = out / f"{settings.title}.safetensors"
    state_file = path.with_suffix(".unfinished")
    history = _trained(network, plan, split, device, report, state_file)
    settings = settings.model_copy(update={"val_loss": history[best_epoch(history)].val_loss})
    save(path, network, settings, plan.half)
    write_atomic(path.with_suffix(".csv"), _history(history))
    state_file.unlink(missing_ok=True)
    return path, settings, history


def _settings(plan: Plan, start: Literal["imagenet", "none"], leaks: bool) -> Settings:
    made = description_of(plan.data)
    values: dict[str, Any] = {
        "study": check_study(plan.study),
        "backbone": plan.backbone,
        "params": dict(plan.params),
        "granularity": plan.granularity,
        "task": plan.task,
        "size": plan.size,
        "trained_on": made.get("suite") or plan.data.resolve().name,
        "panel": _panel(plan),
        "split": plan.split,
        "paper_splits": plan.paper_splits or leaks,
        "start": start,
        "seed": plan.seed,
        "epochs": plan.recipe.epochs,
        "val_loss": None,
    }
    return Settings.model_validate(values)


def _panel(plan: Plan) -> str:
    """Who gave the scores: simulated ones never pass for those of people."""
    known = panel_of(plan.data)
    if known == "simulated" and plan.panel == "human":
        raise UsageError(f"the scores in {plan.data} come from a simulated panel; leave out --panel human")
    return plan.panel or known


def _trained(network: Judge, plan: Plan, split: Split, device: str, report: Report, state_file: Path) -> list[Epoch]:
    training, validation = (
        load_examples(part, plan.granularity, plan.task, plan.size, report) for part in (split.train, split.val)
    )
    return train(network, training, validation, plan.recipe, plan.seed, device, report, state_file)


def _history(history: list[Epoch]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", "train_loss", "val_loss", "rate"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": number, **asdict(epoch)} for number, epoch in enumerate(history, 1))
    return text.getvalue().encode()


def assess(
    perception: Perception, data: Path, split: str | None = None, saved: Path | None = None, report: Report = quiet
) -> Evaluation:
    """Compares a checkpoint with the test rows of a split, at its own granularity.

    Args:
        perception: a checkpoint.
        data: folder of the study.
        split: by default the one it was trained on.
        saved: folder with splits that were written before.
        report: shows progress.
    """
    known = perception.settings
    name = split or known.split
    if not name:
        raise UsageError("the checkpoint does not say which split it was trained on; name one with --split")
    rows = open_split(data, known.study, name, known.paper_splits, saved).test
    examples = load_examples(rows, known.granularity, known.task, known.size, report)
    answers = perception.answers(perception.outputs_of(examples))
    return evaluate(answers, examples.targets.numpy(), known.granularity, known.task)


def leak(settings: Settings, split: str | None) -> str:
    """Why a test may flatter a checkpoint; empty if nothing is known against it."""
    if split is not None and split != settings.split:
        return f"trained on split {settings.split}, so that it may have seen test images"
    if settings.paper_splits:
        return "published splits: variants of test photographs were seen in training"
    return ""
