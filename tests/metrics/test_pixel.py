"""Pixel metrics against scikit-image, closed forms and values other tools published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from skimage.metrics import structural_similarity as reference_ssim

from benchmark.images import ImageSet, Labels
from benchmark.protocols import Referees, Scores
from metrics.pixel import Mse, Psnr, Ssim, decibels, gaussian_window, squared_error, structural_similarity

DATA = Path(__file__).parents[2].parent / "shared" / "data"
CALIBRATION = DATA / "iqa_calibration"
EXAMPLE = DATA / "lpips_example"
Pixels = np.ndarray
TEXTURES = ("noise", "blocks", "two-level blocks", "steps with noise", "smooth", "flat", "black", "white", "dots")


def as_set(images: Pixels, people: int | None = None) -> ImageSet:
    identity = None
    if people is not None:
        identity = Labels(torch.arange(len(images)) % people, tuple(f"person {number}" for number in range(people)))
    return ImageSet(torch.from_numpy(images), tuple(f"image {row}" for row in range(len(images))), identity)


def blocks(generator: np.random.Generator, height: int, width: int, side: int, levels: int) -> Pixels:
    rows, columns = -(-height // side), -(-width // side)
    cells = generator.integers(0, levels, (3, rows, columns)) * (255 // (levels - 1))
    return np.kron(cells, np.ones((1, side, side), np.int64))[:, :height, :width]


def smooth(generator: np.random.Generator, height: int, width: int) -> Pixels:
    rows, columns = np.mgrid[:height, :width]
    slopes = generator.uniform(-3, 3, (3, 2, 1, 1))
    return 128 + slopes[:, 0] * (rows - height / 2) + slopes[:, 1] * (columns - width / 2)


def dots(generator: np.random.Generator, height: int, width: int) -> Pixels:
    return 255 * (generator.random((3, height, width)) < 0.002)


def paint(texture: str, seed: int, height: int, width: int) -> Pixels:
    """One uint8 ``[3, H, W]`` picture; the flat and blocky ones let rounding errors of float32 add up."""
    generator = np.random.default_rng(seed)
    shape, side = (3, height, width), int(generator.choice([2, 4, 8, 16, 32]))
    painted = {
        "noise": lambda: generator.integers(0, 256, shape),
        "blocks": lambda: blocks(generator, height, width, side, 256),
        "two-level blocks": lambda: blocks(generator, height, width, side, 2),
        "steps with noise": lambda: blocks(generator, height, width, 32, 2) + generator.integers(-2, 3, shape),
        "smooth": lambda: smooth(generator, height, width),
        "flat": lambda: np.full(shape, generator.integers(0, 256)),
        "black": lambda: np.zeros(shape),
        "white": lambda: np.full(shape, 255),
        "dots": lambda: dots(generator, height, width),
    }[texture]()
    return np.clip(painted, 0, 255).astype(np.uint8)


def skimage_ssim(original: Pixels, released: Pixels) -> float:
    value = reference_ssim(
        original,
        released,
        channel_axis=0,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(value)


def our_ssim(original: Pixels, released: Pixels) -> float:
    return float(structural_similarity(torch.from_numpy(original)[None], torch.from_numpy(released)[None])[0])


def our_psnr(original: Pixels, released: Pixels) -> float:
    return float(decibels(squared_error(torch.from_numpy(original)[None], torch.from_numpy(released)[None]))[0])


def pair_of(first: str, second: str, seed: int, height: int, width: int) -> tuple[Pixels, Pixels]:
    return paint(first, seed, height, width), paint(second, seed + 1, height, width)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.sampled_from(TEXTURES),
    st.sampled_from(TEXTURES),
    st.integers(0, 999),
    st.integers(11, 120),
    st.integers(11, 120),
)
@example("smooth", "two-level blocks", 77, 96, 40)
@example("steps with noise", "smooth", 346, 24, 64)
def test_ssim_equals_scikit_image(first: str, second: str, seed: int, height: int, width: int) -> None:
    original, released = pair_of(first, second, seed, height, width)
    assert our_ssim(original, released) == pytest.approx(skimage_ssim(original, released), abs=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(TEXTURES), st.integers(0, 999), st.integers(1, 40), st.integers(11, 120), st.integers(11, 120))
def test_ssim_equals_scikit_image_on_a_little_noise(
    texture: str, seed: int, strength: int, height: int, width: int
) -> None:
    original = paint(texture, seed, height, width)
    noise = np.random.default_rng(seed).integers(-strength, strength + 1, original.shape)
    released = np.clip(original + noise, 0, 255).astype(np.uint8)
    assert our_ssim(original, released) == pytest.approx(skimage_ssim(original, released), abs=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(TEXTURES), st.sampled_from(TEXTURES), st.integers(0, 999), st.integers(1, 120), st.integers(1, 120)
)
def test_psnr_equals_scikit_image(first: str, second: str, seed: int, height: int, width: int) -> None:
    original, released = pair_of(first, second, seed, height, width)
    if np.array_equal(original, released):
        assert our_psnr(original, released) == np.inf
    else:
        expected = peak_signal_noise_ratio(original, released, data_range=255)
        assert our_psnr(original, released) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(TEXTURES), st.sampled_from(TEXTURES), st.integers(0, 999), st.integers(1, 130))
def test_squared_error_is_exact(first: str, second: str, seed: int, width: int) -> None:
    original, released = pair_of(first, second, seed, 61, width)
    total = int(((original.astype(np.int64) - released.astype(np.int64)) ** 2).sum())
    assert float(squared_error(torch.from_numpy(original)[None], torch.from_numpy(released)[None])[0]) == (
        total / original.size
    )


def test_largest_error_of_a_large_image_is_exact() -> None:
    black, white = torch.zeros(2, 3, 301, 299, dtype=torch.uint8), torch.full((2, 3, 301, 299), 255, dtype=torch.uint8)
    assert squared_error(black, white).tolist() == [255.0**2, 255.0**2]
    assert decibels(squared_error(black, white)).tolist() == [0.0, 0.0]


def test_gaussian_window_is_the_one_of_wang() -> None:
    window = gaussian_window()
    assert len(window) == 11
    assert window.sum() == pytest.approx(1, abs=1e-15)
    assert window[5] / window[4] == pytest.approx(np.exp(0.5 / 1.5**2))


def test_ssim_of_identical_images_is_one() -> None:
    pictures = np.stack([paint(texture, 1, 40, 33) for texture in TEXTURES])
    images = torch.from_numpy(pictures)
    assert structural_similarity(images, images.clone()) == pytest.approx(1.0, abs=1e-7)


def test_ssim_of_black_against_white_is_the_closed_form() -> None:
    stabiliser = (0.01 * 255) ** 2
    value = our_ssim(paint("black", 0, 20, 20), paint("white", 0, 20, 20))
    assert value == pytest.approx(stabiliser / (255**2 + stabiliser), abs=1e-9)


def random_pair(count: int = 7, people: int | None = None, side: int = 24) -> tuple[ImageSet, ImageSet]:
    generator = np.random.default_rng(7)
    original = generator.integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    noise = generator.integers(-40, 41, original.shape) * (1 + np.arange(count))[:, None, None, None] / count
    return as_set(original, people), as_set(np.clip(original + noise, 0, 255).astype(np.uint8), people)


def all_scores(original: ImageSet, released: ImageSet) -> dict[str, Scores]:
    return {metric.card.name: metric.score(original, released, Referees()) for metric in (Mse(), Psnr(), Ssim())}


@pytest.mark.parametrize("name", ["mse", "psnr", "ssim"])
def test_score_is_the_mean_of_the_images(name: str) -> None:
    scores = all_scores(*random_pair())[name]
    assert scores.score.value == pytest.approx(float(scores.per_image[name].mean()), rel=1e-12)
    assert scores.score.n == 7
    assert scores.score.interval is not None
    assert scores.score.interval.low < scores.score.value < scores.score.interval.high


def test_an_image_scores_alone_as_in_the_set() -> None:
    original, released = random_pair(37)
    together = all_scores(original, released)
    for row in range(len(original)):
        alone = all_scores(original[row : row + 1], released[row : row + 1])
        for name, scores in alone.items():
            assert float(scores.per_image[name][0]) == float(together[name].per_image[name][row])


def test_clusters_are_people_where_they_are_known() -> None:
    assert {part.score.n_clusters for part in all_scores(*random_pair(8, people=3)).values()} == {3}
    assert {part.score.n_clusters for part in all_scores(*random_pair(8)).values()} == {8}


def test_one_person_has_no_interval() -> None:
    assert [part.score.interval for part in all_scores(*random_pair(4, people=1)).values()] == [None, None, None]


def test_psnr_counts_identical_images_apart() -> None:
    original, changed = random_pair(5)
    pixels = changed.images.clone()
    pixels[1], pixels[3] = original.images[1], original.images[3]
    released = original.with_images(pixels)
    scores = Psnr().score(original, released, Referees())
    error = squared_error(original.images, pixels)
    finite = decibels(error[error > 0])
    assert scores.score.value == pytest.approx(float(finite.mean()), rel=1e-12)
    assert (scores.score.n, scores.score.n_clusters) == (3, 3)
    assert scores.score.details["identical images"] == 2
    assert scores.score.details["PSNR of the mean MSE"] == pytest.approx(10 * np.log10(255**2 / float(error.mean())))
    assert torch.isinf(scores.per_image["psnr"]).tolist() == [False, True, False, True, False]


def test_identity_has_no_psnr_but_a_perfect_ssim_and_no_error() -> None:
    original, _ = random_pair(4)
    scores = all_scores(original, original)
    assert scores["psnr"].score.status == "not-applicable"
    assert scores["psnr"].score.value is None
    assert "identical" in scores["psnr"].score.reason
    assert scores["psnr"].score.details == {"identical images": 4.0}
    assert scores["ssim"].score.value == pytest.approx(1, abs=1e-7)
    assert scores["mse"].score.value == 0


def test_ssim_of_images_smaller_than_the_window_is_not_applicable() -> None:
    score = Ssim().score(*random_pair(2, side=10), Referees()).score
    assert (score.status, score.value) == ("not-applicable", None)
    assert "11 px" in score.reason


def test_ssim_keeps_an_image_and_its_score_together() -> None:
    original, released = random_pair(9)
    order = torch.tensor([4, 0, 8, 2, 6, 1, 3, 7, 5])
    straight = structural_similarity(original.images, released.images)
    assert torch.equal(structural_similarity(original.images[order], released.images[order]), straight[order])


def read(path: Path) -> Pixels:
    if not path.is_file():
        pytest.skip(f"reference images are not here: {path.parent.name}")
    return np.ascontiguousarray(np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("name", "psnr", "ssim"),
    [
        ("I03", 21.113634, 0.673173),
        ("I04", 20.987196, 0.932519),
        ("I06", 27.013871, 0.989635),
        ("I08", 23.300255, 0.967428),
        ("I19", 21.618650, 0.630729),
    ],
)
def test_calibration_images_have_their_published_values(name: str, psnr: float, ssim: float) -> None:
    original, released = read(CALIBRATION / "ref" / f"{name}.png"), read(CALIBRATION / "dist" / f"{name}.png")
    assert our_psnr(original, released) == pytest.approx(psnr, abs=6e-7)
    assert our_ssim(original, released) == pytest.approx(ssim, abs=6e-7)


@pytest.mark.parametrize(("name", "psnr", "ssim"), [("ex_p0", 18.045541, 0.436746), ("ex_p1", 13.867510, 0.295903)])
def test_lpips_example_has_its_published_values(name: str, psnr: float, ssim: float) -> None:
    original, released = read(EXAMPLE / "ex_ref.png"), read(EXAMPLE / f"{name}.png")
    assert our_psnr(original, released) == pytest.approx(psnr, abs=6e-7)
    assert our_ssim(original, released) == pytest.approx(ssim, abs=6e-7)
