"""Small random generators in the layouts of the published files."""

from __future__ import annotations

import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import torch

KERNEL = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def drawn(shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def rosinality_state(channels=(5, 4, 3), base=4, style=6, mapping=2, seed=0, noises=True):
    """A ``g_ema`` as rosinality's ``Generator.state_dict()`` names it."""
    shapes = {}
    for i in range(1, mapping + 1):
        shapes |= {f"style.{i}.weight": (style, style), f"style.{i}.bias": (style,)}
    shapes["input.input"] = (1, channels[0], base, base)

    def modulation(prefix, inputs):
        return {f"{prefix}.conv.modulation.weight": (inputs, style), f"{prefix}.conv.modulation.bias": (inputs,)}

    def layer(prefix, inputs, outputs):
        return {
            f"{prefix}.conv.weight": (1, outputs, inputs, 3, 3),
            **modulation(prefix, inputs),
            f"{prefix}.noise.weight": (1,),
            f"{prefix}.activate.bias": (outputs,),
        }

    def colours(prefix, inputs):
        weight = {f"{prefix}.conv.weight": (1, 3, inputs, 1, 1)}
        return {**weight, **modulation(prefix, inputs), f"{prefix}.bias": (1, 3, 1, 1)}

    shapes |= layer("conv1", channels[0], channels[0]) | colours("to_rgb1", channels[0])
    for i in range(len(channels) - 1):
        shapes |= layer(f"convs.{2 * i}", channels[i], channels[i + 1])
        shapes |= layer(f"convs.{2 * i + 1}", channels[i + 1], channels[i + 1])
        shapes |= colours(f"to_rgbs.{i}", channels[i + 1])
    if noises:
        for i in range(2 * len(channels) - 1):
            side = base * 2 ** ((i + 1) // 2)
            shapes[f"noises.noise_{i}"] = (1, 1, side, side)
    state = drawn(shapes, seed)
    for i in range(len(channels) - 1):
        state[f"convs.{2 * i}.conv.blur.kernel"] = KERNEL * 4
        state[f"to_rgbs.{i}.upsample.kernel"] = KERNEL * 4
    return state


def nvlabs_state(channels=(5, 4, 3), style=6, mapping=2, seed=0):
    """Parameters and buffers of a ``G_ema`` under their dotted names."""
    shapes = {"mapping.w_avg": (style,)}
    for i in range(mapping):
        shapes |= {f"mapping.fc{i}.weight": (style, style), f"mapping.fc{i}.bias": (style,)}
    for i, width in enumerate(channels):
        side, block = 4 * 2**i, f"synthesis.b{4 * 2**i}"
        if i == 0:
            shapes[f"{block}.const"] = (width, 4, 4)
        for conv, inputs in (("conv0", channels[i - 1]), ("conv1", width)):
            if i or conv == "conv1":
                prefix = f"{block}.{conv}"
                shapes |= {f"{prefix}.weight": (width, inputs, 3, 3), f"{prefix}.bias": (width,)}
                shapes |= {f"{prefix}.noise_const": (side, side), f"{prefix}.noise_strength": ()}
                shapes |= {f"{prefix}.affine.weight": (inputs, style), f"{prefix}.affine.bias": (inputs,)}
        shapes |= {f"{block}.torgb.weight": (3, width, 1, 1), f"{block}.torgb.bias": (3,)}
        shapes |= {f"{block}.torgb.affine.weight": (width, style), f"{block}.torgb.affine.bias": (width,)}
    state = drawn(shapes, seed)
    for name in [name.rpartition(".")[0] for name in state if name.endswith(".noise_const")]:
        state[f"{name}.resample_filter"] = KERNEL
        state[f"{name.rpartition('.')[0]}.resample_filter"] = KERNEL
    return state


def style1_state(channels=(5, 4, 3, 2), fused_from=2, style=6, mapping=2, seed=0):
    """A ``g_running`` of rosinality's style-based-gan-pytorch."""
    shapes = {}
    for i in range(1, 2 * mapping, 2):
        shapes |= {f"style.{i}.linear.weight_orig": (style, style), f"style.{i}.linear.bias": (style,)}
    for i, width in enumerate(channels):
        prefix, inputs = f"generator.progression.{i}", channels[i - 1]
        if i == 0:
            shapes[f"{prefix}.conv1.input"] = (1, width, 4, 4)
        elif i >= fused_from:
            shapes |= {f"{prefix}.conv1.0.weight": (inputs, width, 3, 3), f"{prefix}.conv1.0.bias": (width,)}
        else:
            shapes[f"{prefix}.conv1.1.conv.weight_orig"] = (width, inputs, 3, 3)
            shapes[f"{prefix}.conv1.1.conv.bias"] = (width,)
        shapes |= {f"{prefix}.conv2.conv.weight_orig": (width, width, 3, 3), f"{prefix}.conv2.conv.bias": (width,)}
        for number in (1, 2):
            shapes[f"{prefix}.noise{number}.weight_orig"] = (1, width, 1, 1)
            shapes[f"{prefix}.adain{number}.style.linear.weight_orig"] = (2 * width, style)
            shapes[f"{prefix}.adain{number}.style.linear.bias"] = (2 * width,)
        shapes |= {f"generator.to_rgb.{i}.conv.weight_orig": (3, width, 1, 1), f"generator.to_rgb.{i}.conv.bias": (3,)}
    state = drawn(shapes, seed)
    line = torch.tensor([1.0, 2, 1]) / 4
    for i, width in enumerate(channels[1:], start=1):
        place = f"generator.progression.{i}.conv1.{1 if i >= fused_from else 2}"
        for name in ("weight", "weight_flip"):
            state[f"{place}.{name}"] = torch.outer(line, line).repeat(width, 1, 1, 1)
    return state


class Persistent:
    """Pickles as an object of NVlabs' persistent classes does."""

    def __init__(self, class_name, state, source="raise SystemExit('executed')"):
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def stub_modules(monkeypatch):
    """The names that NVlabs' pickles use, so that Python's pickler can write them."""
    persistence = types.ModuleType("torch_utils.persistence")
    exec("def _reconstruct_persistent_obj(meta):\n    raise AssertionError", persistence.__dict__)
    util = types.ModuleType("dnnlib.util")
    exec("class EasyDict(dict):\n    pass", util.__dict__)
    for name, module in {
        "torch_utils": types.ModuleType("torch_utils"),
        "torch_utils.persistence": persistence,
        "dnnlib": types.ModuleType("dnnlib"),
        "dnnlib.util": util,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    return util.EasyDict


SETTINGS = {"": {"z_dim": 6, "c_dim": 0, "w_dim": 6, "img_channels": 3}}


def module_tree(state, settings, class_name="Generator", prefix="", source="raise SystemExit('executed')"):
    """Nested persistent modules with torch's attributes; tensors are parameters, buffers where NVlabs has buffers."""
    parameters, buffers, children = OrderedDict(), OrderedDict(), OrderedDict()
    for name, value in state.items():
        head, _, rest = name.partition(".")
        if rest:
            children.setdefault(head, {})[rest] = value
        elif name in {"w_avg", "noise_const", "resample_filter"}:
            buffers[name] = value
        else:
            parameters[name] = torch.nn.Parameter(value)
    modules = OrderedDict(
        (name, module_tree(inner, settings, "Module", f"{prefix}{name}.", source)) for name, inner in children.items()
    )
    attributes = {
        "training": False,
        "_parameters": parameters,
        "_buffers": buffers,
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_modules": modules,
        "act_gain": np.sqrt(2),
        **settings.get(prefix, {}),
    }
    return Persistent(class_name, attributes, source)


def write_nvlabs(
    path, monkeypatch, state=None, settings=None, protocol=3, source="raise SystemExit('executed')", **more
):
    """A pickle as NVlabs' training loop writes it."""
    easy = stub_modules(monkeypatch)
    state = nvlabs_state() if state is None else state
    given = {"": SETTINGS[""], "mapping.fc0.": {"bias_gain": 0.5}, **(settings or {})}
    content = {
        "G": None,
        "D": None,
        "G_ema": module_tree(state, given, source=source),
        "augment_pipe": None,
        "training_set_kwargs": easy(class_name="training.dataset.ImageFolderDataset", resolution=16),
        **more,
    }
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def as_numpy(state):
    return {name: value.double().numpy() for name, value in state.items()}
