"""``anonbench new``: what it writes works, what it prints can be typed, and what it refuses leaves nothing behind."""

from __future__ import annotations

import fnmatch
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from benchmark.cli import entering
from benchmark.conformance import examine
from benchmark.entrants.described import read_description
from benchmark.errors import UsageError
from benchmark.records import ParamValue
from benchmark.registry import build_entrant, names
from benchmark.specs import parse_spec
from benchmark.starts import KINDS, Start, write_start
from benchmark.starts.writing import FILES

Invoke = Callable[..., Result]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_passes_its_own_test(kind: str, here: Path, cache: Path) -> None:
    write_start("my-blur", kind, here)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "my-blur"],
        env={**os.environ, "ANONBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_fails_its_own_test_once_it_is_broken(kind: str, here: Path, cache: Path) -> None:
    """A test that cannot fail is worth nothing, and neither is one that is given away."""
    folder = write_start("my-blur", kind, here).folder
    file = folder / {"python": "my_blur.py", "process": "anonymize.py", "precomputed": "release.py"}[kind]
    text = file.read_text()
    broken = text.replace("blocks[:, :, :height, :width]", "blocks[:, :, 1:height, :width]")
    broken = broken.replace("resize(image.size,", "resize((9, 9),")
    assert broken != text
    file.write_text(broken)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "my-blur"],
        env={**os.environ, "ANONBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 1


@pytest.mark.parametrize("kind", KINDS)
def test_commands_name_the_start_and_can_be_typed(invoke: Invoke, here: Path, kind: str) -> None:
    done = invoke("new", "my-blur", "--kind", kind)
    assert done.exit_code == 0, done.output
    lines = [shlex.split(line) for line in done.stdout.splitlines()]
    assert [line[1] for line in lines[-3:]] == ["check", "run", "submit"]
    spec = "my-blur/my_blur.py:MyBlur" if kind == "python" else "my-blur/entrant.toml"
    assert lines[-3][2] == lines[-2][-1] == spec
    family = "my_blur.MyBlur" if kind == "python" else "my-blur"
    assert lines[-1][2] == f"leaderboard/portraits-smoke/records/{family}/seed-0"
    if kind != "precomputed":
        assert build_entrant(spec).facts.name == family


def test_default_is_python(invoke: Invoke, here: Path) -> None:
    assert invoke("new", "my-blur").exit_code == 0
    assert sorted(path.name for path in (here / "my-blur").iterdir()) == ["my_blur.py", "test_my_blur.py"]


def test_check_as_it_was_printed(invoke: Invoke, here: Path) -> None:
    """In a folder with a blank in its name, whose name has to be quoted."""
    (here / "a b").mkdir()
    done = invoke("new", "my-blur", "--dir", "a b")
    line = shlex.split(done.stdout.splitlines()[0])
    checked = invoke(*line[1:], "--threads", 1)
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.splitlines()[-1] == "my_blur.MyBlur conforms."


def test_released_elsewhere_as_it_was_printed(invoke: Invoke, here: Path) -> None:
    lines = [shlex.split(line) for line in invoke("new", "my-images", "--kind", "precomputed").stdout.splitlines()]
    assert [line[0] for line in lines] == ["anonbench", "python", *["anonbench"] * 4]
    assert invoke(*lines[0][1:]).exit_code == 0
    subprocess.run([sys.executable, *lines[1][1:]], check=True)
    assert invoke(*lines[2][1:]).exit_code == 0
    checked = invoke(*lines[3][1:], "--threads", 1)
    assert checked.exit_code == 0, checked.output
    assert "conforms" in checked.stdout.splitlines()[-1]


@pytest.mark.parametrize("value", [1, 1025, "'wide'"])
def test_wrong_parameters_of_the_start_are_refused(here: Path, value: ParamValue) -> None:
    start = write_start("my-blur", "python", here)
    with pytest.raises(UsageError, match=r"MyBlur"):
        build_entrant(f"{start.spec}(size={value})")


@pytest.mark.parametrize("size", [2, 7, 64])
def test_the_start_conforms_with_other_parameters(here: Path, size: int) -> None:
    start = write_start("my-blur", "python", here)
    assert examine(f"{start.spec}(size={size})").ok


def test_python_start_gives_means_of_blocks(here: Path) -> None:
    """Held against the mean computed block by block."""
    from benchmark.conformance.pictures import faces
    from benchmark.protocols import Controller

    images = faces(3, (13, 22), photographs=1)
    start = write_start("my-blur", "python", here)
    released = build_entrant(f"{start.spec}(size=5)").anonymizer.anonymize(images, Controller()).images
    for top in range(0, 13, 5):
        for left in range(0, 22, 5):
            block = (slice(None), slice(None), slice(top, top + 5), slice(left, left + 5))
            means = images.images[block].double().mean((2, 3), keepdim=True)
            assert bool(((released[block].double() - means).abs() <= 0.5 + 1e-4).all())


@pytest.mark.parametrize("kind", ["process", "precomputed"])
def test_descriptions_can_be_read(here: Path, kind: str) -> None:
    described = read_description(write_start("my-tool", kind, here).folder / "entrant.toml")
    assert (described.name, described.kind) == ("my-tool", kind)
    assert described.deterministic


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        "1a",
        "Blur",
        "my_blur",
        "my blur",
        "../x",
        "a/b",
        "/tmp/x",
        "a\n",
        "ä",
        "a\0",
        "x" * 61,
        ".",
        "a.b",
        "a:b",
    ],
)
def test_names_that_are_no_names_are_refused(invoke: Invoke, here: Path, name: str) -> None:
    done = invoke("new", "--", name)
    assert done.exit_code == 2
    assert "letters, digits and hyphens" in done.output or not name
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["class", "for", "none", "true", "json", "torch", "benchmark", "random", "is"])
def test_names_that_mean_something_in_python_are_refused(invoke: Invoke, here: Path, name: str) -> None:
    done = invoke("new", name)
    assert done.exit_code == 2
    assert f"my-{name}" in done.output
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", names("anonymizers"))
def test_names_of_installed_anonymizers_are_refused(name: str, here: Path) -> None:
    with pytest.raises(UsageError, match="installed anonymizer"):
        write_start(name, "python", here)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "full folder", "file", "dangling link"])
