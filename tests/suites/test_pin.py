"""The pinning command refuses what it cannot pin."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from suites.pin import main


@pytest.mark.parametrize("name", ["", "../a", "a/b", "pins.json"])
def test_only_plain_names_are_pinned(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    result = CliRunner().invoke(main, ["portraits-smoke", f"{name}={tmp_path / 'x'}"])
    assert result.exit_code == 2
    assert "is not NAME=FILE" in result.output


@pytest.mark.parametrize(
    "words", [("portraits-smoke", "a"), ("portraits-smoke", "a=gone"), ("nosuch", f"a={__file__}")]
)
def test_missing_files_and_suites(words: tuple[str, str]) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
