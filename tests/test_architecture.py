"""The street has no way back, and what ships stays small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "benchmark": {"benchmark"},
    "anonymizers": {"benchmark", "anonymizers"},
    "metrics": {"benchmark", "metrics"},
    "suites": {"benchmark", "suites"},
}


def imported_rooms(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    return {module.split(".")[0] for module in modules} & set(ALLOWED)


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_no_arrow_goes_against_the_street(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    wrong = {str(file.relative_to(ROOT)): imported_rooms(file) - ALLOWED[room] for file in files}
    assert not {name: rooms for name, rooms in wrong.items() if rooms}


def test_package_data_stay_under_20_mb() -> None:
    rooms = [path for room in ALLOWED for path in (ROOT / room).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in rooms) < 20e6


def test_committed_results_stay_under_15_mb() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "results").rglob("*") if path.is_file()) < 15e6
