"""The layouts of the public data sets, on small folders made here."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmark.errors import UsageError
from suites.folder.data import FolderData
from suites.folder.datasets import DATA_HOME, DATASETS, find_data, load_dataset

SIDE = 4


def people(root: Path, *paths: str) -> Path:
    for level, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIDE, SIDE), (level, 0, 0)).save(root / path)
    return root


def labels_of(data: FolderData, name: str) -> list[str]:
    labels = data.images.identity if name == "identity" else data.images.attributes[name]
    assert labels is not None
    return [labels.classes[value] for value in labels.values.tolist()]


def refusal(name: str, root: Path | None) -> str:
    with pytest.raises(UsageError) as caught:
        load_dataset(name, root, SIDE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


UTK = ("1_0_0_2017.jpg", "26_1_2_2017.jpg.chip.jpg", "45_0_4_2017jpg.chip.jpg", "116_1_3_2017.jpg")


def test_utkface_names(tmp_path: Path) -> None:
    people(tmp_path, *(f"part1/{name}" for name in UTK), "61_1_20170109.jpg", "part1/x.jpg")
    data = load_dataset("utkface", tmp_path, SIDE)
    assert data.images.identity is None
    assert data.images.keys == tuple(f"part1/{name}" for name in sorted(UTK))
    assert dict(zip(data.images.keys, labels_of(data, "age"), strict=True)) == {
        "part1/1_0_0_2017.jpg": "young",
        "part1/26_1_2_2017.jpg.chip.jpg": "young",
        "part1/45_0_4_2017jpg.chip.jpg": "old",
        "part1/116_1_3_2017.jpg": "old",
    }
    assert sorted(zip(labels_of(data, "race"), labels_of(data, "gender"), strict=True)) == [
        ("asian", "female"),
        ("indian", "female"),
        ("others", "male"),
        ("white", "male"),
    ]
    assert data.notes == ("2 images lack a field in their name and are left out",)


def test_utkface_table_wins(tmp_path: Path) -> None:
    people(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "attributes.csv").write_text("path,identity,age\n1.jpg,,44\n2.jpg,,45\n")
    assert labels_of(load_dataset("utkface", tmp_path, SIDE), "age") == ["young", "old"]
    assert labels_of(load_dataset("utkface", tmp_path, SIDE, {"age": [45]}), "age") == ["<45", ">=45"]


def test_grouped_ages_stay_as_they_are(tmp_path: Path) -> None:
    people(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "attributes.csv").write_text("path,identity,age\n1.jpg,,child\n2.jpg,,adult\n")
    assert labels_of(load_dataset("utkface", tmp_path, SIDE), "age") == ["child", "adult"]


def test_utkface_without_any_name(tmp_path: Path) -> None:
    assert "has no images" in refusal("utkface", tmp_path)
    assert "has no images" in refusal("utkface", people(tmp_path, "x.jpg"))


CELEBA_HEAD = "3\n5_o_Clock_Shadow Eyeglasses Male Smiling Young \n"
CELEBA_ROWS = "000001.jpg -1 -1  1 -1  1\n000002.jpg -1  1 -1  1 -1\n000003.jpg  1 -1  1 -1  1\n"


def celeba(root: Path, inner: str = "img_align_celeba") -> Path:
    people(root, *(f"{inner}/{row:06}.jpg" for row in (1, 2, 3)))
    (root / "identity_CelebA.txt").write_text("000001.jpg 2880\n000002.jpg 17\n000003.jpg 2880\n")
    (root / "list_attr_celeba.txt").write_text(CELEBA_HEAD + CELEBA_ROWS)
    return root


@pytest.mark.parametrize("nested", ["", "celeba"])
@pytest.mark.parametrize("inner", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_celeba_as_published(tmp_path: Path, nested: str, inner: str) -> None:
    celeba(tmp_path / nested, inner)
    data = load_dataset("celeba", tmp_path, SIDE)
    assert data.images.keys[0] == f"{inner}/000001.jpg"
    assert labels_of(data, "identity") == ["2880", "17", "2880"]
    assert labels_of(data, "gender") == ["male", "female", "male"]
    assert labels_of(data, "age") == ["young", "old", "young"]
    assert labels_of(data, "expression") == ["neutral", "smiling", "neutral"]
    assert labels_of(data, "glasses") == ["no", "yes", "no"]
    assert data.notes == ()


def test_celeba_without_attributes(tmp_path: Path) -> None:
    (celeba(tmp_path) / "list_attr_celeba.txt").unlink()
    assert dict(load_dataset("celeba", tmp_path, SIDE).images.attributes) == {}


def test_celeba_in_part(tmp_path: Path) -> None:
    people(celeba(tmp_path), "img_align_celeba/000009.jpg")
    (tmp_path / "img_align_celeba" / "000003.jpg").unlink()
    data = load_dataset("celeba", tmp_path, SIDE)
    assert len(data.images) == 2
    assert data.notes == (
        "1 images are not in identity_CelebA.txt and are left out",
        "1 images of identity_CelebA.txt are not in the folder and are left out",
    )


def test_celeba_identity_folders(tmp_path: Path) -> None:
    people(tmp_path, "0/1.jpg", "1/1.jpg")
    assert labels_of(load_dataset("celeba", tmp_path, SIDE), "identity") == ["0", "1"]


CELEBA_DAMAGE = {
    "identity_CelebA.txt": ["", "000001.jpg\n", "000001.jpg 1 2\n", "a 1\nb 1 2\n"],
    "list_attr_celeba.txt": ["", "3\n", "3\nMale Young\n000001.jpg 1 1\n"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in CELEBA_DAMAGE.items() for text in texts])
def test_celeba_with_damaged_lists(tmp_path: Path, name: str, text: str) -> None:
    (celeba(tmp_path) / name).write_text(text)
    message = refusal("celeba", tmp_path)
    assert f"{name} is not as published (" in message
    assert message.endswith("; get it again")


def test_celeba_without_its_lists(tmp_path: Path) -> None:
    (celeba(tmp_path) / "identity_CelebA.txt").unlink()
    assert "identity_CelebA.txt does not exist; put it beside img_align_celeba" in refusal("celeba", tmp_path)


def test_celeba_attributes_of_an_image_missing(tmp_path: Path) -> None:
    (celeba(tmp_path) / "list_attr_celeba.txt").write_text(CELEBA_HEAD + CELEBA_ROWS[: len(CELEBA_ROWS) // 3 * 2])
    assert "is empty for img_align_celeba/000003.jpg" in refusal("celeba", tmp_path)


LFW = [
    f"{name}/{name}_{shot:04}.jpg" for name, shots in (("Ann_A", 3), ("Ben_B", 2), ("Cy", 1)) for shot in range(shots)
]


@pytest.mark.parametrize("nested", ["", "lfw", "lfw-deepfunneled/lfw-deepfunneled", "lfw-py/lfw_funneled"])
def test_lfw(tmp_path: Path, nested: str) -> None:
    people(tmp_path / nested, *LFW)
    people(tmp_path, "pictures.png")
    data = load_dataset("lfw", tmp_path, SIDE, least=2)
    assert data.images.keys[0] == "Ann_A/Ann_A_0000.jpg"
    assert labels_of(data, "identity") == ["Ann_A"] * 3 + ["Ben_B"] * 2
    assert data.notes == ("1 people with fewer than 2 photographs (1 images) are left out",)


def test_lfw_wants_ten_photographs(tmp_path: Path) -> None:
    people(tmp_path, *LFW)
    assert DATASETS["lfw"].least == 10
    assert "nobody has 10 photographs (at most 3); ask for fewer" in refusal("lfw", tmp_path)


def test_lfw_elsewhere(tmp_path: Path) -> None:
    assert "has no Name/Name_0001.jpg; name the unpacked folder" in refusal("lfw", people(tmp_path, "a/1.jpg"))


TASKS = {"Age/Old": "B_b added", "Age/Young": "A", "gender/Females": "A", "gender/Males": "B_b added"}


def mtf_tasks(root: Path) -> Path:
    return people(root, *(f"{group}/{person}/{shot}.jpg" for group, person in TASKS.items() for shot in (1, 2)))


def test_mtf_identity_folders_and_task_folders(tmp_path: Path) -> None:
    people(mtf_tasks(tmp_path), "B_b added/7.jpg", "A/5.jpg", "A/6.jpg")
    data = load_dataset("mtf", tmp_path, SIDE)
    assert data.images.keys == ("A/5.jpg", "A/6.jpg", "B_b added/7.jpg")
    assert labels_of(data, "identity") == ["A", "A", "B_b added"]
    assert labels_of(data, "age") == ["young", "young", "old"]
    assert labels_of(data, "gender") == ["female", "female", "male"]


def test_mtf_task_folders_alone(tmp_path: Path) -> None:
    data = load_dataset("mtf", mtf_tasks(tmp_path), SIDE)
    assert data.images.keys == tuple(f"Age/{rest}/{n}.jpg" for rest in ("Old/B_b added", "Young/A") for n in (1, 2))
    assert labels_of(data, "identity") == ["B_b added"] * 2 + ["A"] * 2
    assert labels_of(data, "gender") == ["male"] * 2 + ["female"] * 2


def test_mtf_table(tmp_path: Path) -> None:
    people(tmp_path, "A/1.jpg", "B/1.jpg")
    (tmp_path / "attributes.csv").write_text("path,identity,age\nA/1.jpg,A,young\nB/1.jpg,B,old\n")
    assert labels_of(load_dataset("mtf", tmp_path, SIDE), "age") == ["young", "old"]


def test_mtf_contradictions(tmp_path: Path) -> None:
    people(mtf_tasks(tmp_path / "twice"), "Age/Old/A/1.jpg")
    assert "Age has A in two classes; keep one folder per person" in refusal("mtf", tmp_path / "twice")
    people(mtf_tasks(tmp_path / "lacks"), "A/1.jpg", "C/1.jpg")
    assert "Age has no class for C; add the person's folder" in refusal("mtf", tmp_path / "lacks")
    people(mtf_tasks(tmp_path / "flat"), "Age/Old/1.jpg")
    assert "Age/Old/1.jpg is not in Age/CLASS/PERSON/" in refusal("mtf", tmp_path / "flat")


def test_every_data_set_says_where_it_comes_from() -> None:
    assert list(DATASETS) == ["att", "london", "utkface", "celeba", "lfw", "mtf"]
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert dataset.licence
        assert dataset.source.startswith("http")


def test_find_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_HOME, str(tmp_path))
    (tmp_path / "att").mkdir()
    assert find_data("att") == tmp_path / "att"
    assert find_data("celeba", tmp_path) == tmp_path
    message = refusal("london", None)
    assert f"{tmp_path}/london does not exist; get it from https://doi.org/10.6084/m9.figshare.5047666" in message
    assert "licence: CC BY 4.0" in message
    assert message.endswith("type: anonbench run london --data DIR")
    assert "none does not exist" in refusal("lfw", tmp_path / "none")


def test_find_data_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_HOME, raising=False)
    assert "$ANONBENCH_DATA is not set and no folder was named; get it from" in refusal("lfw", None)


def test_unknown_data_set() -> None:
    with pytest.raises(UsageError, match=r"no data set 'celebb'\. Did you mean 'celeba'\?"):
        find_data("celebb")
