"""Entrants in files: a class in a Python file, and descriptions in TOML."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.entrants.described import LARGEST, DescribedProcess, parse_description
from benchmark.errors import AnonbenchError, UsageError
from benchmark.registry import build_entrant, names
from benchmark.specs import parse_spec

CLASS = '''
"""A file of somebody else."""

import dataclasses

import torch
from benchmark.filters import Filter
from benchmark.images import Released


class Darken(Filter):
    """Makes it darker."""

    authors = "A. Nobody"
    licence = "MIT"

    def __init__(self, by: int = 2) -> None:
        self.by = by

    def filter(self, images, controller):
        return images.images // self.by


@dataclasses.dataclass
class Set:
    k: int = 2

    def anonymize(self, images, controller):
        return Released(images.images)


class Nothing:
    """Has no method anonymize."""
'''
PROCESS = """
name = "darker"
kind = "process"
command = ["true"]
description = "Makes it darker."
[parameters]
by = 2
how = "fast"
size = 1.5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_filters.py"
    path.write_text(CLASS)
    return path


def test_a_class_in_a_file_is_an_entrant(file: Path) -> None:
    entrant = build_entrant(f"{file}:Darken(by=3)")
    assert str(entrant.spec) == entrant.facts.name == "my_filters.Darken(by=3)"
    facts = entrant.facts
    assert (facts.description, facts.authors, facts.licence, facts.kind) == (
        "Makes it darker.",
        "A. Nobody",
        "MIT",
        "python",
    )
    assert parse_spec(facts.name).slug == "my_filters.Darken-by=3"
    assert type(entrant.fresh().anonymizer) is type(entrant.anonymizer)


def test_dataclasses_in_a_file_find_their_module(file: Path) -> None:
    assert build_entrant(f"{file}:Set").facts.params == {"k": 2}


def test_the_hash_follows_the_file(file: Path) -> None:
    before = build_entrant(f"{file}:Darken").facts.entry_hash
    assert build_entrant(f"{file}:Darken(by=4)").facts.entry_hash == before
    file.write_text(CLASS.replace("//", "% 7 //"))
    assert build_entrant(f"{file}:Darken").facts.entry_hash != before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_filters.py:Darke", "Did you mean 'Darken'"),
        ("my_filters.py:torch", "not a class defined in this file"),
        ("my_filters.py:Filter", "not a class defined in this file"),
        ("my_filters.py", "which class? Write"),
        ("absent.py:Darken", "absent.py does not exist"),
        ("my_filters.py:Darken(to=3)", "has no parameter 'to'"),
        ("entrant.toml", "does not exist"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(file: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?")) as caught:
        build_entrant(f"{file.parent}/{name}")
    assert "\n" not in str(caught.value)


def test_a_class_without_the_method_is_refused(file: Path) -> None:
    with pytest.raises(AnonbenchError, match="has no method anonymize"):
        build_entrant(f"{file}:Nothing")


@pytest.mark.parametrize(
    "text", ["import nothing_of_that_name", "1 / 0", "raise SystemExit(0)", "def", "x = '\\ud800'\nraise ValueError(x)"]
)
def test_a_file_that_cannot_be_run_is_a_usage_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UsageError, match=r"bad\.py cannot be run"):
        build_entrant(f"{tmp_path}/bad.py:X")
    assert not [name for name in sys.modules if name.startswith("anonbench_file_bad")]


def test_neither_the_working_folder_nor_the_file_s_own_shadows_a_package(file: Path) -> None:
    for name in ("torch", "benchmark", "numpy", "metrics", "click"):
        (file.parent / f"{name}.py").write_text("raise RuntimeError('the wrong module')")
    script = Path(sys.executable).with_name("anonbench")
    done = subprocess.run(
        [script, "show", "my_filters.py:Darken"], cwd=file.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Makes it darker." in done.stdout


def test_a_command_has_the_parameters_of_its_description(tmp_path: Path) -> None:
    (tmp_path / "entrant.toml").write_text(PROCESS)
    for place in (tmp_path, tmp_path / "entrant.toml"):
        facts = build_entrant(f"{place}(by=5, size=2)").facts
        assert (facts.name, facts.kind) == ("darker(by=5, size=2)", "process")
        assert facts.params == {"by": 5, "how": "fast", "size": 2}
    for wrong in ("by=x", "by=1.5", "how=3", "by=True", "size=word"):
        with pytest.raises(UsageError, match="like its default"):
            build_entrant(f"{tmp_path}({wrong})")
    with pytest.raises(UsageError, match="has no parameter 'strength'"):
        build_entrant(f"{tmp_path}(strength=2)")


@pytest.mark.parametrize("name", names("anonymizers"))
def test_nobody_takes_the_name_of_an_installed_anonymizer(tmp_path: Path, name: str) -> None:
    (tmp_path / "entrant.toml").write_text(PROCESS.replace("darker", name))
    with pytest.raises(UsageError, match=f"an installed anonymizer is called '{name}'"):
        build_entrant(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "A"\nkind = "process"\ncommand = ["x"]', "name: must be lower-case"),
        ('name = "../a"\nkind = "process"\ncommand = ["x"]', "name: must be lower-case"),
        ('name = "a"\nkind = "process"\ncommand = []', "command"),
        ('name = "a"\nkind = "class"\ncommand = ["x"]', "kind"),
        ('name = "a"\nkind = "precomputed"\ncommand = ["x"]', "command"),
        ('name = "a"\nkind = "process"\ncommand = ["x"]\nlabels = true', "labels"),
        ('name = "a"\nkind = "process"\ncommand = ["x"]\n[limits]\nseconds = 1e9', "limits.seconds"),
        ('name = "a"\nkind = "process"\ncommand = ["x"]\n[limits]\nseconds = nan', "limits.seconds"),
        ('name = "a"\nkind = "process"\ncommand = ["x"]\n[parameters]\nseed = 3', "cannot be the name"),
        ('name = "a"\nkind = "process"\ncommand = ["x"]\n[parameters]\nx = inf', "finite"),
        ('name = "a"\nkind = "process"\ncommand = ["x"]\ndescription = "\\u202e"', "cannot be printed"),
        ('name = "a"\nkind = "process"\ncommand = ["x\\u0000"]', "cannot be printed"),
        ("name =", "is not TOML"),
        ("x = 1\n" * LARGEST, "a description has at most"),
    ],
)
def test_what_a_description_may_not_say(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        parse_description(text.encode(), "my/entrant.toml")
    assert str(caught.value).startswith("my/entrant.toml")
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_description_or_a_usage_error(data: bytes) -> None:
    said = "x"
    try:
        parse_description(data, "x")
    except UsageError as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def __init__(self, by=4): self.by = (by, by)", "params"),
        ("uses = None", "NoneType"),
        ("training_data = None", "NoneType"),
        ("weights = ('model.pt',)", "weights"),
        ("k_anonymity = 'five'", "k_anonymity"),
        ("kind = 'magic'", "kind"),
        ("uses = {'labels'}", "declares to use 'labels'"),
    ],
)
def test_a_class_that_describes_itself_wrongly_is_one_line(tmp_path: Path, body: str, said: str) -> None:
    text = f"class Bad:\n    {body}\n    def anonymize(self, images, controller): pass\n"
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(AnonbenchError, match=said) as caught:
        build_entrant(f"{tmp_path}/bad.py:Bad")
    assert "\n" not in str(caught.value)


