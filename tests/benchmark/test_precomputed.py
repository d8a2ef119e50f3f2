"""Images released elsewhere: manifest, look-up by key, and everything that can be wrong with a folder of files."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.decode import encode_png
from benchmark.entrants import manifest as manifests
from benchmark.entrants.described import DescribedPrecomputed
from benchmark.entrants.manifest import Manifest, make_manifest, read_manifest
from benchmark.entrants.packing import pack, zip_folder
from benchmark.entrants.precomputed import PrecomputedEntrant, open_precomputed
from benchmark.errors import EntrantError, UsageError
from benchmark.files import read_file
from benchmark.hashing import sha256_bytes
from benchmark.images import ImageSet, Released, check_released
from benchmark.protocols import Anonymizer, Controller
from benchmark.records import Weights

SIZE = 12
COUNT = 6
TOML = 'name = "my-images"\nkind = "precomputed"\nversion = "2"\n'
DESCRIBED = DescribedPrecomputed(name="my-images", kind="precomputed", version="2")


def image_set(split: str, count: int = COUNT, height: int = SIZE, width: int = SIZE) -> ImageSet:
    generator = torch.Generator().manual_seed(len(split))
    images = torch.randint(1, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)
    return ImageSet(images, tuple(sorted(sha256_bytes(f"{split}/{row}".encode())[:16] for row in range(count))))


PROBE, ENROL, BACKGROUND = image_set("probe"), image_set("enrol"), image_set("background")


def fill(folder: Path, **splits: ImageSet) -> None:
    (folder).mkdir(exist_ok=True)
    (folder / "entrant.toml").write_text(TOML)
    for split, images in splits.items():
        (folder / split).mkdir()
        for key, image in zip(images.keys, images.images, strict=True):
            (folder / split / f"{key}.png").write_bytes(encode_png(255 - image))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Inverted images of all three splits, not yet packed."""
    root = tmp_path / "release"
    fill(root, probe=PROBE, enrol=ENROL, background=BACKGROUND)
    return root


def released(folder: Path, images: ImageSet = PROBE) -> Released:
    return check_released(open_precomputed(folder).anonymize(images, Controller()), images)


def refused(what: Callable[[], object], *words: str, error: type[Exception] = UsageError) -> None:
    with pytest.raises(error) as caught:
        what()
    message = str(caught.value)
    assert message.isprintable()
    for word in words:
        assert word in message, message


def test_every_split_comes_back_by_key_in_any_order(folder: Path) -> None:
    pack(folder)
    entrant = open_precomputed(folder)
    assert isinstance(entrant, Anonymizer)
    for images in (PROBE, ENROL, BACKGROUND):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
        shuffled = images.select(order)
        made = entrant.anonymize(shuffled, Controller())
        assert torch.equal(made.images, 255 - shuffled.images)
        assert made.missing is None
        assert not made.notes


def test_what_it_says_about_itself(folder: Path) -> None:
    weights = (Weights(name="w", sha256="0" * 64),)
    said = {"version": "3", "description": "d", "source": "s", "authors": "a", "licence": "l", "code_url": "u"}
    described = DescribedPrecomputed(name="n", kind="precomputed", training_data=("FFHQ",), weights=weights, **said)
    pack(folder)
    entrant = PrecomputedEntrant(described, folder)
    assert {name: getattr(entrant, name) for name in said} == said
    assert (entrant.training_data, entrant.weights) == (("FFHQ",), weights)
    assert (entrant.kind, entrant.uses, entrant.deterministic, entrant.family) == (
        "precomputed",
        frozenset(),
        True,
        "n",
    )


@pytest.mark.parametrize("gone", [(), ("enrol",), ("background",), ("enrol", "background")])
def test_probes_alone(gone: tuple[str, ...], tmp_path: Path) -> None:
    sets = {"probe": PROBE, "enrol": ENROL, "background": BACKGROUND}
    fill(tmp_path / "r", **{name: images for name, images in sets.items() if name not in gone})
    pack(tmp_path / "r")
    assert open_precomputed(tmp_path / "r").probes_alone == bool(gone)


