"""StyleGAN2 weights in the pickles of NVlabs' stylegan2-ada-pytorch (and stylegan3's StyleGAN2 networks).

Where their equations differ from those of ``layers``: they scale the 3 x 3 weights of the synthesis network not at all
before the demodulation, which takes any scale out again up to its 1e-8; dividing the stored weights by our scale gives
the same numbers. Their up-convolution is a transposed convolution with the weights as stored, like ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anonymizers.kanonymity.generator.blocks import tensor_in
from anonymizers.kanonymity.generator.layers import blur_kernel
from anonymizers.kanonymity.generator.network import Design
from anonymizers.kanonymity.generator.pickled import StoredObject, StoredTensor, read_pickle
from anonymizers.kanonymity.generator.published import (
    Entry,
    Layout,
    PublishedGenerator,
    built,
    check,
    check_size,
    equal_scale,
    fill,
    numbered,
    set_mean,
    shape_of,
    wrong_file,
)
from benchmark.errors import EntrantError

DEEPEST = 8
"""Modules within modules; a generator has four levels."""
MOST = 5000
"""Tensors and settings of a generator; the one of 1024 px has about 400."""
BASE = 4


def read_nvlabs(path: Path, size: int | None = None) -> PublishedGenerator:
    """Reads the running mean of a generator (``G_ema``) through a reader that executes nothing.

    ``noise_const`` becomes the fixed noise, ``w_avg`` the mean latent, and ``conv_clamp`` is kept. Numbers are those of
    full precision, as the original gives them with ``force_fp32``.

    Args:
        path: a ``.pkl`` with ``G_ema``.
        size: side of the pictures that are wanted; None takes what the file has.

    Raises:
        EntrantError: the pickle asks for anything besides tensors; it holds another kind of generator; a tensor is
            missing, superfluous or of the wrong shape; or the pictures have another size.
        EnvironmentProblem: the file is absent or damaged.
    """
    network = _generator(path, read_pickle(path))
    settings, tensors = Contents(path).flattened(network)
    check_settings(path, settings, tensors)
    design = design_of(path, settings, tensors)
    check_size(path, design, size)
    mean = tensors.pop("mapping.w_avg", None)
    layout = layout_of(design, with_noise=_has_noise(tensors))
    check(tensors, layout, path)
    generator = built(design, _clamp(path, settings))
    fill(generator, tensors, layout, path)
    set_mean(generator, mean, path, "mapping.w_avg")
    return generator.eval().requires_grad_(False)


def _generator(path: Path, content: Any) -> StoredObject:
    found = content.get("G_ema") if isinstance(content, Mapping) else content
    if not isinstance(found, StoredObject) or found.name != "Generator":
        kind = found.name if isinstance(found, StoredObject) else type(found).__name__
        raise wrong_file(path, f"there is no G_ema of class Generator in it but {kind[:80]}")
    return found


class Contents:
    """Takes the nested modules of a network apart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}
        self.modules = 0
        self.room = 2 * path.stat().st_size

    def flattened(self, network: StoredObject) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Settings and tensors by their dotted names, those of the network itself without a dot."""
        self._walk("", network, 0)
        return self.settings, self.tensors

    def _walk(self, prefix: str, module: StoredObject, depth: int) -> None:
        self.modules += 1
        if depth > DEEPEST or self.modules + len(self.settings) + len(self.tensors) > MOST:
            raise wrong_file(self.path, f"its modules are nested or repeated without end at {prefix[:80]}")
        for name, value in module.state.items():
            if isinstance(name, str) and (value is None or isinstance(value, bool | int | float | str)):
                self.settings[prefix + name] = value
        for kind in ("_parameters", "_buffers"):
            for name, value in _named(module.state.get(kind)):
                self._keep(prefix + name, value)
        for name, value in _named(module.state.get("_modules")):
            if not isinstance(value, StoredObject):
                raise wrong_file(self.path, f"{prefix}{name} is {type(value).__name__} where a module should be")
            self._walk(f"{prefix}{name}.", value, depth + 1)

    def _keep(self, name: str, value: Any) -> None:
        if value is None:
            return
        if not isinstance(value, StoredTensor):
            raise wrong_file(self.path, f"{name} is {type(value).__name__} where a tensor should be")
        self.room -= len(value.block.data)
        if self.room < 0:
            raise wrong_file(self.path, f"its tensors share their numbers, at {name[:80]}")
        self.tensors[name] = tensor_in(self.path, name, value)


def _named(values: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(values, Mapping):
        yield from ((name, value) for name, value in values.items() if isinstance(name, str))


def check_settings(path: Path, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Raises EntrantError where the network is of another kind than ours.

    Settings that older files do not have count as the published ones.
    """
    if "synthesis.input.weight" in tensors or "synthesis.b4.const" not in tensors:
        raise wrong_file(path, "it is no StyleGAN2 generator (synthesis.b4.const is missing); StyleGAN3 is not read")
    wanted = {"c_dim": 0, "img_channels": 3, "z_dim": settings.get("w_dim")}
    for name, value in wanted.items():
        if settings.get(name, value) != value:
            raise EntrantError(
                f"{path}: {name} is {settings[name]}, expected {value}; give a generator without labels that draws RGB"
            )
    for name, value in settings.items():
        expected = _expected(name)
        if expected is not None and value not in expected:
            raise wrong_file(path, f"{name} is {value!r}, expected {expected[0]!r}")


