"""Referees: a recogniser of the evaluated people and one classifier per attribute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from benchmark.errors import EnvironmentProblem
from benchmark.hashing import sha256_json
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier, load_classifier, serialise
from benchmark.learning.training import one_thread, train
from benchmark.protocols import Referees, Report, quiet
from benchmark.store import Store
from benchmark.weights import locate
from suites.definition import Definition, RefereePlan

RECOGNISER = "recogniser"
ATTACKERS = ("transfer", "embedding", "parrot")
"""Models of the attackers, trained on originals."""
OF_BACKGROUND = "embedding"
"""The one of them that learns the background people instead of the evaluated ones."""


def train_referee(
    plan: RefereePlan, images: ImageSet, labels: Labels, name: str, device: str, report: Report = quiet
) -> bytes:
    """Trains one classifier and returns its file.

    Args:
        plan: architecture, recipe and seed.
        images: what to train on.
        labels: what to predict.
        name: for the progress report.
        device: torch device name.
        report: shows progress.
    """
    recipe = plan.as_recipe()
    start = locate(plan.pretrained) if plan.pretrained else None
    architecture = Architecture(plan.architecture, labels.classes, plan.params)
    torch.manual_seed(plan.seed)
    network = architecture.build()
    if start is not None:
        start_from(network, start)
    taught, checked = _held_out(len(images), recipe.patience, plan.seed)
    validation = (images.images[checked], labels.values[checked]) if len(checked) else None
    steps = math.ceil(len(taught) / recipe.batch)
    epochs = max(recipe.epochs, math.ceil(recipe.min_steps / max(1, steps)))
    with report(f"train {name}", epochs * len(taught)) as progress, one_thread():
        train(network, images.images[taught], labels.values[taught], recipe, plan.seed, device, validation, progress)
    return serialise(architecture, network)


def _held_out(count: int, patience: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows to learn from, and a tenth to watch for early stopping; none where the recipe does not stop early."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    watched = math.ceil(count / 10) if patience else 0
    return order[watched:].sort().values, order[:watched].sort().values


def start_from(network: nn.Module, path: Path) -> None:
    """Loads weights of the same architecture with another number of classes; the last layer stays as it is.

    Raises:
        EnvironmentProblem: the file is of another architecture.
    """
    given = torch.load(path, map_location="cpu", weights_only=True)
    own = network.state_dict()
    fitting = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    missing = sorted(set(own) - set(fitting))
    if {name.rpartition(".")[0] for name in missing} - {last_layer(network)}:
        raise EnvironmentProblem(f"{path} is of another architecture: it has no fitting '{missing[0]}'")
    network.load_state_dict(fitting, strict=False)


def last_layer(network: nn.Module) -> str:
    """Name of the last linear layer."""
    names: list[str] = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    return names[-1]


def plans_of(definition: Definition) -> dict[str, RefereePlan]:
    """How the recogniser and the attackers' models are trained, by name."""
    return {name: getattr(definition, name) for name in (RECOGNISER, *ATTACKERS)}


def learnable(images: ImageSet) -> bool:
    """Whether a classifier of people can be trained: at least two of them are known."""
    return images.identity is not None and len(images.identity.values.unique()) > 1


def trained_and_kept(
    store: Store,
    plans: Mapping[str, RefereePlan],
    enrol: ImageSet,
    background: ImageSet,
    device: str,
    report: Report = quiet,
) -> Referees:
    """Referees of a suite without frozen weights: trained once, kept by what they were trained on.

    Args:
        store: where they are kept.
        plans: ``recogniser``, the attackers' models, and ``attribute``.
        enrol: photographs of the evaluated people, empty where nobody is known.
        background: labelled photographs of other people, empty where there are none.
        device: torch device name.
        report: shows progress.
    """

    def kept(name: str, plan: RefereePlan, images: ImageSet, labels: Labels) -> Classifier:
        key = sha256_json([name, plan.model_dump(), asdict(plan.as_recipe()), images.content])
        path = store.path("referees", f"{key}.safetensors")
        store.remember(path, lambda: train_referee(plan, images, labels, name, device, report))
        return load_classifier(name, path, device, remedy=f"Delete {path} and run the same command again.")

    people = {}
    for name in (RECOGNISER, *ATTACKERS):
        images = background if name == OF_BACKGROUND else enrol
        if images.identity is not None and learnable(images):
            people[name] = kept(name, plans[name], images, images.identity)
    taught = background.attributes if len(background) else {}
    attributes = {name: kept(name, plans["attribute"], background, labels) for name, labels in taught.items()}
    return Referees(people.pop(RECOGNISER, None), attributes, attackers=people)
