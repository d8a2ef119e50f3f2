"""Released sets and recognisers for the tests of the entrant."""

from __future__ import annotations

import torch

from benchmark.images import check_released
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.protocols import Controller
from benchmark.registry import build_entrant

RECOGNISER = "small-resnet"


def release(built, images, **controller):
    return check_released(built.anonymizer.anonymize(images, Controller(**controller)), images)


def recogniser(classes=11, broken=False):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        architecture = Architecture(RECOGNISER, tuple(map(str, range(classes))), {"width": 4})
        network = architecture.build().eval().requires_grad_(False)
    if broken:
        next(network.parameters()).fill_(torch.nan)
    return Classifier("recogniser", architecture, network, f"{broken} made here")


def maker_of(file):
    """Builds an entrant from a spec; style draws with the tiny generator."""

    def build(**parameters):
        parameters = {"surrogate": "pixels", **parameters}
        if parameters["surrogate"] == "style":
            parameters["generator"] = file
        inside = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        return build_entrant(f"kanon({inside})")

    return build
