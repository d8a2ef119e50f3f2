"""``anonbench perceptanon``. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.cli.look import FORMAT, print_rows
from benchmark.cli.options import FOLDER, stacked
from benchmark.errors import UsageError
from metrics.perceptanon.panel_commands import correlate, panel

if TYPE_CHECKING:
    from benchmark.protocols import Report
    from metrics.perceptanon.checkpoint import Perception, Settings

BACKBONES = ("resnet18", "resnet50", "resnet152", "densenet121", "vgg11", "alexnet", "vit_b_16", "small-resnet")
STUDY = click.option(
    "--study", type=click.Choice(["HA1", "HA2"]), default="HA1", show_default=True,
    help="HA1: people saw the released image; HA2: they saw the original, too.",
)  # fmt: skip
PAPER = click.option(
    "--paper-splits", is_flag=True,
    help="Split row by row as published. Default: variants of one photograph stay in one part.",
)  # fmt: skip
SAVED = click.option(
    "--splits", "saved", type=FOLDER, metavar="DIR", help="Read the splits that 'splits --out DIR' wrote."
)
ORIGINAL = click.option(
    "--original", type=FOLDER, metavar="DIR", help="Folder with the originals, under the same names (HA2)."
)
machine_options = stacked(
    click.option("--threads", type=click.IntRange(1), help="Computing threads. Default: the cores that are idle."),
    click.option("--device", help="Torch device. Default: cuda where there is one, else cpu."),
)
network_options = stacked(
    click.option("--backbone", type=click.Choice(BACKBONES), default="resnet18", show_default=True),
    click.option("--width", type=click.IntRange(1, 512), help="Channels of small-resnet after the stem. Default: 16."),
    click.option(
        "--labels", default="mean", show_default=True,
        type=click.Choice(["mean", "labels10", "labels5", "labels3", "binary"]), help="What is learned.",
    ),
    click.option(
        "--task", type=click.Choice(["regression", "classification"]), default="regression", show_default=True
    ),
    click.option(
        "--start", type=click.Choice(["imagenet", "none"]),
        help="First weights. Default: imagenet, but none for small-resnet.",
    ),
    click.option("--size", type=click.IntRange(16, 1024), default=224, show_default=True, help="Side in pixels."),
)  # fmt: skip
recipe_options = stacked(
    click.option("--epochs", type=click.IntRange(1), default=200, show_default=True),
    click.option("--batch", type=click.IntRange(2), default=128, show_default=True, help="Images per step."),
    click.option("--optimiser", type=click.Choice(["sgd", "adam"]), default="sgd", show_default=True),
    click.option("--rate", type=click.FloatRange(0, min_open=True), default=0.01, show_default=True),
    click.option("--schedule", type=click.Choice(["cosine", "step"]), default="cosine", show_default=True),
    click.option("--class-weights", is_flag=True, help="Weigh classes by N / n_c (classification)."),
    click.option(
        "--independent-augmentation", is_flag=True, help="Move the images of a pair differently, as published (HA2)."
    ),
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def perceptanon() -> None:
    """PerceptAnon: a learned score of how anonymous people find an image."""


@perceptanon.command()
@click.argument("data", type=FOLDER)
@STUDY
@click.option("--split", "names", multiple=True, metavar="NAME", help="As in loov-lfw; repeat for more. Default: all.")
@click.option("--out", type=FOLDER, help="Where the folder dataset_splits goes. Default: DATA.")
@PAPER
@FORMAT
def splits(data: Path, study: str, names: tuple[str, ...], out: Path | None, paper_splits: bool, form: str) -> None:
    """Writes train, validation and test tables of the study in the folder DATA."""
    from metrics.perceptanon.splits import choose_splits, folder_of, split_table, write_split
    from metrics.perceptanon.table import read_table

    table, rows = read_table(data, study), list[dict[str, Any]]()
    for name in choose_splits(table, names):
        try:
            split = split_table(table, name, paper_splits)
        except UsageError as error:
            if names:
                raise
            rows.append({"split": name, "train": "", "val": "", "test": "", "written": str(error)})
            continue
        write_split(split, out or data)
        counts = {part: len(members) for part, members in split.parts().items()}
        rows.append({"split": name, **counts, "written": str(folder_of(out or data, study, name))})
    print_rows(rows, form)


@perceptanon.command()
@click.argument("data", type=FOLDER)
@STUDY
@click.option("--split", default="all", show_default=True, metavar="NAME", help="As in all, loov-lfw, task-face.")
@click.option(
    "--panel", type=click.Choice(["human", "simulated"]), help="Who gave the scores. Default: what the study says."
)
@network_options
@recipe_options
@PAPER
@SAVED
@click.option("--out", type=FOLDER, required=True, help="Folder of checkpoint, settings and history.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--half", is_flag=True, help="Write float16.")
@machine_options
def train(data: Path, out: Path, threads: int | None, device: str | None, **options: Any) -> None:
    """Trains a network on the study in the folder DATA.

    A training that was stopped goes on when the same command runs again.
    """
    from metrics.perceptanon.fitting import fit
    from metrics.perceptanon.interruption import best_epoch

    chosen, report = _machine(threads, device)
    path, settings, history = fit(_plan(data, options), out, chosen, report)
    best = best_epoch(history) + 1
    click.echo(f"{path}: epoch {best} of {len(history)}, validation loss {settings.val_loss:.6g}")


def _plan(data: Path, options: dict[str, Any]) -> Any:
    from metrics.perceptanon.fitting import Plan
    from metrics.perceptanon.training import ADAM, Recipe

    given = ("epochs", "batch", "optimiser", "rate", "schedule", "class_weights", "independent_augmentation")
    decay = ADAM.weight_decay if options["optimiser"] == "adam" else 0.0
    recipe = Recipe(**{name: options.pop(name) for name in given}, weight_decay=decay)
    width = options.pop("width")
    return Plan(
        data=data,
        saved_splits=options.pop("saved"),
        granularity=options.pop("labels"),
        params={} if width is None else {"width": width},
        recipe=recipe,
        **options,
    )


@perceptanon.command()
@click.argument("checkpoint", type=FOLDER)
@click.argument("data", type=FOLDER)
@click.option("--split", metavar="NAME", help="Default: the one the checkpoint was trained on.")
@SAVED
@machine_options
@FORMAT
def evaluate(
    checkpoint: Path,
    data: Path,
    split: str | None,
    saved: Path | None,
    threads: int | None,
    device: str | None,
    form: str,
) -> None:
    """Compares CHECKPOINT with the test rows of the study in the folder DATA."""
    from metrics.perceptanon.fitting import assess, leak
    from metrics.perceptanon.study import panel_of

    perception, report = _opened(checkpoint, threads, device)
    result = assess(perception, data, split, saved, report).as_dict()
    reasons = result.pop("reasons")
    rows = [
        *_about(perception.settings, panel_of(data), split, leak(perception.settings, split)),
        *({"measure": name, "value": value, "note": reasons.get(name, "")} for name, value in result.items()),
    ]
    print_rows([_shown(row) for row in rows] if form == "table" else rows, form)


def _about(settings: Settings, said: str, split: str | None, leak: str) -> list[dict[str, Any]]:
    learned = "" if settings.panel == "human" else "it learned the scores of a simulated panel, not of people"
    scores = "unknown" if said == "human" and learned else said  # a study that says nothing counts as people's
    notes = {
        "simulated": "the test is against a simulated panel, not against people",
        "unknown": "the study does not say who gave its scores",
    }
    return [
        {"measure": "study", "value": settings.study, "note": ""},
        {"measure": "panel", "value": settings.panel, "note": learned},
        {"measure": "scores", "value": scores, "note": notes.get(scores, "")},
        {"measure": "split", "value": split or settings.split, "note": leak},
    ]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    value = row["value"]
    return row | {"value": "-" if value is None else f"{value:.4f}" if isinstance(value, float) else value}


@perceptanon.command()
@click.argument("checkpoint", type=FOLDER)
@click.argument("images", type=FOLDER, nargs=-1, required=True)
@ORIGINAL
@click.option("--out", type=FOLDER, help="CSV file. Default: the terminal.")
@machine_options
def score(
    checkpoint: Path,
    images: tuple[Path, ...],
    original: Path | None,
    out: Path | None,
    threads: int | None,
    device: str | None,
) -> None:
    """Scores IMAGES (files or folders) with CHECKPOINT, as CSV: path, score (1-10, high = anonymous), panel."""
    from benchmark.store import write_atomic
    from metrics.perceptanon.files import as_csv, find_images, score_files

    perception, report = _opened(checkpoint, threads, device)
    items = find_images(images)
    text = as_csv(items, score_files(perception, items, original, report), perception.settings.panel)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomic(out, text.encode("utf-8", "surrogateescape"))


@perceptanon.command()
@click.argument("checkpoint", type=FOLDER)
@click.argument("images", type=FOLDER, nargs=-1, required=True)
@ORIGINAL
@click.option("--out", type=FOLDER, required=True, help="Folder of the pictures.")
@machine_options
def explain(
    checkpoint: Path,
    images: tuple[Path, ...],
    original: Path | None,
    out: Path,
    threads: int | None,
    device: str | None,
) -> None:
    """Shows where CHECKPOINT looks in IMAGES (Grad-CAM), one PNG each."""
    from metrics.perceptanon.explain import grad_cam, write_pictures
    from metrics.perceptanon.files import batches, find_images, originals_of, picture_files

    perception, report = _opened(checkpoint, threads, device)
    items, size = find_images(images), perception.settings.size
    files = iter(picture_files(items, out))
    for first, released in batches(
        items, originals_of(items, original, perception.settings.study), size, report, "explain"
    ):
        pictures = grad_cam(perception, released, first)
        write_pictures(pictures, [next(files) for _ in pictures])
    click.echo(f"{len(items)} pictures in {out}")


def _machine(threads: int | None, device: str | None) -> tuple[str, Report]:
    """Prepares the machine: the torch device, and where progress is shown."""
    from rich.console import Console

    from benchmark.machine import checked_device, choose_device, use_threads
    from benchmark.progress import reporter

    chosen = checked_device(device) if device else choose_device()
    use_threads(threads)
    return chosen, reporter(Console(stderr=True))


def _opened(checkpoint: Path, threads: int | None, device: str | None) -> tuple[Perception, Report]:
    from metrics.perceptanon.checkpoint import open_perception

    chosen, report = _machine(threads, device)
    return open_perception(checkpoint, chosen), report


for command in (panel, correlate):
    perceptanon.add_command(command)
