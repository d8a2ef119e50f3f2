"""Exports the JSON Schema of a record, or checks that the exported one is up to date: ``python -m benchmark.schema``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from benchmark.records import json_schema


def schema_text() -> str:
    """The JSON Schema of a record as it is committed."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the file is not up to date.")
def main(path: Path, check: bool) -> None:
    """Writes the schema to PATH."""
    if not check:
        path.write_text(schema_text(), encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != schema_text():
        click.echo(f"{path} is not the schema of the code. Run: make schema", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
