"""Generator files: one safetensors with generator, encoder and what they were trained on; and everybody's others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from anonymizers.kanonymity.generator.encoder import Encoder
from anonymizers.kanonymity.generator.network import Design, StyleGenerator
from anonymizers.kanonymity.generator.nvlabs import read_nvlabs
from anonymizers.kanonymity.generator.rosinality import load_tensors, read_rosinality
from anonymizers.kanonymity.generator.stylegan1 import Style1Generator, read_style1
from benchmark.errors import EntrantError
from benchmark.hashing import sha256_file

SHIPPED = "portraits"
HERE = Path(__file__).parent.parent / "weights"
FORMAT = 1
LARGE = 4096
"""Numbers in a tensor from which on it is written in 8 bit."""
SCALE = ".scale"


@dataclass(frozen=True, eq=False)
class Generator:
    """A generator that is ready to use.

    Attributes:
        network: W+ to pictures.
        encoder: pictures to W+; None for generators of others, whose latents are found by optimisation.
        sha256: of the file.
        facts: what the file says about its training.
    """

    network: StyleGenerator | Style1Generator
    encoder: Encoder | None
    sha256: str
    facts: dict[str, Any]


def path_of(name: str) -> Path:
    """Where a generator is: the shipped one by name, others by path.

    Raises:
        EntrantError: there is no such file.
    """
    path = HERE / f"{SHIPPED}.safetensors" if name == SHIPPED else Path(name)
    if not path.is_file():
        remedy = (
            "git checkout anonymizers/kanonymity/weights" if name == SHIPPED else "anonbench generator train --help"
        )
        raise EntrantError(f"generator={name}: there is no file {path}. Try: {remedy}")
    return path


def training_of(name: str) -> str:
    """What a generator of this project was trained on; empty for those of others."""
    from safetensors import SafetensorError, safe_open

    path = path_of(name)
    if path.suffix != ".safetensors":
        return ""
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(_header(file)["facts"])
    except (SafetensorError, LookupError, ArithmeticError, ValueError, TypeError) as error:
        raise EntrantError(
            f"{path} is no generator of this project: make one with: anonbench generator train"
        ) from error
    return str(facts.get("trained_on", ""))


def hash_of(name: str) -> str:
    """sha256 of a generator's file."""
    return sha256_file(path_of(name))


def write_generator(path: Path, network: StyleGenerator, encoder: Encoder, facts: dict[str, Any]) -> None:
    """Writes a generator: large weights as 8-bit whole numbers with a scale per row, the others in half precision.

    Args:
        path: ends with .safetensors.
        network: the generator.
        encoder: its encoder.
        facts: what it was trained on, for whoever reads the file.
    """
    from safetensors.torch import save

    from benchmark.store import write_atomic

    states = {"generator": network.state_dict(), "encoder": encoder.state_dict()}
    tensors = {
        name: value
        for part, state in states.items()
        for key, tensor in state.items()
        for name, value in packed(f"{part}.{key}", tensor.detach().float()).items()
    }
    header = {
        "format": FORMAT,
        "design": network.design.as_dict(),
        "hidden": encoder.hidden.out_features,
        "facts": facts,
    }
    # One entry: safetensors writes several in an order of chance, and the same generator would have many hashes.
    write_atomic(path, save(tensors, metadata={"generator": json.dumps(header, sort_keys=True)}))


def _header(file: Any) -> dict[str, Any]:
    """What the file says about itself.

    Raises:
        KeyError, TypeError, ValueError: it is no generator's.
    """
    header = json.loads((file.metadata() or {})["generator"])
    if header["format"] != FORMAT:
        raise ValueError(f"format {header['format']}")
    return dict(header)


def packed(name: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """A tensor as it is written: int8 and the scale of each row (first axis) if it is large, else float16."""
    if value.dim() < 2 or value.numel() < LARGE:
        return {name: value.to(torch.float16).contiguous()}
    rows = value.flatten(1)
    scale = (rows.abs().amax(dim=1) / 127).clamp(min=1e-12)
    return {name: (rows / scale[:, None]).round().to(torch.int8).view_as(value).contiguous(), name + SCALE: scale}


def unpacked(given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors as they are used, float32."""
    found = {}
    for name, value in given.items():
        if name.endswith(SCALE):
            continue
        scale = given.get(name + SCALE)
        if value.dtype == torch.int8 and (scale is None or scale.shape != value.shape[:1]):
            continue  # without its scale a tensor is as good as missing
        whole = value.float()
        found[name] = whole if scale is None else whole * scale.view(-1, *[1] * (whole.dim() - 1))
    return found


def load_generator(name: str, device: str = "cpu") -> Generator:
    """Loads a generator: ``portraits``, a ``.safetensors`` file of this project, ``.pt`` or ``.pkl`` of others.

    Raises:
        EntrantError: the file is missing, broken, or of another layout; the message names the tensor.
    """
    path = path_of(name)
    if path.suffix == ".safetensors":
        return _own(path, device)
    return Generator(_ready(_published(path), device), None, sha256_file(path), {})


def _published(path: Path) -> StyleGenerator | Style1Generator:
    """StyleGAN2 of NVlabs, StyleGAN2 or StyleGAN1 of rosinality."""
    if path.suffix == ".pkl":
        return read_nvlabs(path)
    content = load_tensors(path)
    of_style1 = "g_running" in content or any(str(name).startswith("generator.progression.") for name in content)
    return read_style1(path) if of_style1 else read_rosinality(path)


def _own(path: Path, device: str) -> Generator:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = _header(file)
            tensors = unpacked({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118 - no mapping
        design = header["design"]
        network = StyleGenerator(Design(**{**design, "channels": tuple(design["channels"])}))
        encoder = Encoder(network.design, header["hidden"])
        facts = dict(header["facts"])
    except (SafetensorError, LookupError, ArithmeticError, ValueError, TypeError, RuntimeError) as error:
        raise EntrantError(
            f"{path} is no generator of this project: make one with: anonbench generator train"
        ) from error
    fill(torch.nn.ModuleDict({"generator": network, "encoder": encoder}), tensors, path)
    return Generator(_ready(network, device), _ready(encoder, device), sha256_file(path), facts)


def _ready(module: Any, device: str) -> Any:
    return module.to(device).eval().requires_grad_(False)


def fill(module: torch.nn.Module, given: dict[str, torch.Tensor], path: Path) -> None:
    """Loads tensors by name.

    Raises:
        EntrantError: one is missing, superfluous, of another shape, or not finite; it is named.
    """
    wanted = module.state_dict()
    missing, strange = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    wrong = sorted(name for name in set(wanted) & set(given) if wanted[name].shape != given[name].shape)
    endless = sorted(name for name, value in given.items() if not value.isfinite().all())
    what = ""
    if missing:
        what = f"'{missing[0]}' is missing"
    elif strange:
        what = f"'{strange[0]}' belongs to another network"
    elif wrong:
        what = f"'{wrong[0]}' is {list(given[wrong[0]].shape)} instead of {list(wanted[wrong[0]].shape)}"
    elif endless:
        what = f"'{endless[0]}' holds NaN or infinity"
    if what:
        raise EntrantError(f"{path}: tensor {what}. Take the file anew, or train one: anonbench generator train --help")
    module.load_state_dict(given)
