"""Rebuilds the frozen referees of a portraits suite and pins all hashes: ``python -m suites.train SUITE``.

New weights are a new suite: raise ``version`` in its TOML file when you commit them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import click

from benchmark.hashing import sha256_bytes
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import load_classifier
from benchmark.machine import idle_cores, prepare_environment, use_threads
from benchmark.protocols import Report, SuiteOptions
from benchmark.store import cache_root, write_atomic, write_json
from suites.definition import Definition, RefereePlan, read_definition, weights_folder
from suites.referees import RECOGNISER, train_referee
from suites.rendered import SPLITS, RenderedSuite


def rebuild(name: str, folder: Path, workers: int, report: Report) -> dict[str, float]:
    """Renders all splits, trains all referees, writes them with their pins.

    Every referee is trained by one thread in a process of its own: that uses the cores best, and the result does not
    depend on their number.

    Args:
        name: of the suite.
        folder: where the files go.
        workers: referees trained at a time.
        report: shows progress.

    Returns:
        Score of every referee on the probe images, of which no referee saw any: accuracy, or macro F1.
    """
    definition = read_definition(name, pinned=False)
    suite = RenderedSuite(definition, SuiteOptions(store=cache_root() / "store"))
    sets = {split: suite.images(split, report) for split in SPLITS}
    weights = {}
    for referee, data in _train_all(_lessons(definition, sets), workers, report):
        write_atomic(folder / f"{referee}.safetensors", data)
        weights[referee] = sha256_bytes(data)
    ordered = {referee: weights[referee] for referee in (RECOGNISER, *definition.attributes)}
    manifest = {split: images.content for split, images in sets.items()}
    write_json(
        folder / "pins.json", {"manifest": manifest, "weights": ordered, "files": dict(read_definition(name).files)}
    )
    return {referee: _probe_score(referee, folder / f"{referee}.safetensors", sets["probe"]) for referee in ordered}


Lesson = tuple[RefereePlan, ImageSet, Labels]


def _train_all(lessons: dict[str, Lesson], workers: int, report: Report) -> Iterator[tuple[str, bytes]]:
    with (
        ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread) as pool,
        report("train referees", len(lessons)) as progress,
    ):
        running = {pool.submit(train_referee, *lesson, name, "cpu"): name for name, lesson in lessons.items()}
        for done in as_completed(running):
            progress(1)
            yield running[done], done.result()


def _one_thread() -> None:
    prepare_environment()
    use_threads(1)


def _lessons(definition: Definition, sets: dict[str, ImageSet]) -> dict[str, Lesson]:
    enrol, background = sets["enrol"], sets["background"]
    assert enrol.identity is not None
    lessons = {RECOGNISER: (definition.recogniser, enrol, enrol.identity)}
    for name in definition.attributes:
        lessons[name] = (definition.attribute_classifier, background, background.attributes[name])
    return lessons


def _probe_score(referee: str, path: Path, probe: ImageSet) -> float:
    from sklearn.metrics import f1_score

    predicted = load_classifier(referee, path).predictions(probe.images)
    if referee == RECOGNISER:
        assert probe.identity is not None
        return float((predicted == probe.identity.values).double().mean())
    return float(f1_score(probe.attributes[referee].values, predicted, average="macro"))


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--workers", type=click.IntRange(1), help="Referees trained at a time. Default: the idle cores.")
def main(names: tuple[str, ...], workers: int | None) -> None:
    """Rebuilds the referees of the portraits suites NAMES."""
    from rich.console import Console

    from benchmark.progress import reporter

    _one_thread()
    for name in names:
        for referee, score in rebuild(
            name, weights_folder(name), workers or idle_cores(), reporter(Console(stderr=True))
        ).items():
            click.echo(f"{name} {referee}: {score:.4f} on the probe images")


if __name__ == "__main__":
    main()
