"""Every kind of file against numpy arithmetic, and every kind of bad file against its error."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmark import decode
from benchmark.decode import decode_bytes, decode_image, decode_images, decode_png, encode_png, load_images
from benchmark.errors import AnonbenchError, EnvironmentProblem, UsageError
from benchmark.hashing import sha256_file

SIDE = 8
RANDOM = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (SIDE, SIDE, *shape), dtype=np.uint8)


def file_of(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image: Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    return decode_bytes(file_of(image, kind, **options), SIDE, "image")


def grey_rgb(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything, so that a test of permissions has to step down."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A 1-bit PNG that promises width x height pixels and holds none of them."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM", "TIFF"])
def test_rgb_is_kept_exactly(kind: str) -> None:
    pixels = noise(3)
    assert np.array_equal(decoded(Image.fromarray(pixels), kind), pixels)


def test_lossless_webp_is_kept_exactly() -> None:
    pixels = noise(3)
    assert np.array_equal(decoded(Image.fromarray(pixels), "WEBP", lossless=True, exact=True), pixels)


@pytest.mark.parametrize("kind", ["PNG", "PPM", "TIFF", "GIF"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    pixels = noise()
    assert np.array_equal(decoded(Image.fromarray(pixels), kind), grey_rgb(pixels))


def test_black_and_white_becomes_0_and_255() -> None:
    bits = noise() > 127
    assert np.array_equal(decoded(Image.fromarray(bits)), grey_rgb(bits.astype(np.uint8) * 255))


def palette_image() -> tuple[Image.Image, np.ndarray, np.ndarray]:
    indices, palette = noise() % 4, RANDOM.integers(0, 256, (4, 3), dtype=np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    return image, indices, palette


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_is_looked_up(kind: str) -> None:
    image, indices, palette = palette_image()
    assert np.array_equal(decoded(image, kind), palette[indices])


def test_transparent_palette_entries_are_black() -> None:
    image, indices, palette = palette_image()
    expected = np.where(indices[..., None] == 2, 0, palette[indices])
    assert np.array_equal(decoded(image, transparency=2), expected)


def over_black(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.rint(colour.astype(float) * alpha[..., None] / 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_is_composited_over_black(kind: str) -> None:
    pixels = noise(4)
    assert np.array_equal(decoded(Image.fromarray(pixels), kind), over_black(pixels[..., :3], pixels[..., 3]))


def test_grey_with_alpha_is_composited_over_black() -> None:
    pixels = noise(2)
    assert np.array_equal(decoded(Image.fromarray(pixels, "LA")), over_black(grey_rgb(pixels[..., 0]), pixels[..., 1]))


def test_transparent_colour_of_rgb_is_black() -> None:
    pixels = noise(3)
    pixels[2, 3] = (1, 2, 3)
    expected = pixels.copy()
    expected[2, 3] = 0
    assert np.array_equal(decoded(Image.fromarray(pixels), transparency=(1, 2, 3)), expected)


def test_cmyk_is_ink_times_black() -> None:
    inks = noise(4)
    light = 255.0 - inks
    expected = light[..., :3] * light[..., 3:] / 255
    assert np.abs(decoded(Image.fromarray(inks, "CMYK"), "TIFF") - expected).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_divided_by_257_and_rounded(kind: str) -> None:
    values = RANDOM.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
    values[0, :4] = (0, 128, 129, 65535)
    expected = np.rint(values / 257).astype(np.uint8)
    assert expected[0, :4].tolist() == [0, 0, 1, 255]
    assert np.array_equal(decoded(Image.fromarray(values), kind), grey_rgb(expected))


def test_big_endian_16_bit_grey() -> None:
    values = RANDOM.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
    image = Image.frombytes("I;16B", (SIDE, SIDE), values.astype(">u2").tobytes())
    assert np.array_equal(decoded(image, "TIFF"), grey_rgb(np.rint(values / 257).astype(np.uint8)))


@pytest.mark.parametrize(("dtype", "mode"), [(np.int32, "I"), (np.float32, "F")])
def test_32_bit_pixels_are_refused(dtype: type, mode: str) -> None:
    with pytest.raises(UsageError, match=rf"^image has pixels of mode {mode}, .* save it as 8-bit PNG$"):
        decoded(Image.fromarray(np.ones((SIDE, SIDE), dtype)), "TIFF")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = decoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (pixels == (255, 0, 0)).all()


UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}
"""EXIF orientation to what a viewer does with the stored rows and columns."""


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    pixels = noise(3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 95}}.get(kind, {})
    data = file_of(Image.fromarray(pixels), kind, exif=exif, **options)
    stored = pixels
    if kind == "JPEG":
        stored = np.asarray(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode_bytes(data, SIDE, "image"), UPRIGHT[orientation](stored))


@pytest.mark.parametrize("exif", [b"Exif\0\0rubbish", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0"])
def test_broken_exif_counts_as_none(exif: bytes) -> None:
    image = Image.new("RGB", (SIDE, SIDE), (10, 200, 30))
    assert np.array_equal(decoded(image, "JPEG", exif=exif), decoded(image, "JPEG"))


@pytest.mark.parametrize(("width", "height"), [(24, 8), (8, 24), (9, 8), (8, 11)])
def test_centre_is_cropped(width: int, height: int) -> None:
    pixels = RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    result = decoded(Image.fromarray(pixels))
    assert result.shape == (SIDE, SIDE, 3)
    if (width - SIDE) % 2 == 0 and (height - SIDE) % 2 == 0:
        assert np.array_equal(result, pixels[top : top + SIDE, left : left + SIDE])


def bicubic_weights(source: int, target: int) -> np.ndarray:
    """Keys' cubic kernel (a = -0.5), stretched by the reduction, one row of weights per target pixel."""
    scale = source / target
    stretch = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    x = np.abs((np.arange(source) + 0.5 - centres[:, None]) / stretch)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("source", [5, 16, 23, 40])
