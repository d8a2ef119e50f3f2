"""Makes a study in the format of HA1.csv and HA2.csv whose scores come from a simulated panel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from benchmark.decode import encode_png
from benchmark.errors import EntrantError, UsageError
from benchmark.images import ImageSet
from benchmark.protocols import Controller, Report, Suite, quiet
from benchmark.registry import Entrant, build_entrant
from benchmark.release import EntrantFailed, released_once
from benchmark.seeding import uniform
from benchmark.store import Store, write_atomic, write_json
from metrics.perceptanon.lineup import Album, Jury, scores
from metrics.perceptanon.panel import Plan, recruit

GIVEN = frozenset({"identity", "attributes", "landmarks"})
"""What an entrant may use here: a panel has no recogniser and no train photographs to hand out."""
FOLDS = 3
"""Background people are divided into so many parts; each part is judged by observers that learned the others."""
People = Literal["background", "evaluated"]
TABLES = ("HA1.csv", "HA2.csv")
DESCRIPTION = "study.json"
SALT = "simulated panel"
"""Of the keys entrants see; not the suite's hash, which covers the network that is trained on the study."""


@dataclass(frozen=True)
class Cast:
    """Who does what in a study.

    Attributes:
        learned: people the observers learn.
        subjects: originals that are anonymized.
        album: originals the line-ups are drawn from.
    """

    learned: ImageSet
    subjects: ImageSet
    album: ImageSet


def casts_of(suite: Suite, people: People, report: Report = quiet) -> list[Cast]:
    """Divides the people of a suite: the observers never learned anybody who is anonymized.

    Returns:
        One cast per part of the background people; one for evaluated people, whose probe photographs are shown beside
        their enrol photographs to observers that learned all parts but the last.

    Raises:
        UsageError: the suite has no identities, or too few people.
    """
    background = suite.images("background", report)
    if background.identity is None or not len(background):
        raise UsageError(f"{suite.facts.name} has no background people with names, so no panel can be trained")
    divided = [_divided(background, part) for part in background.identity.values.unique().tensor_split(FOLDS)]
    if people == "background":
        return [Cast(others, subjects, subjects) for others, subjects in divided]
    return [Cast(divided[-1][0], suite.images("probe", report), suite.images("enrol", report))]


def _divided(images: ImageSet, people: torch.Tensor) -> tuple[ImageSet, ImageSet]:
    """All others, and ``people``."""
    assert images.identity is not None
    chosen = torch.isin(images.identity.values, people)
    others, own = (images.select(rows.nonzero().flatten()) for rows in (~chosen, chosen))
    return others, own


def assigned(keys: Sequence[str], entrants: int, variants: int, seed: int) -> torch.Tensor:
    """Which entrants anonymize which image: every image by ``variants`` different ones, bool ``[N, entrants]``."""
    draws = uniform(seed, "study variants", keys, (entrants,))
    chosen = draws.topk(min(variants, entrants), dim=1).indices
    return torch.zeros(len(keys), entrants, dtype=torch.bool).scatter_(1, chosen, True)


def make_study(
    suite: Suite,
    people: People,
    specs: Sequence[str],
    variants: int,
    plan: Plan,
    store: Store,
    out: Path,
    report: Report = quiet,
) -> int:
    """Anonymizes, lets the panel judge, and writes HA1.csv, HA2.csv, the images, and how they were made.

    Args:
        suite: whose people.
        people: ``background`` for a study to train on, ``evaluated`` (the probe photographs) for one to measure on.
        specs: entrants, for example what is ``usable`` of the suite's own list.
        variants: released images per original.
        plan: of the panel.
        store: where observers are kept.
        out: folder of the study; an older study of a simulated panel is replaced.
        report: shows progress.

    Returns:
        Number of rows.

    Raises:
        UsageError: an entrant needs more than a panel can hand out, or ``out`` holds scores of people.
    """
    _check_out(out)
    casts, entrants = casts_of(suite, people, report), [_entrant(spec) for spec in specs]
    rows: list[dict[str, Any]] = []
    observers: dict[str, str] = {}
    for number, cast in enumerate(casts):
        judges = recruit(plan, cast.learned, store, report)
        observers |= {f"{number}-{judge.name}": judge.classifier.sha256 for judge in judges}
        jury = Jury(judges, Album(cast.album, plan.people), plan)
        rows += _act(suite.facts.name, cast, entrants, variants, jury, out, report)
    made = {
        "panel": "simulated",
        "suite": suite.facts.name,
        "suite_hash": suite.facts.suite_hash,
        "people": people,
        "variants": variants,
        "entrants": [str(entrant.spec) for entrant in entrants],
        "observers": observers,
        "plan": asdict(plan),
    }
    write_json(out / DESCRIPTION, made)  # before the tables, which without it would pass for scores of people
    _write_table(out, rows)
    return len(rows)


