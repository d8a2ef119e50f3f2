"""Images out and back: ``export`` hands out what is to be anonymized, ``pack`` makes ready what came back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from benchmark.cli.options import FOLDER, SuiteChoice, suite_options


@click.command()
@suite_options
@click.option("--out", type=FOLDER, required=True, help="Folder for the images: new, empty, or with the same export.")
@click.option(
    "--device", help="Torch device to train the referees of a folder. Default: cuda where there is one, else cpu."
)
def export(out: Path, device: str | None, **options: Any) -> None:
    """Writes the images of SUITE that are to be anonymized elsewhere: neutral names, no labels.

    Under probe, what is published and attacked; under enrol and background, what attackers train on. Release every image
    under the same name into another folder, then: anonbench pack.
    """
    from rich.console import Console

    from benchmark.exporting import export_suite
    from benchmark.machine import checked_device, choose_device, use_threads
    from benchmark.progress import reporter

    use_threads(None)
    report = reporter(Console(stderr=True))
    choice = SuiteChoice(*(options[name] for name in ("suite", "data", "size", "groups", "referee")))
    suite = choice.open(checked_device(device) if device else choose_device(), report)
    for split, count in export_suite(suite, out, report).items():
        click.echo(f"{split}: {count} images")
    click.echo(f"What to do next is said in {out / 'README.txt'}", err=True)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "--zip", "file", type=FOLDER, help="Also write everything into this .zip, always the same for the same files."
)
def pack(folder: Path, file: Path | None) -> None:
    """Lists the released images in DIR with their hashes, in DIR/manifest.json."""
    from rich.console import Console

    from benchmark.entrants import packing
    from benchmark.entrants.manifest import FOLDERS
    from benchmark.progress import reporter

    report = reporter(Console(stderr=True))
    listed = packing.pack(folder, report)
    counts = {name: listed.count(name) for name in FOLDERS}
    for name, count in counts.items():
        click.echo(f"{name}: {count} images")
    lacking = " and ".join(name for name in ("enrol", "background") if not counts[name])
    if lacking:
        click.echo(
            f"Warning: no released images in {lacking}. The attackers adaptive and reversal cannot be run, and the row is "
            "not ranked by risk. The images to release are written by: anonbench export SUITE --out DIR",
            err=True,
        )
    if file is not None:
        packing.zip_folder(folder, listed, file, report)
        click.echo(f"Archive: {file}", err=True)
