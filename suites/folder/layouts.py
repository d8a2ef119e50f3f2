"""How the public data sets lie on disk: each parser turns a folder into one table and reads no image."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from benchmark.decode import one_line, read_file
from benchmark.errors import UsageError
from suites.folder.data import Listing
from suites.folder.listing import IDENTITY, PATH, by_folder, exists, folder_of, list_paths, some_of, sub_folders
from suites.folder.table import CSV, read_table

_UTK_NAME = r"(?:^|/)(?P<age>\d{1,3})_(?P<gender>[01])_(?P<race>[0-4])_[^/]*$"
_UTK_GENDER = {"0": "male", "1": "female"}
_UTK_RACE = {"0": "white", "1": "black", "2": "asian", "3": "indian", "4": "others"}

_CELEBA_PICTURES = "img_align_celeba"
_CELEBA_PEOPLE = "identity_CelebA.txt"
_CELEBA_ATTRIBUTES = "list_attr_celeba.txt"
_CELEBA_CLASSES = {
    "Male": ("gender", {"1": "male", "-1": "female"}),
    "Young": ("age", {"1": "young", "-1": "old"}),
    "Smiling": ("expression", {"1": "smiling", "-1": "neutral"}),
    "Eyeglasses": ("glasses", {"1": "yes", "-1": "no"}),
}

_LFW_ROOTS = ("lfw", "lfw_funneled", "lfw-funneled", "lfw-deepfunneled", "lfw-py")
_LFW_PICTURE = "*/*_[0-9][0-9][0-9][0-9].jpg"

_MTF_TASKS = ("age", "gender", "race")
_MTF_SPELLING = {"females": "female", "males": "male"}


def plain(root: Path) -> Listing:
    """``identity/image`` folders, or the images of an ``attributes.csv``."""
    return Listing(root, read_table(root))


def utkface(root: Path) -> Listing:
    """``age_gender_race_date.jpg``, in any sub-folder; a name that lacks a field is left out and counted."""
    if exists(root / CSV):
        return plain(root)
    paths = pd.Series(list_paths(root), dtype=str)
    fields = paths.str.extract(_UTK_NAME)
    named = fields["age"].notna()
    table = pd.DataFrame({PATH: paths, IDENTITY: ""}).assign(
        age=fields["age"], gender=fields["gender"].map(_UTK_GENDER), race=fields["race"].map(_UTK_RACE)
    )
    return Listing(
        root, table[named].reset_index(drop=True), _left_out(int((~named).sum()), "lack a field in their name")
    )


def celeba(root: Path) -> Listing:
    """``img_align_celeba`` with ``identity_CelebA.txt`` and perhaps ``list_attr_celeba.txt``, else identity folders."""
    base = root / "celeba" if exists(root / "celeba" / _CELEBA_PICTURES) else root
    if not exists(base / _CELEBA_PICTURES):
        return plain(root)
    if not exists(base / _CELEBA_PEOPLE):
        raise UsageError(f"{one_line(base / _CELEBA_PEOPLE)} does not exist; put it beside {_CELEBA_PICTURES}")
    files = pd.DataFrame({PATH: [path for path in list_paths(base) if folder_of(path) == _CELEBA_PICTURES]}, dtype=str)
    files["file"] = files[PATH].str.rpartition("/")[2]
    people = _celeba_people(base / _CELEBA_PEOPLE)
    table = files.merge(people, on="file", how="inner")
    notes = (
        *_left_out(len(files) - len(table), f"are not in {_CELEBA_PEOPLE}"),
        *_left_out(len(people) - len(table), f"of {_CELEBA_PEOPLE} are not in the folder"),
    )
    if exists(base / _CELEBA_ATTRIBUTES):
        table = table.merge(_celeba_attributes(base / _CELEBA_ATTRIBUTES), on="file", how="left")
    return Listing(base, table.drop(columns="file").fillna(""), notes)


def lfw(root: Path) -> Listing:
    """``Name/Name_0001.jpg``, also below one or two of the folders that the archives unpack to."""
    base = _lfw_base(root)
    return Listing(base, by_folder(base, lambda path: "/" in path))


def mtf(root: Path) -> Listing:
    """Identity folders with ``attributes.csv``, or with the task folders ``age``, ``gender`` and ``race``.

    A task folder holds class folders, which hold one folder per person, named exactly like the identity folder. Where
    there are only task folders, the photographs of the first one are read.
    """
    if exists(root / CSV):
        return plain(root)
    tasks = {folder.name.lower(): folder for folder in sub_folders(root) if folder.name.lower() in _MTF_TASKS}
    names = {folder.name for folder in tasks.values()}
    table = by_folder(root, lambda path: folder_of(path) not in names)
    if table.empty and tasks:
        table = _mtf_photographs(root, tasks[min(tasks)])
    for task, folder in sorted(tasks.items()):
        table[task] = _mtf_column(table, folder)
    return Listing(root, table)


def _left_out(count: int, why: str) -> tuple[str, ...]:
    return (f"{count} images {why} and are left out",) if count else ()


def _columns(path: Path, header: int | None) -> pd.DataFrame:
    """A text file of columns separated by blanks, every cell as a string; ``header`` is the line of their names."""
    try:
        return pd.read_csv(
            io.BytesIO(read_file(path)), sep=r"\s+", header=header, dtype=str, keep_default_na=False, encoding="utf-8"
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise _broken(path, str(error)) from error


def _broken(path: Path, why: str) -> UsageError:
    return UsageError(f"{one_line(path)} is not as published ({one_line(why.strip())}); get it again")


def _celeba_people(path: Path) -> pd.DataFrame:
    table = _columns(path, header=None)
    if table.shape[1] != 2:
        raise _broken(path, f"{table.shape[1]} columns, not 2")
    return table.set_axis(["file", IDENTITY], axis="columns").drop_duplicates("file")


def _celeba_attributes(path: Path) -> pd.DataFrame:
    # The first line counts the images; the second names all columns but that of the files, which becomes the index.
    rows = _columns(path, header=1)
    lacking = sorted(set(_CELEBA_CLASSES) - set(rows.columns))
    if lacking:
        raise _broken(path, f"no column {lacking[0]}")
    table = pd.DataFrame({name: rows[column].map(classes) for column, (name, classes) in _CELEBA_CLASSES.items()})
    return table.rename_axis("file").reset_index().drop_duplicates("file")


def _lfw_base(root: Path) -> Path:
    """The first folder that holds people, at most two levels down."""
    level = [root]
    for _ in range(3):
        for folder in level:
            if exists(folder) and any(folder.glob(_LFW_PICTURE)):
                return folder
        level = [folder / name for folder in level for name in _LFW_ROOTS]
    raise UsageError(f"{one_line(root)} has no Name/Name_0001.jpg; name the unpacked folder of LFW: --data DIR")


def _mtf_photographs(root: Path, task: Path) -> pd.DataFrame:
    paths = [path for path in list_paths(root) if folder_of(path) == task.name]
    outside = [path for path in paths if path.count("/") < 3]
    if outside:
        raise UsageError(f"{some_of(outside)} is not in {task.name}/CLASS/PERSON/; move or remove it")
    return pd.DataFrame({PATH: paths, IDENTITY: [path.split("/")[2] for path in paths]}, dtype=str)


def _mtf_column(table: pd.DataFrame, task: Path) -> pd.Series[str]:
    """Class of every row's person, by the class folder that holds a folder of exactly that name."""
    pairs = [(person.name, _mtf_class(group.name)) for group in sub_folders(task) for person in sub_folders(group)]
    classes = dict(pairs)
    twice = sorted(name for name, group in pairs if classes[name] != group)
    if twice:
        raise UsageError(f"{one_line(task)} has {some_of(twice)} in two classes; keep one folder per person")
    people = {str(name) for name in table[IDENTITY]}
    missing = sorted(people - set(classes))
    if missing:
        raise UsageError(f"{one_line(task)} has no class for {some_of(missing)}; add the person's folder to a class")
    return table[IDENTITY].map(classes)


def _mtf_class(folder: str) -> str:
    """The class's name: releases differ in case and in the plural."""
    return _MTF_SPELLING.get(folder.lower(), folder.lower())