def test_a_file_in_another_encoding_is_an_entrant_with_a_hash_of_its_own(tmp_path: Path) -> None:
    hashes = set()
    for letter in (b"\xe9", b"\xe8"):
        text = (
            b"# -*- coding: latin-1 -*-\nclass A:\n    name = '%s'\n    def anonymize(self, images, controller): pass\n"
        )
        (tmp_path / "old.py").write_bytes(text % letter)
        hashes.add(build_entrant(f"{tmp_path}/old.py:A").facts.entry_hash)
    assert len(hashes) == 2


def test_whatever_a_class_raises_is_a_usage_error(tmp_path: Path) -> None:
    text = "class Stop(BaseException): pass\nclass A:\n    def __init__(self): raise Stop('now')\n    def anonymize(self): pass\n"
    (tmp_path / "stop.py").write_text(text)
    with pytest.raises(UsageError, match=r"now\. Try: anonbench show '.*stop\.py:A'"):
        build_entrant(f"{tmp_path}/stop.py:A")


def test_two_different_entrants_of_one_name_do_not_share_a_row(tmp_path: Path) -> None:
    from benchmark.cli.options import build_entrants

    class NoSuite:
        entrants = ()

    for folder, by in (("a", 2), ("b", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "entrant.toml").write_text(PROCESS.replace("by = 2", f"by = {by}"))
    twice = (str(tmp_path / "a"), str(tmp_path / "a" / "entrant.toml"))
    assert len(build_entrants(twice, NoSuite())) == 1  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="both give rows called 'darker'"):
        build_entrants((str(tmp_path / "a"), str(tmp_path / "b")), NoSuite())  # type: ignore[arg-type]


def test_a_refused_archive_takes_nobody_s_row(tmp_path: Path) -> None:
    from benchmark.cli.options import build_entrants

    class NoSuite:
        entrants = ()

    (tmp_path / "blur.zip").write_text("no archive")
    (tmp_path / "Über (1).tar.gz").write_text("no archive")
    specs = (str(tmp_path / "blur.zip"), "blur")
    built = build_entrants(specs, NoSuite())  # type: ignore[arg-type]
    assert [entrant.facts.name for entrant in built] == ["blur-refused", "blur"]
    (tmp_path / "entrant.toml").write_text(PROCESS.replace("darker", "blur-refused"))
    with pytest.raises(UsageError, match="kept for what was refused"):
        build_entrant(str(tmp_path))


def test_a_description_under_another_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fast.toml").write_text(PROCESS)
    with pytest.raises(UsageError, match=r"a description is called entrant\.toml"):
        build_entrant(str(tmp_path / "fast.toml"))


@pytest.mark.parametrize("text", ["~nosuchuser/x.py:Y", "~nosuchuser/x", "./com,ma/x.py:Y", "./eq=1/"])
def test_odd_paths_are_one_line(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_entrant(text)
    assert "blur(kernel=9)" not in str(caught.value)


def test_defaults_of_a_description() -> None:
    made = parse_description(PROCESS.encode(), "x")
    assert isinstance(made, DescribedProcess)
    assert tomllib.loads(PROCESS)["parameters"] == made.parameters
    assert not made.shardable
    assert made.deterministic
