"""Any folder of photographs: listing, attributes, and every way in which it can be wrong."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from benchmark.errors import AnonbenchError, EnvironmentProblem, UsageError
from suites.folder.data import FolderData, read_folder
from suites.folder.listing import EXTENSIONS

SIDE = 4


def picture(path: Path, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = {".pgm": "PPM", ".ppm": "PPM"}.get(path.suffix.lower())
    Image.new("RGB", (SIDE, SIDE), (level, 0, 0)).save(path, kind)


def people(root: Path, *paths: str) -> Path:
    for level, path in enumerate(paths):
        picture(root / path, level)
    return root


def labels_of(data: FolderData, name: str) -> list[str]:
    labels = data.images.identity if name == "identity" else data.images.attributes[name]
    assert labels is not None
    return [labels.classes[value] for value in labels.values.tolist()]


def csv(root: Path, *lines: str) -> None:
    (root / "attributes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def refusal(root: Path, **options: object) -> str:
    with pytest.raises(UsageError) as caught:
        read_folder(root, SIDE, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


def test_folders_are_people(tmp_path: Path) -> None:
    people(tmp_path, "b/2.png", "b/10.png", "a/1.png", "B/1.png")
    data = read_folder(tmp_path, SIDE)
    assert data.images.keys == ("B/1.png", "a/1.png", "b/10.png", "b/2.png")
    assert labels_of(data, "identity") == ["B", "a", "b", "b"]
    assert data.images.identity is not None
    assert data.images.identity.classes == ("B", "a", "b")
    assert data.images.images[:, 0, 0, 0].tolist() == [3, 2, 1, 0]
    assert data.images.landmarks is None
    assert data.notes == ()


@pytest.mark.parametrize("extension", [*EXTENSIONS, ".JPG", ".Png"])
def test_every_extension_counts(tmp_path: Path, extension: str) -> None:
    people(tmp_path, f"a/1{extension}", f"b/1{extension}")
    assert len(read_folder(tmp_path, SIDE).images) == 2


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    people(tmp_path, "a/1.png", "b/1.png", "a/.hidden.png", ".hidden/1.png", "a/.cache/1.png")
    (tmp_path / "a" / "notes.txt").write_text("text")
    (tmp_path / "a" / "movie.gif").write_bytes(b"")
    (tmp_path / "readme").write_text("text")
    assert read_folder(tmp_path, SIDE).images.keys == ("a/1.png", "b/1.png")


def test_first_folder_is_the_person(tmp_path: Path) -> None:
    people(tmp_path, "a/x/1.png", "a/y/z/1.png", "b/x/1.png")
    data = read_folder(tmp_path, SIDE)
    assert data.images.keys == ("a/x/1.png", "a/y/z/1.png", "b/x/1.png")
    assert labels_of(data, "identity") == ["a", "a", "b"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    people(tmp_path, "real/1.png", "root/b/1.png")
    (tmp_path / "root" / "a").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "root" / "b" / "up").symlink_to(tmp_path / "root", target_is_directory=True)
    assert read_folder(tmp_path / "root", SIDE).images.keys == ("a/1.png", "b/1.png")


def test_manifest_follows_names_and_bytes(tmp_path: Path) -> None:
    first = read_folder(people(tmp_path / "one", "a/1.png", "b/1.png"), SIDE).manifest_sha256
    assert read_folder(people(tmp_path / "two", "a/1.png", "b/1.png"), SIDE).manifest_sha256 == first
    assert read_folder(people(tmp_path / "three", "a/1.png", "b/2.png"), SIDE).manifest_sha256 != first
    with (tmp_path / "one" / "a" / "1.png").open("ab") as file:
        file.write(b"\0")  # The same pixels in another file.
    assert read_folder(tmp_path / "one", SIDE).manifest_sha256 != first


def test_progress_counts_images(tmp_path: Path) -> None:
    steps: list[int] = []
    read_folder(people(tmp_path, "a/1.png", "b/1.png"), SIDE, progress=steps.append)
    assert steps == [1, 1]


def test_table_wins_over_folders(tmp_path: Path) -> None:
    people(tmp_path, "x/1.png", "x/2.png", "y/1.png")
    csv(tmp_path, "path,identity,gender", "y/1.png,Ann,f", "x/2.png,Ben,m", "x/1.png,Ann,f")
    data = read_folder(tmp_path, SIDE)
    assert data.images.keys == ("x/1.png", "x/2.png", "y/1.png")
    assert labels_of(data, "identity") == ["Ann", "Ben", "Ann"]
    assert labels_of(data, "gender") == ["f", "m", "f"]


def test_table_without_identity_column_takes_folders(tmp_path: Path) -> None:
    people(tmp_path, "x/1.png", "y/1.png")
    csv(tmp_path, "path,glasses", "x/1.png,NA", "y/1.png,no")
    data = read_folder(tmp_path, SIDE)
    assert labels_of(data, "identity") == ["x", "y"]
    assert labels_of(data, "glasses") == ["NA", "no"]


def test_empty_identities_are_unknown(tmp_path: Path) -> None:
    people(tmp_path, "1.png", "2.png")
    csv(tmp_path, "path,identity,gender", "1.png,,f", "2.png,,m")
    assert read_folder(tmp_path, SIDE).images.identity is None


def test_byte_order_mark_and_quotes(tmp_path: Path) -> None:
    people(tmp_path, "a/1, 2.png", "b/ü.png")
    csv(tmp_path, '\ufeffpath,gender\n"a/1, 2.png",f', "b/ü.png,m")
    assert read_folder(tmp_path, SIDE).images.keys == ("a/1, 2.png", "b/ü.png")


def many(root: Path, column: str, values: list[object]) -> Path:
    paths = [f"p{row:02}/1.png" for row in range(len(values))]
    people(root, *paths)
    csv(root, f"path,{column}", *(f"{path},{value}" for path, value in zip(paths, values, strict=True)))
    return root


def test_age_is_young_or_old(tmp_path: Path) -> None:
    ages = [1, 9, 20, 30, 40, 44, 44.9, 45, 46, 60, 80, 100]
    data = read_folder(many(tmp_path, "age", ages), SIDE)
    assert data.images.attributes["age"].classes == ("young", "old")
    assert labels_of(data, "age") == ["young"] * 7 + ["old"] * 5


def test_cut_points_in_numeric_order(tmp_path: Path) -> None:
    many(tmp_path, "age", list(range(0, 120, 10)))
    assert read_folder(tmp_path, SIDE, {"age": [45]}).images.attributes["age"].classes == ("<45", ">=45")
    labels = read_folder(tmp_path, SIDE, {"age": [100, 9.5]}).images.attributes["age"]
    assert labels.classes == ("<9.5", ">=9.5 <100", ">=100")
    assert labels.values.tolist() == [0] + [1] * 9 + [2] * 2


def test_few_numbers_are_classes_unless_cut(tmp_path: Path) -> None:
    many(tmp_path, "stage", [1, 2, 10])
    assert read_folder(tmp_path, SIDE).images.attributes["stage"].classes == ("1", "10", "2")
    assert read_folder(tmp_path, SIDE, {"stage": [2]}).images.attributes["stage"].classes == ("<2", ">=2")


def test_many_words_are_classes(tmp_path: Path) -> None:
    many(tmp_path, "town", [*(f"t{row}" for row in range(11)), "7"])
    assert len(read_folder(tmp_path, SIDE).images.attributes["town"].classes) == 12


def test_one_class_is_dropped_with_a_note(tmp_path: Path) -> None:
    data = read_folder(many(tmp_path, "race,gender", ["x,m", "x,f"]), SIDE)
    assert list(data.images.attributes) == ["gender"]
    assert data.notes == ("attribute 'race' is left out: all images are 'x'",)


def test_missing_folder_file_and_empty(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none").endswith("none does not exist; name an existing folder: --data DIR")
    picture(tmp_path / "file.png")
    assert "file.png is a file, not a folder; " in refusal(tmp_path / "file.png")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    message = refusal(tmp_path / "empty")
    assert "has no images (.bmp, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff, .webp)" in message
    assert "--data DIR" in message


def test_one_person_only(tmp_path: Path) -> None:
    people(tmp_path, "a/1.png", "a/2.png")
    assert "re-identification needs at least two people; name the folder above" in refusal(tmp_path)


def test_neither_people_nor_attributes(tmp_path: Path) -> None:
    people(tmp_path, "1.png", "2.png")
    assert "has neither people nor attributes; make one sub-folder per person" in refusal(tmp_path)


def test_some_without_a_person(tmp_path: Path) -> None:
    people(tmp_path, "1.png", "a/1.png", "b/1.png")
    assert "nobody is named for 1.png, but for other images" in refusal(tmp_path)


TABLES = {
    "no path": (["file,gender", "a/1.png,f"], "has no column 'path' (columns: file, gender); name the column"),
    "unknown": (["path", "a/1.png", "b/1.png", "c/1.png"], "names c/1.png, not among the images of the folder; remove"),
    "backslash": (["path", "a\\1.png", "b/1.png"], "names a\\1.png, not among the images"),
    "twice": (["path", "a/1.png", "b/1.png", "a/1.png"], "more than one row for a/1.png; keep one row per image"),
    "missing": (["path", "a/1.png"], "has no row for b/1.png; add a row or remove the file"),
    "none": (["path"], "has no row for a/1.png and 1 more; add a row"),
    "long row": (["path,gender", "a/1.png,f,x", "b/1.png,m,x"], "is not a CSV table in UTF-8 ("),
    "empty": ([], "is not a CSV table in UTF-8 ("),
    "open quote": (["path,gender", 'a/1.png,"f'], "is not a CSV table in UTF-8 ("),
    "column twice": (["path,age,age", "a/1.png,1,2", "b/1.png,1,2"], "has the column 'age' twice; remove or rename"),
    "no name": (["path,", "a/1.png,1", "b/1.png,2"], "has a column without a name (number 2); name or remove it"),
    "cell": (["path,gender", "a/1.png,", "b/1.png,m"], "column 'gender' is empty for a/1.png; fill the cell"),
    "blank": (["path,gender", "a/1.png, ", "b/1.png,m"], "column 'gender' is empty for a/1.png; fill the cell"),
    "short row": (["path,gender", "a/1.png,f", "b/1.png"], "column 'gender' is empty for b/1.png; fill the cell"),
}


@pytest.mark.parametrize("case", TABLES)
def test_broken_tables(tmp_path: Path, case: str) -> None:
    lines, expected = TABLES[case]
    csv(people(tmp_path, "a/1.png", "b/1.png"), *lines)
    assert expected in refusal(tmp_path)


def test_table_that_is_no_text(tmp_path: Path) -> None:
    people(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "attributes.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\xff")
    assert "is not a CSV table in UTF-8" in refusal(tmp_path)


def test_numbers_without_a_cut(tmp_path: Path) -> None:
    many(tmp_path, "height", list(range(150, 162)))
    assert "attribute 'height' has 12 numbers; group it: --group height=CUT" in refusal(tmp_path)


def test_wrong_groups(tmp_path: Path) -> None:
    many(tmp_path, "gender", ["f", "m", "f"])
    assert "no attribute 'gendr' to group. Did you mean 'gender'?" in refusal(tmp_path, groups={"gendr": [1]})
    assert "values that are no numbers; leave out its --group" in refusal(tmp_path, groups={"gender": [1]})
    for cuts in ([], [float("nan")]):
        assert "cut points must be finite numbers" in refusal(tmp_path, groups={"gender": cuts})


def test_broken_images_are_counted(tmp_path: Path) -> None:
    people(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    for name in ("a/2.png", "b/1.png"):
        (tmp_path / name).write_bytes(b"")
    assert f"2 of 4 images cannot be read; first: {tmp_path}/a/2.png is empty" in refusal(tmp_path)


def test_file_name_that_is_not_unicode(tmp_path: Path) -> None:
    people(tmp_path, "a/1.png", "b/1.png")
    try:
        (tmp_path / "a" / "1.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/a/\xff.png"))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    assert "is not valid UTF-8; rename it" in refusal(tmp_path)


@pytest.mark.parametrize("locked", [".", "a"])
def test_folder_without_permission(locked: str) -> None:
    # Not in tmp_path: nobody else may enter that, so that it could not show which folder is locked.
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        people(root, "a/1.png", "b/1.png")
        (root / locked).chmod(0)
        try:
            with as_nobody(), pytest.raises(EnvironmentProblem, match=r"may not be read; .*chmod -R") as caught:
                read_folder(root, SIDE)
        finally:
            (root / locked).chmod(0o755)
    assert isinstance(caught.value, AnonbenchError)
    assert caught.value.exit_code == 4
    assert str(root / locked) in str(caught.value)
