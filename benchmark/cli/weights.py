"""Commands about models that come from elsewhere: ``weights list``, ``weights fetch``, ``weights verify``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from benchmark.cli.look import FORMAT, print_rows
from benchmark.errors import EnvironmentProblem

if TYPE_CHECKING:
    from benchmark.weights import WeightEntry
    from benchmark.weights.finding import Copy


@click.group()
def weights() -> None:
    """Model files of other people: what is known, what is here, and getting it here.

    \b
    anonbench weights list             every file, and whether it is on this machine
    anonbench weights fetch alexnet    downloads it into the cache and checks it
    anonbench weights verify           reads every file that is here and checks it again

    A file that cannot be downloaded goes by hand into the folder named by ANONBENCH_WEIGHTS.
    """


@weights.command("list")
@FORMAT
def list_(form: str) -> None:
    """Lists the registry: every file, its licence and whether it is on this machine."""
    from rich.filesize import decimal

    from benchmark.weights import REGISTRY

    print_rows(
        [
            {
                "name": entry.name,
                "file": entry.file,
                "size": decimal(entry.size) if entry.size else "unknown",
                "licence": entry.licence,
                "purpose": entry.purpose,
                "status": _status(entry),
            }
            for entry in REGISTRY.values()
        ],
        form,
    )


def _status(entry: WeightEntry) -> str:
    """What ``locate`` would make of it, in a few words."""
    from benchmark.weights.finding import copies

    copy = next(copies(entry), None)
    if copy is None:
        return "absent"
    return f"damaged: {copy.problem}" if copy.problem else f"in {copy.place}"


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def fetch(names: tuple[str, ...]) -> None:
    """Downloads weights into the cache, checks them and prints their paths."""
    from rich.console import Console

    from benchmark.progress import reporter
    from benchmark.weights import fetch as fetch_one
    from benchmark.weights.entries import entry_of

    for name in names:
        entry_of(name)  # a wrong name is said before the first download
    report = reporter(Console(stderr=True))
    for name in names:
        click.echo(fetch_one(name, report))


@weights.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
def verify(names: tuple[str, ...]) -> None:
    """Reads weights from the disk and checks their hashes; without NAME, all that are on this machine."""
    from benchmark.weights import REGISTRY
    from benchmark.weights.entries import entry_of
    from benchmark.weights.finding import astray

    checked = damaged = 0
    for entry in [entry_of(name) for name in names] or list(REGISTRY.values()):
        found = False
        for copy in _fresh(entry):
            found = True
            checked += 1
            damaged += bool(copy.problem)
            click.echo(f"{entry.name}: {_verdict(entry, copy)}")
        if names and not found:
            click.echo(f"{entry.name}: absent{astray()}")
    if not names and not checked:
        click.echo(f"No weights are on this machine{astray()}, nothing to verify. Try: anonbench weights list")
    if damaged:
        raise EnvironmentProblem(
            f"{damaged} of {checked} weight files damaged: remove them, then type: anonbench weights fetch NAME"
        )


def _fresh(entry: WeightEntry) -> Iterator[Copy]:
    """The copies of a file, every byte read again."""
    from benchmark.hashing import sha256_file
    from benchmark.weights.finding import copies

    return copies(entry, sha256_file)


def _verdict(entry: WeightEntry, copy: Copy) -> str:
    if copy.problem:
        return f"damaged: {copy.path}: {copy.problem}"
    if not entry.sha256:
        return f"cannot be checked, no hash is known: {copy.path} has sha256 {copy.sha256}"
    return f"ok: {copy.path}"
