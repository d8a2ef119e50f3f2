"""``anonbench generator``: trains the generator that ``kanon(surrogate=style)`` draws with, and measures it.

Nothing heavy is imported until a command needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.cli.look import FORMAT, print_rows
from benchmark.cli.options import FOLDER, SuiteChoice, stacked, suite_options

if TYPE_CHECKING:
    from benchmark.images import ImageSet
    from benchmark.protocols import Report, Suite

WHOSE = {
    "background": "background photographs",
    "enrol": "photographs of the evaluated people (enrol)",
    "spare": "photographs of spare people",
}
"""What the photographs of a split are called in the generator's file."""
THREADS = click.option("--threads", type=click.IntRange(1), help="Computing threads. Default: the cores that are idle.")
CHOICE = ("suite", "data", "size", "groups", "referee")
train_options = stacked(
    click.option("--out", type=FOLDER, required=True, help="File of the generator, ending in .safetensors."),
    click.option("--steps", type=click.IntRange(1), default=3_500, show_default=True, help="Steps in all."),
    click.option(
        "--adversarial-from", type=click.IntRange(0), help="Step at which the discriminator joins. Default: after 6/7 of all."
    ),
    click.option(
        "--people", type=click.IntRange(10), default=12_000, show_default=True,
        help="Further people to render, where the suite renders its pictures.",
    ),
    click.option(
        "--split", "splits", multiple=True, type=click.Choice(["background", "enrol", "spare"]),
        help="Whose photographs, where they are not rendered; repeat for more. Default: background.",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def generator() -> None:
    """The style-based generator behind kanon(surrogate=style)."""


@generator.command()
@suite_options
@train_options
@THREADS
def train(**options: Any) -> None:
    """Trains a generator and its encoder on people of SUITE, never on probe images.

    Suites that render their pictures render further people for it. Stop it at any time: the same command goes on where it was.
    """
    from anonymizers.kanonymity.training.session import Plan, train_generator
    from benchmark.errors import UsageError
    from benchmark.machine import use_threads

    out: Path = options["out"]
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: the name of a generator ends in .safetensors")
    use_threads(options["threads"])
    suite, report = _open(options)
    images, people = _taught(suite, options["splits"], options["people"], report)
    plan = Plan(options["steps"], options["adversarial_from"], options["seed"])
    found = train_generator(images, plan, out, f"{_title(suite)}: {people}", report)
    click.echo(f"{out}: {found:.2f} dB on {min(64, len(images) // 10)} photographs it was not trained on")


@generator.command()
@suite_options
@click.option("--generator", "name", default="portraits", show_default=True, help="The shipped one, or a file.")
@click.option("--steps", type=click.IntRange(0), default=0, show_default=True, help="Of projection after the encoder.")
@click.option(
    "--images", "count", type=click.IntRange(1), default=200, show_default=True, help="Probe images to project."
)
@THREADS
@FORMAT
def project(**options: Any) -> None:
    """Projects probe images of SUITE into a generator: PSNR, and F1 of what comes out beside that of the originals."""
    from anonymizers.kanonymity.training.fidelity import fidelity
    from benchmark.machine import use_threads

    use_threads(options["threads"])
    suite, report = _open(options)
    rows = fidelity(suite, options["name"], options["steps"], options["count"], report)
    print_rows(rows, options["form"])


def _open(options: dict[str, Any]) -> tuple[Suite, Report]:
    from rich.console import Console

    from benchmark.progress import reporter

    report = reporter(Console(stderr=True))
    return SuiteChoice(*(options[name] for name in CHOICE)).open("cpu", report), report


def _taught(suite: Suite, splits: tuple[str, ...], people: int, report: Report) -> tuple[ImageSet, str]:
    """What to train on, and what it is called."""
    from benchmark.errors import UsageError
    from benchmark.images import joined

    further = getattr(suite, "further", None)
    if further is not None and not splits:
        return further(people, report=report), f"{people} further people"
    wanted = {name: suite.images(name, report) for name in splits or ("background",)}
    sets = {name: images for name, images in wanted.items() if len(images)}
    if not sets:
        raise UsageError(f"{_title(suite)} has no {' or '.join(wanted)} photographs: choose others with --split")
    return joined(list(sets.values())), " and ".join(WHOSE[name] for name in sets)


def _title(suite: Suite) -> str:
    """What the data are called; a folder would train its referees before it told all its facts."""
    return getattr(suite, "title", "") or suite.facts.title
