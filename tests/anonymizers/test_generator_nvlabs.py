"""Reading NVlabs' pickles: pictures as their equations say, and every way a network can be another one."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from anonymizers.kanonymity.generator.nvlabs import read_nvlabs
from benchmark.errors import EntrantError, EnvironmentProblem
from tests.anonymizers import generator_oracle as oracle
from tests.anonymizers.generator_files import Persistent, as_numpy, nvlabs_state, stub_modules, write_nvlabs


@pytest.fixture
def file(tmp_path):
    return tmp_path / "network.pkl"


def picture(generator, latents):
    with torch.no_grad():
        return generator.double()(torch.from_numpy(latents)[None])[0].numpy()


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("channels", [(5, 4, 3), (3, 6), (4,)])
def test_pictures_equal_the_equations(file, monkeypatch, channels, protocol) -> None:
    state = nvlabs_state(channels)
    generator = read_nvlabs(write_nvlabs(file, monkeypatch, state, protocol=protocol))
    assert generator.design.channels == channels
    latents = np.random.default_rng(0).normal(size=(2 * len(channels), 6))
    expected = oracle.nvlabs_picture(as_numpy(state), latents)
    np.testing.assert_allclose(picture(generator, latents), expected, rtol=1e-6, atol=1e-6)


def test_small_weights_keep_the_scale_of_the_original_demodulation(file, monkeypatch) -> None:
    """Its 1e-8 matters here: weights scaled otherwise would give other pictures."""
    state = nvlabs_state()
    for name in state:
        if "conv" in name and name.endswith(".weight") and "affine" not in name:
            state[name] = state[name] * 1e-5
    generator = read_nvlabs(write_nvlabs(file, monkeypatch, state))
    latents = np.random.default_rng(0).normal(size=(6, 6))
    expected = oracle.nvlabs_picture(as_numpy(state), latents)
    np.testing.assert_allclose(picture(generator, latents), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("clamp", [0.5, 256])
def test_cut_offs_are_kept(file, monkeypatch, clamp) -> None:
    state = nvlabs_state()
    blocks = [f"synthesis.b{side}.{part}." for side in (4, 8, 16) for part in ("conv0", "conv1", "torgb")]
    generator = read_nvlabs(write_nvlabs(file, monkeypatch, state, {name: {"conv_clamp": clamp} for name in blocks}))
    latents = np.random.default_rng(0).normal(size=(6, 6))
    expected = oracle.nvlabs_picture(as_numpy(state), latents, clamp)
    np.testing.assert_allclose(picture(generator, latents), expected, rtol=1e-6, atol=1e-6)
    free = oracle.nvlabs_picture(as_numpy(state), latents)
    assert np.allclose(free, expected) == (clamp == 256)


def test_mapping_and_mean(file, monkeypatch) -> None:
    state = nvlabs_state(mapping=3)
    generator = read_nvlabs(write_nvlabs(file, monkeypatch, state, {"mapping.fc0.": {"bias_gain": 0.01}})).double()
    z = np.random.default_rng(0).normal(size=6)
    made = generator.latents(torch.from_numpy(z)[None])[0, 2].numpy()
    np.testing.assert_allclose(made, oracle.nvlabs_mapping(as_numpy(state), z, 0.01), atol=1e-6)
    assert torch.equal(generator.mean_latent, state["mapping.w_avg"].double().expand(6, -1))
    del state["mapping.w_avg"]
    assert read_nvlabs(write_nvlabs(file, monkeypatch, state)).mean_latent.abs().sum() > 0


def test_the_program_in_the_file_is_not_executed(file, monkeypatch, tmp_path) -> None:
    source = f"import pathlib\npathlib.Path({str(tmp_path / 'executed')!r}).touch()"
    read_nvlabs(write_nvlabs(file, monkeypatch, source=source))
    assert not (tmp_path / "executed").exists()


def test_noise_may_be_absent_altogether(file, monkeypatch) -> None:
    state = nvlabs_state()
    silent = {name: value for name, value in state.items() if "noise" not in name}
    generator = read_nvlabs(write_nvlabs(file, monkeypatch, silent))
    zeroed = {name: value * ("noise_const" not in name) for name, value in state.items()}
    latents = np.random.default_rng(0).normal(size=(6, 6))
    np.testing.assert_allclose(
        picture(generator, latents), oracle.nvlabs_picture(as_numpy(zeroed), latents), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(
    "name", sorted(name for name in nvlabs_state() if "filter" not in name and "w_avg" not in name)
)
def test_a_missing_or_wrong_tensor_is_named(file, monkeypatch, name) -> None:
    state = nvlabs_state()
    value = state.pop(name)
    with pytest.raises(EntrantError) as caught:
        read_nvlabs(write_nvlabs(file, monkeypatch, state))
    assert name in str(caught.value)
    assert "missing" in str(caught.value)
    state[name] = torch.zeros([side + 1 for side in value.shape] or [2])
    with pytest.raises(EntrantError, match="expected"):
        read_nvlabs(write_nvlabs(file, monkeypatch, state))


def test_other_networks_are_refused_with_what_was_expected(file, monkeypatch) -> None:
    cases = [
        ({"": {"c_dim": 10}}, "c_dim is 10, expected 0"),
        ({"": {"img_channels": 1}}, "img_channels is 1, expected 3"),
        ({"": {"z_dim": 64, "w_dim": 6}}, "z_dim is 64, expected 6"),
        ({"synthesis.b8.": {"architecture": "resnet"}}, "architecture is 'resnet', expected 'skip'"),
        ({"synthesis.b8.conv0.": {"activation": "relu"}}, "activation is 'relu', expected 'lrelu'"),
        ({"mapping.fc0.": {"bias_gain": "x"}}, "bias_gain is 'x', expected a positive number"),
        ({"mapping.fc0.": {"bias_gain": float("nan")}}, "bias_gain is 'nan'"),
        ({"synthesis.b8.conv0.": {"conv_clamp": -1}}, "conv_clamp is '-1'"),
        ({"synthesis.b8.conv0.": {"conv_clamp": 256}, "synthesis.b8.conv1.": {"conv_clamp": None}}, "several values"),
    ]
    for settings, message in cases:
        with pytest.raises(EntrantError, match=message):
            read_nvlabs(write_nvlabs(file, monkeypatch, settings=settings))
    stylegan3 = {"synthesis.input.weight": torch.zeros(2, 2), "mapping.fc0.weight": torch.zeros(2, 2)}
    with pytest.raises(EntrantError, match="StyleGAN3"):
        read_nvlabs(write_nvlabs(file, monkeypatch, stylegan3))
    with pytest.raises(EntrantError, match=r"extra\.weight of shape \[1\] has no place"):
        read_nvlabs(write_nvlabs(file, monkeypatch, {**nvlabs_state(), "extra.weight": torch.zeros(1)}))
    gap = {name: value for name, value in nvlabs_state().items() if ".b8." not in name}
    with pytest.raises(EntrantError, match=r"resolutions are \[4, 16\]"):
        read_nvlabs(write_nvlabs(file, monkeypatch, gap))
    other = {**nvlabs_state(), "synthesis.b8.conv0.resample_filter": torch.eye(4)}
    with pytest.raises(EntrantError, match=r"conv0\.resample_filter is another low-pass filter"):
        read_nvlabs(write_nvlabs(file, monkeypatch, other))


def test_another_size_is_named_with_both_sizes(file, monkeypatch) -> None:
    assert read_nvlabs(write_nvlabs(file, monkeypatch), size=16).design.size == 16
    with pytest.raises(EntrantError, match="draw pictures of 16 px, 1024 px were asked for"):
        read_nvlabs(file, size=1024)


def test_files_without_a_generator(file, monkeypatch, tmp_path) -> None:
    stub_modules(monkeypatch)
    for content in ({"G": 1}, {"G_ema": 3}, [1], {"G_ema": Persistent("Discriminator", {})}, 7):
        file.write_bytes(pickle.dumps(content))
        with pytest.raises(EntrantError, match="no G_ema of class Generator"):
            read_nvlabs(file)
    with pytest.raises(EnvironmentProblem, match="No such file"):
        read_nvlabs(tmp_path / "absent.pkl")
    whole = write_nvlabs(file, monkeypatch).read_bytes()
    for content in (b"", b"<html>", whole[:-1], whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(EnvironmentProblem, match="truncated, damaged or malformed"):
            read_nvlabs(file)


def test_modules_that_hold_themselves_end_in_an_error(file, monkeypatch) -> None:
    stub_modules(monkeypatch)
    state = {"_modules": {}}
    state["_modules"].update(a=None, b=None)
    inner = Persistent("Module", {"x": 1})
    for _ in range(60):  # 2 ** 60 ways down
        inner = Persistent("Module", {"_modules": {"a": inner, "b": inner}})
    file.write_bytes(pickle.dumps({"G_ema": Persistent("Generator", {"_modules": {"a": inner}})}, protocol=3))
    with pytest.raises(EntrantError, match="nested or repeated without end"):
        read_nvlabs(file)


def test_empty_modules_repeated_in_breadth_end_in_an_error(file, monkeypatch) -> None:
    stub_modules(monkeypatch)
    inner = Persistent("Module", {"_modules": {}})
    for _ in range(6):  # 12 ** 6 empty modules, none of them deep
        inner = Persistent("Module", {"_modules": {str(name): inner for name in range(12)}})
    file.write_bytes(pickle.dumps({"G_ema": Persistent("Generator", {"_modules": {"a": inner}})}, protocol=3))
    with pytest.raises(EntrantError, match="nested or repeated without end"):
        read_nvlabs(file)


def test_one_block_of_numbers_for_many_tensors_ends_in_an_error(file, monkeypatch) -> None:
    stub_modules(monkeypatch)
    block = torch.zeros(10**5)
    names = OrderedDict((f"x{i}", block) for i in range(50))
    file.write_bytes(pickle.dumps({"G_ema": Persistent("Generator", {"_parameters": names})}, protocol=4))
    with pytest.raises(EntrantError, match="its tensors share their numbers"):
        read_nvlabs(file)
