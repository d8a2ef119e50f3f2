"""Both networks with all backbones: shapes, order of the inputs, and weights of other people."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from benchmark import weights
from benchmark.errors import EnvironmentProblem, UsageError
from metrics.perceptanon.checkpoint import load_authors, open_perception
from metrics.perceptanon.labels import CLASSES
from metrics.perceptanon.networks import (
    BACKBONES,
    Judge,
    _modern,
    authors_task,
    backbone_family,
    from_authors,
    start_from_imagenet,
)
from metrics.perceptanon.training import build

FEATURES = {
    "resnet18": 512,
    "resnet50": 2048,
    "resnet152": 2048,
    "densenet121": 1024,
    "vgg11": 4096,
    "alexnet": 4096,
    "vit_b_16": 768,
    "small-resnet": 80,
}


def on_meta(study: str, backbone: str, granularity: str, task: str) -> tuple[Judge, torch.Tensor]:
    """A network without storage, and what comes out of it."""
    with torch.device("meta"), torch.no_grad():
        network = Judge(study, backbone, granularity, task)
        images = torch.empty(2, 3, 224, 224)
        return network, network(images, images)


@pytest.mark.parametrize("study", ["HA1", "HA2"])
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_every_backbone_builds_for_both_studies(study: str, backbone: str) -> None:
    network, answer = on_meta(study, backbone, "labels5", "classification")
    assert answer.shape == (2, 5)
    assert network.features == FEATURES[backbone]
    linear = [part for part in network.modules() if isinstance(part, nn.Linear)]
    inputs = FEATURES[backbone] if study == "HA1" else 2 * FEATURES[backbone]
    assert inputs in {part.in_features for part in linear}
    if study == "HA2":
        assert [part.in_features for part in linear[-2:]] == [inputs, 512]


@pytest.mark.parametrize("granularity", list(CLASSES))
def test_one_logit_per_class(granularity: str) -> None:
    assert on_meta("HA2", "small-resnet", granularity, "classification")[1].shape == (2, CLASSES[granularity])


@pytest.mark.parametrize("study", ["HA1", "HA2"])
def test_regression_lies_in_0_to_1_even_far_out(study: str) -> None:
    network = build(study, "small-resnet", "mean", "regression", 0, {"width": 4}).eval()
    with torch.inference_mode():
        answer = network(1e4 * torch.randn(5, 3, 32, 32), 1e4 * torch.randn(5, 3, 32, 32))
    assert answer.shape == (5,)
    assert ((answer >= 0) & (answer <= 1)).all()


def test_ha1_ignores_the_original_and_ha2_does_not() -> None:
    first, second, noise = torch.randn(3, 4, 3, 32, 32)
    with torch.inference_mode():
        one = build("HA1", "small-resnet", "mean", "regression", 0, {"width": 4}).eval()
        assert torch.equal(one(first, second), one(noise, second))
        assert torch.equal(one(None, second), one(noise, second))
        two = build("HA2", "small-resnet", "mean", "regression", 0, {"width": 4}).eval()
        assert not torch.equal(two(first, second), two(noise, second))
        assert not torch.equal(two(first, second), two(first, noise))
        assert not torch.equal(two(first, second), two(second, first))  # the order counts


def test_ha2_has_one_backbone_and_a_head() -> None:
    network = build("HA2", "small-resnet", "mean", "regression", 0, {"width": 4})
    alone = build("HA1", "small-resnet", "mean", "regression", 0, {"width": 4})
    own = sum(value.numel() for value in alone.backbone.parameters()) - (20 + 1)
    assert sum(value.numel() for value in network.parameters()) == own + (40 * 512 + 512) + (512 + 1)


def test_ha2_needs_the_original() -> None:
    network = build("HA2", "small-resnet", "mean", "regression", 0)
    with pytest.raises(UsageError, match="hand them over"):
        network(None, torch.zeros(1, 3, 32, 32))


def test_first_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    one = build("HA2", "small-resnet", "mean", "regression", 3).state_dict()
    torch.manual_seed(6)
    two = build("HA2", "small-resnet", "mean", "regression", 3).state_dict()
    other = build("HA2", "small-resnet", "mean", "regression", 4).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.0.weight"], other["head.0.weight"])


def test_wrong_names_and_parameters() -> None:
    with pytest.raises(UsageError, match="Did you mean 'resnet18'"):
        backbone_family("resnet-18")
    with pytest.raises(UsageError, match="has no parameters"):
        Judge("HA1", "alexnet", "mean", "regression", {"width": 3})
    with pytest.raises(UsageError, match="write --task regression"):
        Judge("HA1", "small-resnet", "mean", "classification")


@pytest.fixture(scope="module")
def authors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Stand-ins for the authors' files: random ResNet-50 state dicts in their form."""
    folder = tmp_path_factory.mktemp("authors")
    state = torchvision.models.resnet50(weights=None).state_dict()
    files = {}
    for task, outputs in (("classification", 10), ("regression", 1)):
        state |= {"fc.weight": torch.randn(outputs, 2048) / 45, "fc.bias": torch.zeros(outputs)}
        files[task] = folder / f"{task}.pth"
        prefix = "module." if task == "classification" else ""
        torch.save({"state_dict": {prefix + name: value for name, value in state.items()}}, files[task])
    yield files
    for file in files.values():
        file.unlink()


