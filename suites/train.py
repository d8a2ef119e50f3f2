"""Rebuilds the frozen referees of a portraits suite and pins all hashes: ``python -m suites.train SUITE``.

New weights are a new suite: raise ``version`` in its TOML file when you commit them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import click
import torch

from benchmark.features import features_of, recogniser_features
from benchmark.hashing import sha256_bytes
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Classifier, load_classifier
from benchmark.machine import idle_cores, prepare_environment, use_threads
from benchmark.protocols import Referees, Report, SuiteOptions
from benchmark.store import cache_root, write_atomic, write_json
from suites.definition import Definition, RefereePlan, read_definition, weights_folder
from suites.referees import ATTACKERS, OF_BACKGROUND, RECOGNISER, plans_of, train_referee
from suites.rendered import SPLITS, RenderedSuite


def rebuild(name: str, folder: Path, workers: int, report: Report, only: Sequence[str] = ()) -> dict[str, float]:
    """Renders all splits, trains all referees, writes them with their pins.

    Every referee is trained by one thread in a process of its own: that uses the cores best, and the result does not
    depend on their number.

    Args:
        name: of the suite.
        folder: where the files go.
        workers: referees trained at a time.
        report: shows progress.
        only: names of the models to train; the others keep their files. None of them: all.

    Returns:
        Score of every model on the probe images, of which none saw any: accuracy, or macro F1.
    """
    definition = read_definition(name, pinned=False)
    suite = RenderedSuite(definition, SuiteOptions(store=cache_root() / "store"))
    sets = {split: suite.images(split, report) for split in SPLITS}
    before = read_definition(name)
    lessons = {model: lesson for model, lesson in _lessons(definition, sets).items() if not only or model in only}
    weights = dict(before.weights) if only else {}
    for model, data in _train_all(lessons, workers, report):
        write_atomic(folder / f"{model}.safetensors", data)
        weights[model] = sha256_bytes(data)
    ordered = {model: weights[model] for model in (RECOGNISER, *definition.attributes, *ATTACKERS)}
    manifest = {split: images.content for split, images in sets.items()}
    write_json(folder / "pins.json", {"manifest": manifest, "weights": ordered, "files": dict(before.files)})
    return {model: _probe_score(model, folder / f"{model}.safetensors", sets) for model in lessons}


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
    assert background.identity is not None
    lessons = {}
    for name, plan in plans_of(definition).items():
        of_background = name == OF_BACKGROUND
        lessons[name] = (plan, background, background.identity) if of_background else (plan, enrol, enrol.identity)
    for name in definition.attributes:
        lessons[name] = (definition.attribute_classifier, background, background.attributes[name])
    return lessons


def _probe_score(model: str, path: Path, sets: dict[str, ImageSet]) -> float:
    from sklearn.metrics import f1_score

    probe, classifier = sets["probe"], load_classifier(model, path)
    assert probe.identity is not None
    if model == OF_BACKGROUND:
        return _nearest_is_right(classifier, sets["enrol"], probe)
    predicted = classifier.predictions(probe.images)
    if model in probe.attributes:
        return float(f1_score(probe.attributes[model].values, predicted, average="macro"))
    return float((predicted == probe.identity.values).double().mean())


def _nearest_is_right(classifier: Classifier, gallery: ImageSet, probe: ImageSet) -> float:
    """Share of probes whose nearest gallery photograph, by angle between features, shows the same person."""
    network, quiet_referees = recogniser_features(classifier), Referees()
    left, right = (
        torch.nn.functional.normalize(features_of(network, part.images, quiet_referees)) for part in (probe, gallery)
    )
    assert probe.identity is not None
    assert gallery.identity is not None
    nearest = gallery.identity.values[(left @ right.T).argmax(1)]
    return float((nearest == probe.identity.values).double().mean())


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--workers", type=click.IntRange(1), help="Referees trained at a time. Default: the idle cores.")
@click.option("--only", multiple=True, help="Train this model alone, keep the others; may be repeated.")
def main(names: tuple[str, ...], workers: int | None, only: tuple[str, ...]) -> None:
    """Rebuilds the referees of the portraits suites NAMES."""
    from rich.console import Console

    from benchmark.progress import reporter

    _one_thread()
    for name in names:
        for referee, score in rebuild(
            name, weights_folder(name), workers or idle_cores(), reporter(Console(stderr=True)), only
        ).items():
            click.echo(f"{name} {referee}: {score:.4f} on the probe images")


if __name__ == "__main__":
    main()