def test_nothing_is_overwritten(invoke: Invoke, here: Path, what: str) -> None:
    target = here / "my-blur"
    if what == "file":
        target.write_text("mine")
    elif what == "dangling link":
        target.symlink_to(here / "nowhere")
    else:
        target.mkdir()
    if what == "full folder":
        (target / "my_blur.py").write_text("mine")
    done = invoke("new", "my-blur")
    assert done.exit_code == 2
    assert "nothing is overwritten" in done.output
    assert [path.name for path in here.iterdir()] == ["my-blur"]
    if what == "full folder":
        assert (target / "my_blur.py").read_text() == "mine"


def test_a_folder_that_is_not_there_is_named(invoke: Invoke, here: Path) -> None:
    done = invoke("new", "my-blur", "--dir", "no where")
    assert done.exit_code == 2
    assert "mkdir -p 'no where'" in done.output


def test_nothing_is_left_behind_on_failure(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step, giving the folder its name, fails as on a full disk."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    from benchmark.errors import EnvironmentProblem

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(EnvironmentProblem, match="No space left"):
        write_start("my-blur", "python", here)
    assert list(here.iterdir()) == []


@given(st.from_regex(r"[a-z][a-z0-9-]{0,59}", fullmatch=True), st.sampled_from(KINDS))
def test_every_name_gives_a_spec_that_can_be_read(name: str, kind: str) -> None:
    start = Start(name, kind, Path("some place") / name)
    assert parse_spec(start.spec).family == start.spec
    assert all(start.spec in shlex.split(line) for line in start.commands[-3:-1])


@pytest.mark.parametrize("name", ["controller", "filter", "image-set", "a-", "a--b", "x", "path", "classvar", "main"])
def test_every_name_gives_a_start_that_loads(here: Path, name: str) -> None:
    for kind, place in (("python", here / "1"), ("process", here / "2")):
        place.mkdir()
        start = write_start(name, kind, place)
        for file in start.folder.glob("*.py"):
            compile(file.read_text(), str(file), "exec")
        if kind == "python":
            assert examine(start.spec).ok


def test_the_command_offers_every_kind() -> None:
    assert entering.KINDS == KINDS


def test_templates_ship_with_the_package() -> None:
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    files = {path.name for path in (ROOT / "benchmark" / "starts" / "templates").iterdir()}
    assert files == {template for kind in FILES.values() for template in kind.values()}
    assert all(any(fnmatch.fnmatch(name, pattern) for pattern in shipped) for name in files)