def test_checkpoints_of_the_authors(authors: dict[str, Path]) -> None:
    image = torch.randint(256, (1, 3, 48, 40), dtype=torch.uint8)
    ten = from_authors(authors["classification"], "classification")
    assert ten(None, torch.zeros(1, 3, 64, 64)).shape == (1, 10)
    reference = torchvision.models.resnet50(weights=None, num_classes=1)
    reference.load_state_dict(torch.load(authors["regression"], weights_only=True)["state_dict"])
    one = load_authors(authors["regression"])
    assert (one.settings.granularity, one.settings.panel, one.settings.size) == ("mean", "human", 224)
    seen = one.seen(image)
    assert seen is not None
    with torch.inference_mode():
        expected = 1 + 9 * reference.eval()(seen)[:, 0].sigmoid()
    torch.testing.assert_close(torch.from_numpy(one.scores(None, image)), expected.double())
    assert [authors_task(authors[task]) for task in authors] == list(authors)


def test_a_checkpoint_for_the_other_task_is_refused(authors: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="was trained for regression, not classification"):
        from_authors(authors["regression"], "classification")


def test_files_that_do_not_fit_say_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"state_dict": {"fc.weight": torch.zeros(1000, 2048)}}, file)
    with pytest.raises(EnvironmentProblem, match=r"it has fc\.weight of 1000 x 2048, not 10 x 2048 or 1 x 2048"):
        open_perception(file)
    torch.save({"fc.weight": torch.zeros(1, 2048)}, file)
    with pytest.raises(EnvironmentProblem, match=r"it lacks bn1\.bias and \d+ more"):
        from_authors(file, "regression")
    torch.save({"weight": torch.zeros(3)}, file)
    with pytest.raises(EnvironmentProblem, match=r"it has no fc\.weight"):
        open_perception(file)


class Malice:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_a_malicious_pickle_is_refused(tmp_path: Path) -> None:
    file, target = tmp_path / "bad.pth", tmp_path / "owned"
    file.write_bytes(pickle.dumps({"state_dict": Malice(target)}))
    with pytest.raises(EnvironmentProblem, match="never done"):
        open_perception(file)
    torch.save({"state_dict": Malice(target)}, file)
    with pytest.raises(EnvironmentProblem, match="never done"):
        from_authors(file, "regression")
    assert not target.exists()


def given_weights(monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor]) -> None:
    """Pretends that the registry found a file with this content."""
    monkeypatch.setattr(weights, "first_located", lambda names: (names[0], Path("found.pth"), "0" * 64))
    monkeypatch.setattr(weights, "load_state", lambda path: state)


def test_imagenet_starts_all_but_the_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    given_weights(monkeypatch, state)
    for study in ("HA1", "HA2"):
        network = build(study, "resnet18", "mean", "regression", 0)
        start_from_imagenet(network)
        assert torch.equal(network.backbone.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    del state["layer1.0.conv1.weight"]
    with pytest.raises(
        EnvironmentProblem, match=r"found\.pth does not fit the network: it lacks layer1\.0\.conv1\.weight"
    ):
        start_from_imagenet(network)


def test_imagenet_weights_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("ANONBENCH_WEIGHTS", raising=False)
    with pytest.raises(EnvironmentProblem):
        start_from_imagenet(build("HA1", "resnet18", "mean", "regression", 0))
    with pytest.raises(UsageError, match="--start none"):
        start_from_imagenet(build("HA1", "small-resnet", "mean", "regression", 0))


def test_old_densenet_names() -> None:
    old = "features.denseblock1.denselayer2.norm.1.running_mean"
    assert _modern(old) == "features.denseblock1.denselayer2.norm1.running_mean"
    assert _modern("features.norm5.weight") == "features.norm5.weight"


def test_the_originals_features_come_first() -> None:
    network = Judge("HA2", "small-resnet", "mean", "regression", {"width": 4})
    original, released = torch.rand(2, 3, network.features).unbind(0)
    network.head = torch.nn.Linear(2 * network.features, 1)
    with torch.no_grad():
        network.head.weight[:, network.features :] = 0
    assert torch.equal(network.judge(original, released), network.judge(original, released + 1))
    assert not torch.equal(network.judge(original, released), network.judge(original + 1, released))
