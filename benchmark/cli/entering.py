"""Commands for who enters a method of their own: ``new`` writes a start, ``check`` tries whether it keeps the protocol."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmark.cli.options import FOLDER
from benchmark.errors import EntrantError, EnvironmentProblem

KINDS = ("python", "process", "precomputed")


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="python",
    show_default=True,
    help="A class in a file, a command of its own environment, or images released elsewhere.",
)
@click.option("--dir", "place", type=FOLDER, default=Path(), help="Folder to write it in. Default: this one.")  # fmt: skip
def new(name: str, kind: str, place: Path) -> None:
    """Writes a folder NAME with an anonymizer to start from, and a test of it.

    NAME is lower-case letters, digits and hyphens, as in my-blur. Nothing is ever overwritten.
    """
    from benchmark.starts import write_start

    start = write_start(name, kind, place)
    click.echo(f"{start.folder}: {', '.join(path.name for path in start.files)}", err=True)
    click.echo("\n".join(start.commands))


@click.command()
@click.argument("entrant")
@click.option("--markdown", type=FOLDER, metavar="FILE", help="Also write the findings as Markdown into this file.")
@click.option("--threads", type=click.IntRange(1), help="Computing threads. Default: the cores that are idle.")
def check(entrant: str, markdown: Path | None, threads: int | None) -> None:
    """Tries whether ENTRANT keeps the protocol, on generated pictures, in seconds and without data or network.

    ENTRANT is what may stand after -e: a name with parameters, FILE.py:Name, a folder with an entrant.toml or an
    archive of one.
    """
    from rich.console import Console

    from benchmark.conformance import examine
    from benchmark.machine import use_threads
    from benchmark.progress import reporter

    use_threads(threads)
    found = examine(entrant, reporter(Console(stderr=True)))
    click.echo(found.text(), nl=False)
    if markdown is not None:
        _write(markdown, found.markdown())
    if not found.ok:
        sys.exit(EntrantError.exit_code)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {path}: {error.strerror}. Name another file after --markdown"
        ) from error