def test_the_hash_covers_files_and_description_and_nothing_else(folder: Path) -> None:
    pack(folder)
    first = open_precomputed(folder).entry_hash
    (folder / "notes.txt").write_text("not part of it")
    (folder / "probe" / ".DS_Store").write_text("nor this")
    pack(folder)
    assert open_precomputed(folder).entry_hash == first
    assert PrecomputedEntrant(DESCRIBED.model_copy(update={"version": "4"}), folder).entry_hash != first
    path = folder / "background" / f"{BACKGROUND.keys[0]}.png"
    path.write_bytes(encode_png(BACKGROUND.images[0]))
    pack(folder)
    assert open_precomputed(folder).entry_hash != first


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp", "bmp", "tiff", "tif"])
def test_other_formats_are_decoded_by_pillow(suffix: str, folder: Path) -> None:
    path = folder / "probe" / f"{PROBE.keys[2]}.png"
    image = Image.fromarray((255 - PROBE.images[2]).permute(1, 2, 0).numpy())
    path.unlink()
    image.save(path.with_suffix(f".{suffix}"))
    with Image.open(path.with_suffix(f".{suffix}")) as saved:
        expected = torch.from_numpy(np.array(saved.convert("RGB"))).permute(2, 0, 1)
    pack(folder)
    assert torch.equal(released(folder).images[2], expected)


