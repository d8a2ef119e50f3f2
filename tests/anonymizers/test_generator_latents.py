"""Latents of photographs from a generator that is broken."""

from __future__ import annotations

import pytest
import torch

from anonymizers.kanonymity.generator.files import load_generator
from anonymizers.kanonymity.generator.latents import latents_of
from benchmark.errors import EntrantError
from tests.anonymizers.tiny_generators import smooth_people, write_tiny


@pytest.mark.parametrize("steps", [0, 2])
def test_latents_that_are_not_finite_are_an_error_of_one_line(steps, tmp_path) -> None:
    """An encoder whose numbers are finite and overflow."""
    broken = load_generator(str(write_tiny(tmp_path / "g.safetensors", seed=9)))
    with torch.no_grad():
        for parameter in broken.encoder.parameters():
            parameter.mul_(1e30)
    with pytest.raises(EntrantError) as caught:
        latents_of(broken, smooth_people(5, 1).images, steps)
    message = str(caught.value)
    assert "finite" in message
    assert "anonbench generator train" in message
    assert "\n" not in message
