"""Checkpoints on disk and in use, and Grad-CAM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.decode import decode_png
from benchmark.errors import EnvironmentProblem, UsageError
from metrics.perceptanon.checkpoint import Perception, Settings, load, open_perception, save, settings_file
from metrics.perceptanon.data import squashed
from metrics.perceptanon.explain import coloured, grad_cam, heat, write_pictures
from metrics.perceptanon.networks import Judge
from metrics.perceptanon.training import build

SETTINGS: dict[str, Any] = {
    "study": "HA1",
    "backbone": "small-resnet",
    "params": {"width": 4},
    "granularity": "mean",
    "task": "regression",
    "size": 24,
    "trained_on": "synthetic scores",
    "panel": "simulated",
    "split": "all",
    "paper_splits": False,
    "start": "none",
    "seed": 0,
    "epochs": 2,
    "val_loss": 0.25,
}


def made(**changes: Any) -> tuple[Judge, Settings]:
    settings = Settings.model_validate(SETTINGS | changes)
    network = build(
        settings.study, settings.backbone, settings.granularity, settings.task, settings.seed, settings.params
    )
    return network.eval().requires_grad_(False), settings


def perception(**changes: Any) -> Perception:
    return Perception(*made(**changes), "0" * 64)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    network, settings = made(study="HA2")
    path = tmp_path / "net.safetensors"
    sha256 = save(path, network, settings)
    found = load(path, sha256=sha256)
    assert (found.settings, found.sha256) == (settings, sha256)
    assert open_perception(path).sha256 == sha256
    for name, value in network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], value)
    assert not any(value.requires_grad for value in found.network.parameters())
    assert not found.network.training
    assert save(path, network, settings) == sha256  # the same bytes again


def test_half_precision_is_half_the_size_and_nearly_the_same(tmp_path: Path) -> None:
    network, settings = made()
    save(tmp_path / "full.safetensors", network, settings)
    save(tmp_path / "half.safetensors", network, settings, half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.75 * sizes[0]
    images = noise(4, 3, 24, 24)
    one, two = (load(tmp_path / f"{name}.safetensors").scores(None, images) for name in ("full", "half"))
    np.testing.assert_allclose(one, two, atol=0.05)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    save(path, *made())
    return path


def change(path: Path, **cells: Any) -> None:
    file = settings_file(path)
    content = json.loads(file.read_text()) | cells
    file.write_text(json.dumps({key: value for key, value in content.items() if value != "DELETE"}))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"size": "DELETE"}, "size: field required"),
        ({"sha256": "DELETE"}, "sha256: field required"),
        ({"format": "DELETE"}, "format: field required"),
        ({"format": 2}, "another version"),
        ({"panel": "people"}, "panel: input should be 'human' or 'simulated'"),
        ({"more": 1}, "more: extra inputs are not permitted"),
        ({"sha256": "0" * 64}, "has sha256 [0-9a-f]{64}, not 0{64}; restore the file"),
        ({"panel": "human"}, "was changed after the training"),
        ({"size": 32}, "was changed after the training"),
        ({"params": {"width": 8}}, "does not hold the network of its settings"),
        ({"study": "HA2"}, "does not hold the network of its settings"),
        ({"granularity": "labels5", "task": "classification"}, "does not hold the network of its settings"),
    ],
)
def test_settings_that_do_not_belong_are_refused(saved: Path, cells: dict[str, Any], message: str) -> None:
    change(saved, **cells)
    with pytest.raises(EnvironmentProblem, match=message) as caught:
        load(saved)
    assert "\n" not in str(caught.value)


def test_damaged_and_missing_files(saved: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"not 1{64}"):
        load(saved, sha256="1" * 64)
    settings_file(saved).write_text("[1")
    with pytest.raises(EnvironmentProblem, match="is not the settings of a checkpoint"):
        load(saved)
    settings_file(saved).write_text("[]")
    with pytest.raises(EnvironmentProblem, match="is not the settings of a checkpoint"):
        load(saved)
    settings_file(saved).unlink()
    with pytest.raises(EnvironmentProblem, match=r"net\.json is missing"):
        load(saved)
    saved.unlink()
    with pytest.raises(UsageError, match="does not exist; train it"):
        load(saved)
    with pytest.raises(UsageError, match="does not exist"):
        open_perception(saved.with_suffix(".pth"))


def test_a_truncated_network_is_refused(saved: Path) -> None:
    from benchmark.hashing import sha256_file

    saved.write_bytes(saved.read_bytes()[:-50])
    change(saved, sha256=sha256_file(saved))
    with pytest.raises(EnvironmentProblem, match="does not hold the network"):
        load(saved)


def test_scores_lie_on_the_human_scale_and_do_not_depend_on_batches() -> None:
    judge, images = perception(), noise(70, 3, 24, 24)
    scores = judge.scores(None, images)
    assert scores.dtype == np.float64
    assert scores.shape == (70,)
    assert ((scores >= 1) & (scores <= 10)).all()
    parts = [judge.scores(None, part) for part in images.split(9)]
    np.testing.assert_allclose(np.concatenate(parts), scores, atol=1e-4)


def test_ha1_ignores_the_original_and_ha2_looks_at_both() -> None:
    first, second, other = (noise(5, 3, 24, 24, seed=seed) for seed in range(3))
    one, two = perception(), perception(study="HA2")
    np.testing.assert_array_equal(one.scores(first, second), one.scores(other[:2], second))
    assert not np.array_equal(two.scores(first, second), two.scores(other, second))
    assert not np.array_equal(two.scores(first, second), two.scores(first, other))
    assert not np.array_equal(two.scores(first, second), two.scores(second, first))


def test_images_of_any_size_are_squashed() -> None:
    judge, images = perception(study="HA2"), noise(3, 3, 50, 31)
    expected = judge.scores(squashed(images, 24), squashed(images, 24))
    np.testing.assert_array_equal(judge.scores(images, squashed(images, 24)), expected)


def test_numbers_of_images_have_to_agree() -> None:
    judge, images = perception(study="HA2"), noise(3, 3, 24, 24)
    with pytest.raises(UsageError, match="2 originals for 3 released images"):
        judge.scores(images[:2], images)
    with pytest.raises(UsageError, match="hand them over"):
        judge.scores(None, images)
    assert judge.scores(images[:0], images[:0]).shape == (0,)
    assert perception(granularity="labels3", task="classification").scores(None, images[:0]).shape == (0,)


def test_classes_are_class_numbers() -> None:
    images = noise(9, 3, 24, 24)
    judge = perception(granularity="labels5", task="classification")
    assert judge.outputs(None, images).shape == (9, 5)
    assert judge.scores(None, images).tolist() == judge.outputs(None, images).argmax(1).tolist()
    fractions = perception(granularity="labels5", task="regression").scores(None, images)
    assert ((fractions >= 0) & (fractions <= 4)).all()


def test_titles_keep_tasks_and_rules_apart() -> None:
    human = {"panel": "human"}
    assert made(**human, paper_splits=True)[1].title == "HA1-all-paper-mean-regression-small-resnet-seed0"
    assert made(panel="simulated")[1].title == "simulated-HA1-all-mean-regression-small-resnet-seed0"
    titles = {made(**human, granularity="labels5", task=task)[1].title for task in ("regression", "classification")}
    assert titles == {f"HA1-all-labels5-{task}-small-resnet-seed0" for task in ("regression", "classification")}


@pytest.mark.parametrize("study", ["HA1", "HA2"])
@pytest.mark.parametrize(("granularity", "task"), [("mean", "regression"), ("labels5", "classification")])
def test_grad_cam_shows_the_squashed_image(study: str, granularity: str, task: str) -> None:
    judge = perception(study=study, granularity=granularity, task=task)
    released, original = noise(3, 3, 30, 60), noise(3, 3, 30, 60, seed=1)
    found = heat(judge, released, original)
    assert found.shape == (3, 24, 24)
    assert ((found >= 0) & (found <= 1)).all()
    pictures = grad_cam(judge, released, original)
    assert (pictures.dtype, pictures.shape) == (torch.uint8, (3, 3, 24, 24))
    expected = 0.45 * coloured(found) + 0.55 * squashed(released, 24).float()
    assert (pictures.float() - expected).abs().max() <= 0.5


@pytest.mark.parametrize(("backbone", "size"), [("resnet18", 64), ("alexnet", 64), ("densenet121", 32)])
def test_grad_cam_of_published_backbones(backbone: str, size: int) -> None:
    judge = perception(backbone=backbone, params={}, size=size)
    assert heat(judge, noise(1, 3, 32, 32)).shape == (1, size, size)


def test_grad_cam_equals_its_definition() -> None:
    judge, images = perception(), noise(2, 3, 24, 24)
    seen = judge.seen(images)
    assert seen is not None
    kept: list[torch.Tensor] = []
    handle = judge.network.last_block.register_forward_hook(lambda *args: kept.append(args[2]))
    answer = judge.network(None, seen.requires_grad_(True))
    handle.remove()
    (slopes,) = torch.autograd.grad(answer.sum(), kept)
    maps = (slopes.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).relu().detach()
    maps = torch.nn.functional.interpolate(maps, size=(24, 24), mode="bilinear")[:, 0]
    expected = torch.nan_to_num(maps / maps.amax((1, 2), keepdim=True))
    torch.testing.assert_close(heat(judge, images), expected)


def test_a_transformer_cannot_be_explained() -> None:
    with torch.device("meta"):
        network = Judge("HA1", "vit_b_16", "mean", "regression")
    judge = Perception(network, Settings.model_validate(SETTINGS | {"backbone": "vit_b_16"}), "")
    with pytest.raises(UsageError, match="Grad-CAM needs convolutions"):
        heat(judge, noise(1, 3, 24, 24))


def test_colours_run_from_blue_to_red_and_pictures_are_written(tmp_path: Path) -> None:
    ends = coloured(torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1))[:, :, 0, 0]
    assert ends.argmax(1).tolist() == [2, 1, 0]
    pictures = noise(2, 3, 8, 8)
    files = [tmp_path / "a" / "0.png", tmp_path / "1.png"]
    write_pictures(pictures, files)
    assert torch.equal(decode_png(files[0].read_bytes()), pictures[0])
