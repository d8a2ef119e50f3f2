"""Adds files that metrics read to a portraits suite and pins their hashes: ``python -m suites.pin SUITE NAME=FILE...``.

Other files are a new suite: raise ``version`` in its TOML file when you commit them.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from benchmark.hashing import sha256_bytes
from benchmark.store import write_atomic, write_json
from suites.definition import weights_folder


def pin(folder: Path, files: dict[str, bytes]) -> dict[str, str]:
    """Writes files into a suite's folder of weights and pins them; pins of other files stay.

    Args:
        folder: with ``pins.json``.
        files: contents by file name.

    Returns:
        The pinned sha256 by file name.
    """
    pins = json.loads((folder / "pins.json").read_bytes())
    for name, data in files.items():
        write_atomic(folder / name, data)
    hashes = {name: sha256_bytes(data) for name, data in files.items()}
    write_json(folder / "pins.json", {**pins, "files": {**pins.get("files", {}), **hashes}})
    return hashes


def _given(text: str) -> tuple[str, bytes]:
    """Name and content of one NAME=FILE."""
    name, _, path = text.partition("=")
    if not name or name != Path(name).name or name == "pins.json" or not Path(path).is_file():
        raise click.BadParameter(f"'{text}' is not NAME=FILE with a plain name and a file that exists")
    return name, Path(path).read_bytes()


@click.command()
@click.argument("suite")
@click.argument("files", nargs=-1, required=True, metavar="NAME=FILE...")
def main(suite: str, files: tuple[str, ...]) -> None:
    """Adds files to the folder of weights of SUITE under the given names."""
    folder, given = weights_folder(suite), dict(map(_given, files))
    if not (folder / "pins.json").is_file():
        raise click.BadParameter(f"no suite '{suite}' has a folder of weights", param_hint="SUITE")
    for name, digest in pin(folder, given).items():
        click.echo(f"{suite} {name}: {digest}")


if __name__ == "__main__":
    main()