def _expected(name: str) -> tuple[str, ...] | None:
    """The values a setting may have: the skip architecture, leaky ReLUs where there is an activation."""
    if name.endswith(".architecture"):
        return ("skip",)
    if name.endswith(".activation"):
        return ("linear",) if name.endswith("affine.activation") else ("lrelu",)
    return None


def _clamp(path: Path, settings: Mapping[str, Any]) -> float | None:
    """The one cut-off of all layers."""
    values = {value for name, value in settings.items() if name.endswith(".conv_clamp")}
    if len(values) > 1:
        raise wrong_file(path, f"its layers have several values of conv_clamp: {sorted(map(str, values))[:4]}")
    clamp = next(iter(values), None)
    return None if clamp is None else _positive(path, "conv_clamp", clamp)


def _positive(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool | str) or not 0 < value < math.inf:
        raise wrong_file(path, f"{name} is {str(value)[:40]!r}, expected a positive number")
    return float(value)


def _has_noise(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.endswith((".noise_const", ".noise_strength")) for name in tensors)


def design_of(path: Path, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Design:
    """Sizes of the generator, from the shapes of its tensors."""
    sides = {int(found[1]) for name in tensors if (found := re.match(r"synthesis\.b([0-9]{1,4})\.", name))}
    expected = [BASE * 2**index for index in range(len(sides))]
    if sorted(sides) != expected:
        raise wrong_file(path, f"its resolutions are {sorted(sides)}, expected {expected}")
    channels = tuple(shape_of(path, tensors, f"synthesis.b{side}.conv1.weight", 4)[0] for side in expected)
    style = shape_of(path, tensors, "mapping.fc0.weight", 2)[0]
    depth = numbered((name.removeprefix("mapping.") for name in tensors if name.startswith("mapping.")), "fc")
    rate = _positive(path, "mapping.fc0.bias_gain", settings.get("mapping.fc0.bias_gain", 0.01) or 0)
    return Design(channels, BASE, style, depth, rate)


def layout_of(design: Design, *, with_noise: bool = True) -> Layout:
    """The tensors of a network of this design, without the mean latent."""
    entries = [*_mapping(design)]
    constants = {}
    for index, width in enumerate(design.channels):
        block = f"synthesis.b{BASE * 2**index}"
        entries += _block(design, block, index, with_noise)
        filters = [block, f"{block}.conv1", *([f"{block}.conv0"] if index else [])]
        constants.update({f"{name}.resample_filter": blur_kernel(1.0) for name in filters})
        entries += _colours(design, f"{block}.torgb", index, width)
    return Layout(entries, constants)


def _mapping(design: Design) -> Iterator[Entry]:
    for layer in range(design.mapping):
        yield Entry(f"mapping.fc{layer}.weight", f"mapping.{layer + 1}.weight", (design.style, design.style))
        yield Entry(f"mapping.fc{layer}.bias", f"mapping.{layer + 1}.bias", (design.style,))


def _block(design: Design, block: str, index: int, with_noise: bool) -> Iterator[Entry]:
    width = design.channels[index]
    if index == 0:
        yield Entry(f"{block}.const", "synthesis.constant", (width, BASE, BASE))
    else:
        yield from _layer(design, f"{block}.conv0", 2 * index - 1, design.channels[index - 1], width, with_noise)
    yield from _layer(design, f"{block}.conv1", 2 * index, width, width, with_noise)


def _layer(design: Design, source: str, layer: int, inputs: int, outputs: int, with_noise: bool) -> Iterator[Entry]:
    target, side = f"synthesis.layers.{layer}", BASE * 2 ** ((layer + 1) // 2)
    unscaled = 1 / equal_scale(inputs, 3)
    yield Entry(f"{source}.weight", f"{target}.conv.weight", (outputs, inputs, 3, 3), unscaled)
    yield from _affine(design, source, target, inputs)
    yield Entry(f"{source}.bias", f"{target}.bias", (outputs,))
    if with_noise:
        yield Entry(f"{source}.noise_strength", f"{target}.noise_strength", ())
        yield Entry(f"{source}.noise_const", f"noise_{layer}", (side, side))


def _colours(design: Design, source: str, index: int, inputs: int) -> Iterator[Entry]:
    target = f"synthesis.to_rgb.{index}"
    yield Entry(f"{source}.weight", f"{target}.conv.weight", (3, inputs, 1, 1))
    yield from _affine(design, source, target, inputs)
    yield Entry(f"{source}.bias", f"{target}.bias", (3,))


def _affine(design: Design, source: str, target: str, inputs: int) -> Iterator[Entry]:
    yield Entry(f"{source}.affine.weight", f"{target}.conv.modulation.weight", (inputs, design.style))
    yield Entry(f"{source}.affine.bias", f"{target}.conv.modulation.bias", (inputs,))
