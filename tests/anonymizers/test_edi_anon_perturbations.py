"""The base perturbations of EDI-Anon against their definitions, and their published strengths."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from anonymizers.edi_anon.perturbations import (
    COLOURS,
    FAMILIES,
    PUBLISHED,
    FloatDpBlur,
    Perturbation,
    build,
    published,
    scaled,
    text_of,
)
from benchmark.images import ImageSet
from benchmark.seeding import laplace
from tests.anonymizers.edi_anon_oracle import gaussian, noisy_cells

NAMES = sorted([*FAMILIES, "mask"])
GIVEN: dict[str, dict[str, Any]] = {"noise": {"sigma": 40.0}}


def pictures(count: int = 3, height: int = 40, width: int = 33, seed: int = 0) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, height, width), dtype=np.uint8)
    return ImageSet(torch.from_numpy(pixels), tuple(f"image {row}" for row in range(count)))


def grey(count: int, side: int) -> ImageSet:
    return ImageSet(torch.full((count, 3, side, side), 128, dtype=torch.uint8), tuple(map(str, range(count))))


def built(perturb: str, side: int = 33, reference: bool = False, **given: Any) -> Perturbation:
    return build(perturb, GIVEN.get(perturb, {}) | given, side, reference)


@pytest.mark.parametrize("kernel", [1, 2, 3, 8, 9, 40, 41, 70])
def test_box_blur_is_that_of_opencv(kernel: int) -> None:
    """Acceptance check 8: borders, even kernels, and kernels larger than the image."""
    images = pictures()
    for image, blurred in zip(images.images, built("blur", kernel=kernel)(images, 0), strict=True):
        stacked = image.permute(1, 2, 0).double().numpy()
        exact = cv2.blur(stacked, (kernel, kernel), borderType=cv2.BORDER_REFLECT_101)
        assert np.abs(exact - blurred.permute(1, 2, 0).numpy()).max() <= 1


@pytest.mark.parametrize("kernel", [4, 7, 10])
def test_box_blur_is_the_mean_of_a_window_that_leans_to_the_upper_left(kernel: int) -> None:
    """Acceptance check 8: an even window covers i - k/2 .. i + k/2 - 1, the border is reflected."""
    images = pictures()
    before, after = kernel // 2, kernel - kernel // 2 - 1
    padded = np.pad(images.images.numpy().astype(float), ((0, 0), (0, 0), (before, after), (before, after)), "reflect")
    mean = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3)).mean((4, 5))
    assert np.abs(mean - built("blur", kernel=kernel)(images, 0).numpy()).max() <= 1


def test_cells_of_dp_pix_are_constant() -> None:
    """Acceptance check 8."""
    found = built("dp-pix", b=8, m=2, eps=0.3)(pictures(2, 40, 33), 1)
    for top in range(0, 40, 8):
        for left in range(0, 33, 8):
            cell = found[:, :, top : top + 8, left : left + 8].flatten(2)
            assert (cell == cell[:, :, :1]).all()
    assert len(found.unique()) > 20


@pytest.mark.parametrize(("b", "m", "eps"), [(8, 1, 0.5), (4, 1, 2.0), (16, 16, 2.0)])
def test_noise_of_dp_pix_has_the_stated_scale(b: int, m: int, eps: float) -> None:
    """Acceptance check 8: the mean distance of Laplace draws from their centre is their scale, R m / (b b eps)."""
    images = grey(12 * b * b, 32)
    cells = built("dp-pix", b=b, m=m, eps=eps)(images, 4)[:, :, ::b, ::b].double()
    assert cells.numel() > 20_000
    assert (cells - 128).abs().mean() == pytest.approx(255 * m / (b * b * eps), rel=0.05)


def test_noise_is_the_same_on_values_up_to_1_and_up_to_255() -> None:
    """Acceptance check 8: scale R m / (b b eps) with R = 1 on values up to 1 is that of R = 255 on grey levels."""
    images, b, m, eps = pictures(2, 32, 32), 8, 3, 0.6
    draws = laplace(5, "dp-pix", images.keys, (3, 4, 4)).numpy()
    means = (images.images.double() / 255).numpy().reshape(2, 3, 4, b, 4, b).mean((3, 5))
    small = means + draws * 1 * m / (b * b * eps)
    expected = np.round(255 * small).clip(0, 255).repeat(b, 2).repeat(b, 3)
    assert np.array_equal(built("dp-pix", b=b, m=m, eps=eps)(images, 5).numpy(), expected)


def test_published_noise_is_a_formula_for_grey_levels_on_values_up_to_1() -> None:
    """Acceptance check 8: eps = 100, b = 32, m = 16 give 255 m / (b b eps) on values from 0 to 1."""
    images = grey(150, 224)
    cells = built("dp-pix", 224)(images, 0)[:, :, ::32, ::32].double() / 255
    scale = 255 * 16 / (32 * 32 * 100)
    assert scale == pytest.approx(0.0398, abs=5e-5)
    assert (cells - 128 / 255).abs().mean() == pytest.approx(scale, rel=0.05)


@pytest.mark.parametrize("kernel", [11, 21, 43])
def test_dp_blur_of_the_reference_rounds_once(kernel: int) -> None:
    """DP-Blur in the published arithmetic: float64 from the cells to the end."""
    images = pictures(3, 50, 46)
    found = built("dp-blur", reference=True, b=10, m=16, eps=0.3, kernel=kernel)(images, 6)
    for image, key, blurred in zip(images.images.numpy(), images.keys, found.numpy(), strict=True):
        exact = gaussian(noisy_cells(image, "dp-blur", 10, 16, 0.3, 6, key), kernel)
        assert np.array_equal(blurred, np.round(exact).clip(0, 255).astype(np.uint8))
    cells = noisy_cells(images.images[0].numpy(), "dp-blur", 10, 16, 0.3, 6, "image 0")
    assert cells.min() < 0 or cells.max() > 255, "it makes a difference here"


def test_only_the_reference_has_its_own_dp_blur() -> None:
    for perturb in NAMES:
        assert isinstance(built(perturb, reference=True), FloatDpBlur) == (perturb == "dp-blur")
        assert not isinstance(built(perturb), FloatDpBlur)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("perturb", NAMES)
def test_outputs_are_8_bit_images_of_the_same_size(perturb: str, reference: bool) -> None:
    """Acceptance check 8: inside the range, by type; on odd sizes down to one pixel, black and white included."""
    for height, width in ((1, 1), (1, 5), (7, 1), (2, 3), (33, 41)):
        images = pictures(3, height, width)
        for picture in (images, images.with_images(images.images * 0), images.with_images(images.images * 0 + 255)):
            found = built(perturb, min(height, width), reference)(picture, 2)
            assert found.dtype == torch.uint8
            assert found.shape == picture.images.shape


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("perturb", NAMES)
def test_deterministic_is_what_the_seed_does_not_change(perturb: str, reference: bool) -> None:
    images, base = pictures(), built(perturb, 224, reference)
    before = images.images.clone()
    assert torch.equal(base(images, 1), base(images, 1))
    assert torch.equal(base(images, 1), base(images, 2)) == base.deterministic
    assert torch.equal(images.images, before)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("perturb", NAMES)
def test_an_image_is_perturbed_by_itself(perturb: str, reference: bool) -> None:
    images, base = pictures(5), built(perturb, 33, reference)
    together = base(images, 3)
    for order in (torch.tensor([4]), torch.tensor([2, 0])):
        assert torch.equal(base(images.select(order), 3), together[order])


def test_paint() -> None:
    images = pictures()
    for name, colour in COLOURS.items():
        found = built("mask", colour=name)(images, 0)
        assert found.shape == images.images.shape
        assert (found == torch.tensor(colour)[:, None, None]).all()


# Strengths


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        (224, {"kernel": 40, "size": 20, "b": 32, "m": 16, "gaussian": 99}),
        (96, {"kernel": 17, "size": 9, "b": 14, "m": 3, "gaussian": 43}),
        (64, {"kernel": 11, "size": 6, "b": 9, "m": 1, "gaussian": 29}),
        (1, {"kernel": 1, "size": 1, "b": 1, "m": 1, "gaussian": 1}),
    ],
)
def test_published_strengths_go_with_the_side(side: int, expected: dict[str, int]) -> None:
    assert published("blur", side) == {"kernel": expected["kernel"]}
    assert published("pixelate", side) == {"size": expected["size"], "variant": "edi"}
    cells = {"b": expected["b"], "m": expected["m"], "eps": 100 / 255}
    assert published("dp-pix", side) == cells
    assert published("dp-blur", side) == {**cells, "kernel": expected["gaussian"]}
    assert published("mask", side) == {"colour": "black"}
    assert published("noise", side) == {}


@pytest.mark.parametrize("side", range(1, 600, 7))
def test_every_published_strength_can_be_built(side: int) -> None:
    for perturb in PUBLISHED:
        build(perturb, {}, side, reference=True)


@pytest.mark.parametrize("side", [64, 96, 112, 160, 448])
def test_noise_stays_nearly_the_same_on_other_sizes(side: int) -> None:
    b, m = (float(scaled(name, value, side)) for name, value in (("b", 32), ("m", 16)))
    assert m / b**2 == pytest.approx(16 / 32**2, rel=0.3), "but for rounding"


def test_given_strengths_are_not_scaled() -> None:
    images = pictures(2, 64, 64)
    assert torch.equal(
        build("blur", {"kernel": 40}, 64, False)(images, 0), build("blur", {"kernel": 40}, 9, False)(images, 0)
    )
    assert text_of("blur", {}, 96) == "blur(kernel=17)"
    assert text_of("blur", {"kernel": 5}, 96) == "blur(kernel=5)"
    assert text_of("dp-pix", {"b": 10}, 224) == "dp-pix(b=10, m=16, eps=0.3922)"
    assert text_of("noise", {"sigma": 12.5}, 224) == "noise(sigma=12.5)"


@pytest.mark.parametrize("perturb", NAMES)
def test_parameters_of_others_are_refused(perturb: str) -> None:
    mine = {
        "blur": "kernel",
        "pixelate": "size",
        "dp-pix": "b",
        "dp-blur": "kernel",
        "noise": "sigma",
        "mask": "colour",
    }
    other = "size" if perturb != "pixelate" else "kernel"
    with pytest.raises(ValueError, match=f"perturb={perturb} has no parameter '{other}'; it has .*{mine[perturb]}"):
        build(perturb, {other: 3}, 64, reference=False)


def test_noise_has_no_published_strength() -> None:
    with pytest.raises(ValueError, match="no published strength; give one, as in perturb=noise, sigma=50"):
        build("noise", {}, 64, reference=False)