def resized(data: bytes, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(data)).resize((width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def with_header(data: bytes, width: int, height: int) -> bytes:
    """The same PNG declaring another size: almost no bytes that decode to a lot."""
    head = struct.pack(">II", width, height) + data[24:29]
    return data[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[33:]


SPOILED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "larger": (lambda data: resized(data, SIZE + 1, SIZE + 1), "1 of another size"),
    "wider": (lambda data: resized(data, SIZE + 1, SIZE), "1 of another size"),
    "one pixel": (lambda data: resized(data, 1, 1), "1 of another size"),
    "pixel bomb": (lambda data: with_header(data, 60_000, 60_000), "1 of another size"),
    "smaller bomb": (lambda data: with_header(data, 12_000, 12_000), "1 of another size"),
    "cut off": (lambda data: data[: len(data) // 2], "1 not readable as an image"),
    "pickle": (lambda data: pickle.dumps([data]), "1 not readable as an image"),
    "page": (lambda data: b"<html><script>alert(1)</script></html>", "1 not readable as an image"),
    "nothing": (lambda data: b"", "1 not readable as an image"),
    "postscript": (lambda data: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 12\n", "1 not readable as an image"),
}  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILED)
def test_one_bad_file_is_one_missing_image(spoil: str, folder: Path) -> None:
    path = folder / "probe" / f"{PROBE.keys[3]}.png"
    change, reason = SPOILED[spoil]
    path.write_bytes(change(path.read_bytes()))
    pack(folder)
    made = released(folder)
    expected = 255 - PROBE.images
    expected[3] = 0
    assert made.missing is not None
    assert made.missing.tolist() == [row == 3 for row in range(COUNT)]
    assert torch.equal(made.images, expected)
    assert made.notes == {"missing outputs": f"1 of {COUNT}: {reason}"}


def test_sides_are_not_swapped(tmp_path: Path) -> None:
    """An image that EXIF turns to the right size is one; a picture on its side is none."""
    images = image_set("probe", 4, SIZE, SIZE + 2)
    fill(tmp_path / "r", probe=images)
    for row, on_its_side, orientation in ((0, True, 1), (1, True, 6), (2, False, 6)):
        axes = (2, 1, 0) if on_its_side else (1, 2, 0)
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / "r" / "probe" / f"{images.keys[row]}.png"
        Image.fromarray(images.images[row].permute(*axes).numpy()).save(path, exif=exif)
    pack(tmp_path / "r")
    made = released(tmp_path / "r", images)
    assert made.missing is not None
    assert made.missing.tolist() == [True, False, True, False]
    assert torch.equal(made.images[1], images.images[1].flip(2))  # transposed and turned clockwise: mirrored


def test_missing_extra_and_renamed_files_are_counted(folder: Path) -> None:
    (folder / "probe" / f"{PROBE.keys[0]}.png").unlink()
    (folder / "probe" / f"{PROBE.keys[1]}.png").rename(folder / "probe" / f"{'0' * 16}.png")
    path = folder / "probe" / f"{PROBE.keys[2]}.png"
    path.write_bytes(resized(path.read_bytes(), 3, 3))
    pack(folder)
    (folder / "probe" / "preview.png").write_bytes(b"")
    (folder / "enrol" / f"{'1' * 16}.png").write_bytes(b"")
    made = released(folder)
    assert made.missing is not None
    assert made.missing.tolist() == [True] * 3 + [False] * 3
    assert made.notes == {
        "missing outputs": f"3 of {COUNT}: 2 not listed, 1 of another size",
        "extra files": "2 files that the manifest does not list",
    }


def test_a_folder_of_another_suite(folder: Path) -> None:
    pack(folder)
    other = dataclasses.replace(PROBE, keys=tuple(f"{row:016x}" for row in range(COUNT)))
    refused(lambda: released(folder, other), "none of its 18 files", "anonbench export", error=EntrantError)
    one = dataclasses.replace(PROBE, keys=(*other.keys[1:], PROBE.keys[0]))
    assert released(folder, one).missing is not None


def test_an_empty_set(folder: Path) -> None:
    pack(folder)
    assert len(released(folder, PROBE[:0]).images) == 0


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def to_link(path: Path) -> None:
    copy = path.rename(path.parent.parent / "kept.png")
    path.symlink_to(copy)  # the very bytes that are listed, and still a link


def to_passwd(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def linked_folder(path: Path) -> None:
    path.parent.rename(path.parent.parent / "elsewhere")
    path.parent.symlink_to(path.parent.parent / "elsewhere")


SWAPPED = [change, Path.unlink, to_link, to_passwd, to_pipe, to_folder]


@pytest.mark.parametrize("spoil", [*SWAPPED, linked_folder], ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("split", ["probe", "background"])
def test_files_that_are_not_what_was_listed(spoil: Callable[[Path], object], split: str, folder: Path) -> None:
    pack(folder)
    key = (PROBE if split == "probe" else BACKGROUND).keys[1]
    spoil(folder / split / f"{key}.png")
    words = [split] if spoil is linked_folder else [f"{split}/{key}.png", f"anonbench pack {folder}"]
    refused(lambda: open_precomputed(folder), *words)


@pytest.mark.parametrize("spoil", SWAPPED, ids=lambda spoil: spoil.__name__)
def test_files_that_change_while_they_are_used(spoil: Callable[[Path], object], folder: Path) -> None:
    pack(folder)
    entrant = open_precomputed(folder)
    spoil(folder / "probe" / f"{PROBE.keys[1]}.png")
    refused(lambda: entrant.anonymize(PROBE, Controller()), PROBE.keys[1], "pack", error=EntrantError)


@pytest.mark.parametrize("spoil", [to_link, to_passwd, to_pipe, linked_folder], ids=lambda spoil: spoil.__name__)
def test_links_are_not_packed(spoil: Callable[[Path], object], folder: Path) -> None:
    spoil(folder / "probe" / f"{PROBE.keys[1]}.png")
    refused(lambda: pack(folder), "probe")
    assert not (folder / "manifest.json").exists()


def test_files_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "probe" / f"{PROBE.keys[1]}.png"
    with path.open("ab") as file:
        file.truncate(64_000_001)  # a hole: it takes no disk
    refused(lambda: pack(folder), str(path), "64000000 bytes")


@pytest.mark.parametrize(
    "name", ["a.png", f"{'0' * 15}.png", f"{'0' * 16}.PNG", f"{'A' * 16}.png", f"{'0' * 16}.gif", f"{'0' * 16}_1.jpg"]
)
def test_images_of_other_names_are_not_packed(name: str, folder: Path) -> None:
    (folder / "enrol" / name).write_bytes(b"")
    refused(lambda: pack(folder), str(folder), f"enrol/{name}", "KEY", "Rename or remove")


def test_one_image_in_two_files(folder: Path) -> None:
    (folder / "probe" / f"{PROBE.keys[0]}.jpg").write_bytes(b"")
    refused(lambda: pack(folder), f"probe/{PROBE.keys[0]}.jpg", "two files for one image")


def test_no_probe_images(tmp_path: Path) -> None:
    fill(tmp_path / "r", enrol=ENROL)
    refused(lambda: pack(tmp_path / "r"), "no image under probe")


def listing(files: dict[str, str], **more: object) -> str:
    return json.dumps({"format": 1, "files": files, **more})


KEY, SHA = "probe/0123456789abcdef.png", "0" * 64
BAD = {
    "not JSON": ("{", "JSON"),
    "another thing": ("[1]", "manifest.json"),
    "not text": (b"\xff\xfe\0", "JSON"),
    "deep": ("[" * 100_000, "JSON"),
    "format": (listing({KEY: SHA}).replace("1,", "2,", 1), "format"),
    "no files": ('{"format": 1}', "files"),
    "more": (listing({KEY: SHA}, extra=1), "extra"),
    "hash": (listing({KEY: "0" * 63}), "sha256"),
    "capital hash": (listing({KEY: "A" * 64}), "sha256"),
    "up": (listing({"probe/../../etc/passwd": SHA}), "probe/KEY.png"),
    "absolute": (listing({"/etc/passwd": SHA}), "probe/KEY.png"),
    "nul": (listing({"probe/0123456789abcde\0.png": SHA}), r"\x00"),
    "line": (listing({KEY + "\n": SHA}), "probe/KEY.png"),
    "turned": (listing({"probe/\u202egnp.0123456789abcdef": SHA}), r"\u202e"),
    "script": (listing({"<script>alert(1)</script>": SHA}), "probe/KEY.png"),
    "folder": (listing({"spare/0123456789abcdef.png": SHA}), "probe/KEY.png"),
    "name twice": (f'{{"format": 1, "files": {{"{KEY}": "{SHA}", "{KEY}": "{SHA}"}}}}', "twice"),
    "field twice": (f'{{"format": 1, "format": 1, "files": {{"{KEY}": "{SHA}"}}}}', "twice"),
    "key twice": (listing({KEY: SHA, KEY.replace("probe", "enrol"): SHA}), "two files"),
    "no probe": (listing({KEY.replace("probe", "enrol"): SHA}), "probe"),
}


@pytest.mark.parametrize("what", BAD)
def test_manifests_that_are_none(what: str, folder: Path) -> None:
    text, word = BAD[what]
    (folder / "manifest.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(lambda: open_precomputed(folder), str(folder / "manifest.json"), word, "anonbench pack")


def test_a_manifest_that_is_missing_linked_or_too_large(folder: Path) -> None:
    path = folder / "manifest.json"
    refused(lambda: open_precomputed(folder), str(path), "anonbench pack")
    path.symlink_to("/etc/passwd")
    refused(lambda: open_precomputed(folder), str(path), "ordinary file")
    path.unlink()
    path.touch()
    os.truncate(path, 64_000_001)
    refused(lambda: open_precomputed(folder), str(path), "64000000 bytes")


@given(st.dictionaries(st.text(max_size=30) | st.from_regex(r"(probe|enrol)/[0-9a-f]{16}\.(png|jpg)", fullmatch=True),
                       st.just(SHA), max_size=5))  # fmt: skip
def test_what_a_manifest_lists_lies_inside(files: dict[str, str]) -> None:
    try:
        made = Manifest(files=files)
    except ValueError:
        return
    assert made.files == files
    for name in files:
        path = Path(os.path.normpath(Path("/root") / name))
        assert path.parent in [Path("/root") / part for part in manifests.FOLDERS]
        assert name == name.strip().lower()


def test_a_manifest_is_read_as_it_was_made(folder: Path) -> None:
    made = pack(folder)
    assert read_manifest(folder) == made == make_manifest(folder)
    expected = {
        path.relative_to(folder).as_posix(): sha256_bytes(path.read_bytes()) for path in folder.rglob("*/*.png")
    }
    assert made.files == expected
    assert [made.count(name) for name in manifests.FOLDERS] == [COUNT] * 3


def test_folder_file_and_archives_are_the_same_entrant(folder: Path, tmp_path: Path) -> None:
    listed = pack(folder)
    zip_folder(folder, listed, tmp_path / "r.zip")
    with tarfile.open(tmp_path / "r.tar.gz", "w:gz") as archive:
        archive.add(folder, "release")
    places = [folder, folder / "entrant.toml", tmp_path / "r.zip", tmp_path / "r.tar.gz"]
    made = [open_precomputed(place, tmp_path / "cache") for place in places]
    assert len({entrant.entry_hash for entrant in made}) == 1
    for entrant in made:
        assert torch.equal(entrant.anonymize(PROBE, Controller()).images, 255 - PROBE.images)
    unpacked = list((tmp_path / "cache" / "precomputed").glob("*/"))
    assert len([path for path in unpacked if path.is_dir()]) == 2


def test_a_packed_archive_depends_on_contents_alone(folder: Path, tmp_path: Path) -> None:
    zip_folder(folder, pack(folder), tmp_path / "a.zip")
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o755 if path.is_dir() else 0o600)
    (folder / "notes.txt").write_text("mine")
    zip_folder(folder, pack(folder), tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_an_archive_of_files_that_change_is_not_written(folder: Path, tmp_path: Path) -> None:
    listed = pack(folder)
    change(folder / "probe" / f"{PROBE.keys[1]}.png")
    refused(lambda: zip_folder(folder, listed, tmp_path / "a.zip"), PROBE.keys[1], "pack again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release"]


def test_descriptions_that_are_none(folder: Path, tmp_path: Path) -> None:
    pack(folder)
    toml = folder / "entrant.toml"
    toml.write_text('name = "x"\nkind = "process"\ncommand = ["touch", "{here}/owned"]\n')
    refused(lambda: open_precomputed(folder), str(toml), "process", "anonbench new")
    with tarfile.open(tmp_path / "r.tar", "w") as archive:
        archive.add(folder, "release")
    refused(lambda: open_precomputed(tmp_path / "r.tar", tmp_path / "cache"), "process")
    toml.unlink()
    refused(lambda: open_precomputed(folder), str(toml), "anonbench new")
    (tmp_path / "real.toml").write_text(TOML)
    toml.symlink_to(tmp_path / "real.toml")
    refused(lambda: open_precomputed(folder), str(toml), "ordinary file")


def test_progress_is_told(folder: Path) -> None:
    told: list[int] = []
    pack(folder)
    open_precomputed(folder).anonymize(PROBE, Controller(progress=told.append))
    assert sum(told) == COUNT


@pytest.mark.parametrize("damage", ["an image", "a missing image", "the manifest", "the description", "everything"])
def test_an_unpacked_archive_that_was_damaged_is_unpacked_once_more(damage: str, folder: Path, tmp_path: Path) -> None:
    archive, cache = tmp_path / "mine.zip", tmp_path / "cache"
    zip_folder(folder, pack(folder), archive)
    kept = open_precomputed(archive, cache).folder
    image = kept / "probe" / f"{PROBE.keys[0]}.png"
    if damage == "an image":
        image.write_bytes(b"damaged")
    elif damage == "everything":
        for path in [path for path in kept.rglob("*") if path.is_file()]:
            path.unlink()
    else:
        names = {
            "a missing image": image,
            "the manifest": kept / "manifest.json",
            "the description": kept / "entrant.toml",
        }
        names[damage].unlink()
    made = open_precomputed(archive, cache)
    assert torch.equal(check_released(made.anonymize(PROBE, Controller()), PROBE).images, 255 - PROBE.images)


def test_an_archive_that_is_wrong_itself_stays_refused(folder: Path, tmp_path: Path) -> None:
    listed = pack(folder)
    archive = tmp_path / "mine.zip"
    zip_folder(folder, listed, archive)
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(tmp_path / "other.zip", "w") as new:
        for info in old.infolist():
            new.writestr(info, b"other" if info.filename.startswith("enrol/") else old.read(info))
    for _ in range(2):
        refused(lambda: open_precomputed(tmp_path / "other.zip", tmp_path / "cache"), "its sha256 differs")


def test_what_was_verified_is_what_is_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is gone between reading and decoding, which nobody notices."""
    pack(folder)
    entrant = open_precomputed(folder)

    def read_and_remove(path: Path) -> bytes:
        data = read_file(path)
        path.unlink()
        return data

    monkeypatch.setattr("benchmark.entrants.precomputed.read_file", read_and_remove)
    assert torch.equal(check_released(entrant.anonymize(PROBE, Controller()), PROBE).images, 255 - PROBE.images)


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused(lambda: open_precomputed(tmp_path / "nosuch.zip", tmp_path / "cache"), "nosuch.zip does not exist")