def test_resize_is_an_antialiased_bicubic_filter(source: int) -> None:
    pixels = RANDOM.integers(0, 256, (source, source, 3), dtype=np.uint8)
    weights = bicubic_weights(source, SIDE)
    expected = np.clip(np.einsum("yi,xj,ijc->yxc", weights, weights, pixels.astype(float)), 0, 255)
    # Pillow rounds to 8 bits between its two passes.
    assert np.abs(decoded(Image.fromarray(pixels)).astype(float) - expected).max() <= 4
    assert np.abs(decoded(Image.fromarray(pixels)).astype(float) - expected).mean() < 1


def test_one_pixel_and_extreme_shapes() -> None:
    assert (decoded(Image.new("RGB", (1, 1), (1, 2, 3))) == (1, 2, 3)).all()
    assert (decoded(Image.new("RGB", (1, 5000), (1, 2, 3))) == (1, 2, 3)).all()


def test_size_must_be_positive(tmp_path: Path) -> None:
    for call in (lambda: decode_bytes(b"", 0, "x"), lambda: decode_images([tmp_path / "x"], -1)):
        with pytest.raises(UsageError, match="at least 1 pixel"):
            call()


def bad_files() -> dict[str, bytes]:
    whole = file_of(Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    jpeg = file_of(Image.fromarray(noise(3)).resize((64, 64)), "JPEG")
    return {
        "zero.png": b"",
        "text.png": b"this is text\n",
        "corrupt.png": whole[:60] + bytes(40) + whole[100:],
        "truncated.png": whole[: len(whole) // 2],
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "signature.png": whole[:8],
        "gigapixel.png": png_header(40_000, 40_000),
        "between.png": png_header(10_000, 10_000),
    }


@pytest.mark.parametrize("name", bad_files())
def test_bad_files_are_one_line_usage_errors(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(bad_files()[name])
    with pytest.raises(UsageError) as caught:
        decode_image(path, SIDE)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "remove it" in message


def test_bombs_say_how_many_pixels() -> None:
    with pytest.raises(UsageError, match="more than 89478485 pixels"):
        decode_bytes(png_header(40_000, 40_000), SIDE, "bomb")
    with pytest.raises(UsageError, match="10000 x 10000, more than 89478485 pixels"):
        decode_bytes(png_header(10_000, 10_000), SIDE, "bomb")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.png does not exist; check the path"):
        decode_image(tmp_path / "missing.png", SIDE)
    with pytest.raises(UsageError, match="is a folder"):
        decode_image(tmp_path, SIDE)


def test_line_breaks_in_names_are_escaped(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        decode_image(tmp_path / "two\nlines.png", SIDE)
    assert "two\\nlines.png does not exist" in str(caught.value)


def test_no_permission_is_a_problem_of_the_machine(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    path = folder / "a.png"
    path.write_bytes(file_of(Image.fromarray(noise(3))))
    folder.chmod(0)
    try:
        with as_nobody(), pytest.raises(EnvironmentProblem, match=r"a\.png may not be read; .*chmod") as caught:
            decode_image(path, SIDE)
    finally:
        folder.chmod(0o700)
    assert caught.value.exit_code == 4


def some_files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{row}.png" for row in range(count)]
    for row, path in enumerate(paths):
        path.write_bytes(file_of(Image.new("RGB", (SIDE, SIDE), (row, 0, 255 - row))))
    return paths


def test_many_files_keep_their_order(tmp_path: Path) -> None:
    paths, steps = some_files(tmp_path, 40), []
    images, hashes = load_images(paths, SIDE, steps.append)
    assert images.dtype == torch.uint8
    assert images.shape == (40, 3, SIDE, SIDE)
    assert images[:, 0, 0, 0].tolist() == list(range(40))
    assert hashes == tuple(sha256_file(path) for path in paths)
    assert steps == [1] * 40
    assert torch.equal(decode_images(paths[::-1], SIDE), images.flip(0))
    assert decode_images([], SIDE).shape == (0, 3, SIDE, SIDE)


def test_all_broken_files_are_counted_before_raising(tmp_path: Path) -> None:
    paths, steps = some_files(tmp_path, 20), []
    for row in (5, 9):
        paths[row].write_bytes(b"")
    paths[12].unlink()
    with pytest.raises(UsageError) as caught:
        decode_images(paths, SIDE, steps.append)
    assert str(caught.value).startswith(f"3 of 20 images cannot be read; first: {paths[5]} is empty")
    assert len(steps) == 20


@st.composite
def pictures(draw: st.DrawFn) -> torch.Tensor:
    height, width = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


@given(pictures())
@settings(deadline=None, max_examples=50)
def test_png_round_trip(image: torch.Tensor) -> None:
    data = encode_png(image)
    assert torch.equal(decode_png(data), image)
    assert encode_png(image.clone()) == data


def test_png_holds_nothing_but_pixels() -> None:
    data = encode_png(torch.zeros(3, 4, 6, dtype=torch.uint8).transpose(1, 2))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.mode, image.info) == ((4, 6), "RGB", {})


def test_png_refusals() -> None:
    for image in (torch.zeros(3, 4, 4), torch.zeros(4, 4, 3, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="uint8"):
            encode_png(image)
    for data in (b"", b"no", file_of(Image.fromarray(noise(3)), "JPEG"), encode_png(torch.zeros(3, 9, 9).byte())[:44]):
        with pytest.raises(UsageError, match="the PNG"):
            decode_png(data)


def outcome(data: bytes) -> str:
    try:
        return str(decode_bytes(data, SIDE, "image").shape)
    except AnonbenchError as error:
        return str(error)


@given(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"]), st.data())
@settings(deadline=None, max_examples=300)
def test_damage_never_escapes_as_another_error(kind: str, data: st.DataObject) -> None:
    whole = bytearray(file_of(Image.linear_gradient("L").resize((16, 16)).convert("RGB"), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    result = outcome(bytes(whole[:cut]))
    assert result == str((SIDE, SIDE, 3)) or (result.startswith("image ") and "\n" not in result)


def test_rule_names_the_decoder() -> None:
    assert f"Pillow {decode.PIL.__version__}" in decode.RULE
    assert decode.RULE.count(". ") == 0
