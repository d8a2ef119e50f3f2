"""The real data, where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from suites.folder.data import FolderData
from suites.folder.datasets import load_dataset
from suites.folder.split import split_folder

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def load(name: str, folder: str) -> FolderData:
    if not (DATA / folder).is_dir():
        pytest.skip(f"the {name} images are not in {DATA / folder}")
    return load_dataset(name, DATA / folder, 32)


def counts(data: FolderData, name: str) -> dict[str, int]:
    labels = data.images.identity if name == "identity" else data.images.attributes[name]
    assert labels is not None
    return dict(zip(labels.classes, labels.values.bincount(minlength=len(labels.classes)).tolist(), strict=True))


def sizes(data: FolderData) -> dict[str, int]:
    return {name: len(part) for name, part in split_folder(data.images, seed=0).items()}


def test_att() -> None:
    data = load("att", "att")
    assert counts(data, "identity") == dict.fromkeys(sorted(f"s{row}" for row in range(1, 21)), 10)
    images = data.images.images
    assert torch.equal(images, images[:, :1].expand_as(images))
    assert not data.images.attributes
    assert sizes(data) == {"background": 0, "enrol": 140, "probe": 60, "spare": 0}


def test_london() -> None:
    data = load("london", "london")
    assert set(counts(data, "identity").values()) == {2}
    assert len(counts(data, "identity")) == 51
    assert counts(data, "age") == {"young": 96, "old": 6}
    assert counts(data, "gender") == {"female": 50, "male": 52}
    assert counts(data, "expression") == {"neutral": 51, "smiling": 51}
    assert counts(data, "race") == {"black": 14, "east_asian": 8, "east_asian/white": 2, "west_asian": 8, "white": 70}
    assert sizes(data) == {"background": 50, "enrol": 26, "probe": 26, "spare": 0}


def test_utkface() -> None:
    data = load("utkface", "utkface")
    assert len(data.images) == 999
    assert data.images.identity is None
    assert counts(data, "age") == {"young": 781, "old": 218}
    assert counts(data, "gender") == {"female": 500, "male": 499}
    assert counts(data, "race") == {"asian": 200, "black": 200, "indian": 200, "others": 199, "white": 200}
    assert sizes(data) == {"background": 499, "enrol": 0, "probe": 500, "spare": 0}


def test_utkface_names_say_the_same_as_its_table(tmp_path: Path) -> None:
    table = load("utkface", "utkface")
    (tmp_path / "images").symlink_to(DATA / "utkface" / "images", target_is_directory=True)
    names = load_dataset("utkface", tmp_path, 32)
    assert names.images.content == table.images.content
    assert names.manifest_sha256 == table.manifest_sha256


def test_celeba_sample() -> None:
    data = load("celeba", "celeba_sample")
    assert counts(data, "identity") == dict.fromkeys("01234", 30)
    assert sizes(data) == {"background": 0, "enrol": 105, "probe": 45, "spare": 0}