def _act(
    dataset: str, cast: Cast, entrants: Sequence[Entrant], variants: int, jury: Jury, out: Path, report: Report
) -> list[dict[str, Any]]:
    """The rows of one cast."""
    turns = assigned(cast.subjects.keys, len(entrants), variants, jury.plan.seed)
    _write_images(out / "original", cast.subjects)
    rows: list[dict[str, Any]] = []
    with report("simulated panel", int(turns.sum())) as progress:
        for entrant, mine in zip(entrants, turns.unbind(1), strict=True):
            given = cast.subjects.select(mine.nonzero().flatten())
            if len(given):
                rows += _judged(dataset, entrant, given, jury, out)
            progress(len(given))
    return rows


def _check_out(out: Path) -> None:
    """Scores of people are never overwritten."""
    tables = [name for name in TABLES if (out / name).exists()]
    if tables and description_of(out).get("panel") != "simulated":
        raise UsageError(
            f"{out / tables[0]} is not of a simulated panel and would be lost; name another folder with --out"
        )


def usable(specs: Sequence[str]) -> tuple[list[str], list[str]]:
    """The entrants that use no more than a panel can hand out, and the others, each in the order given."""
    beyond = [spec for spec in specs if build_entrant(spec).uses - GIVEN]
    return [spec for spec in specs if spec not in beyond], beyond


def _entrant(spec: str) -> Entrant:
    entrant = build_entrant(spec)
    beyond = sorted(entrant.uses - GIVEN)
    if beyond:
        raise UsageError(
            f"{entrant.spec} uses {beyond[0]}, which a simulated panel cannot hand out; leave it out with -e"
        )
    return entrant


def file_name(key: str) -> str:
    """The file of an image in a study: its key without folders."""
    return f"{key.replace('/', '-')}.png"


def _write_images(folder: Path, images: ImageSet) -> None:
    for key, image in zip(images.keys, images.images, strict=True):
        write_atomic(folder / file_name(key), encode_png(image))


def _judged(dataset: str, entrant: Entrant, given: ImageSet, jury: Jury, out: Path) -> list[dict[str, Any]]:
    """Releases and judges images: one row per released image, in the columns of HA1.csv and HA2.csv."""
    try:
        released = given.with_images(released_once(entrant, given, Controller(seed=jury.plan.seed), SALT))
    except EntrantFailed as failed:
        raise EntrantError(f"{entrant.spec} failed: {failed}; mend it, or leave it out with -e") from failed
    _write_images(out / entrant.spec.slug, released)
    shares = scores(jury.failures(released))
    names = [observer.name for observer in jury.observers]
    return [
        {
            "img1": f"original/{file_name(key)}",
            "img2": f"{entrant.spec.slug}/{file_name(key)}",
            "dataset": dataset,
            "scope": "global",
            "method": entrant.spec.family,
            **dict(zip(names, judged, strict=True)),
            "entrant": str(entrant.spec),
            "score_mean": sum(judged) / len(judged),
        }
        for key, judged in zip(given.keys, shares.tolist(), strict=True)
    ]


def _write_table(out: Path, rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    text = pd.DataFrame(rows).sort_values(["img1", "img2"]).to_csv(index=False, lineterminator="\n").encode()
    for name in TABLES:
        write_atomic(out / name, text)


def description_of(data: Path) -> dict[str, Any]:
    """How the scores of a study were made, empty where its folder does not say.

    Raises:
        UsageError: the file is not readable.
    """
    path = data / DESCRIPTION
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise UsageError(f"{path} is not readable JSON ({error}); make the study again") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} does not describe a study; make the study again")
    return found


def panel_of(data: Path) -> Literal["human", "simulated"]:
    """Who gave the scores of a study, as far as its folder says."""
    return "simulated" if description_of(data).get("panel") == "simulated" else "human"
