"""Who is evaluated and on which photographs: a rule of the labels, the keys and one seed.

- With people and attributes, half of the people are background: whoever trains attribute classifiers sees nobody who
  is evaluated. People are ordered by their majority classes, then by a seeded draw, and every second one is taken, so
  that both halves look alike.
- With people but no attributes there is nothing to train on other people, and everybody is evaluated.
- Who has one photograph cannot be recognised in a second one, and is background in any case.
- Without people half of the photographs are background, by the same rule, and the rest are probes.

Nothing depends on the order of the images: draws are made by key, and every part is sorted by key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from benchmark.errors import UsageError
from benchmark.images import ImageSet, Labels
from benchmark.seeding import uniform

Rows = list[int]


def split_folder(images: ImageSet, seed: int, enrol_share: float = 0.7) -> dict[str, ImageSet]:
    """Cuts a data set into ``background``, ``enrol``, ``probe`` and ``spare`` (always empty).

    Args:
        images: all images, in any order.
        seed: seed of the draws.
        enrol_share: part of each evaluated person's photographs that is enrolled, rounded up, at least one and at
            most all but one.

    Returns:
        The four parts. ``enrol`` and ``probe`` share one list of people, ``background`` and ``spare`` have their own.

    Raises:
        UsageError: fewer than two people can be evaluated, or ``enrol_share`` is not between 0 and 1.
    """
    if not 0 < enrol_share < 1:
        raise UsageError(f"the enrol share must lie between 0 and 1, not {enrol_share}; 0.7 is the default")
    if images.identity is None:
        return _split_photographs(images, seed)
    return _split_people(images, images.identity, seed, enrol_share)


def _split_photographs(images: ImageSet, seed: int) -> dict[str, ImageSet]:
    strata = {key: _majority(images, [row]) for row, key in enumerate(images.keys)}
    background = _every_second(strata, seed)
    rows = range(len(images))
    return {
        "background": _part(images, [row for row in rows if images.keys[row] in background]),
        "enrol": _part(images, []),
        "probe": _part(images, [row for row in rows if images.keys[row] not in background]),
        "spare": _part(images, []),
    }


def _split_people(images: ImageSet, identity: Labels, seed: int, enrol_share: float) -> dict[str, ImageSet]:
    people = _rows_by_person(identity)
    evaluated = _evaluated(images, people, seed)
    others = [row for name, rows in people.items() if name not in evaluated for row in rows]
    enrol: Rows = []
    probe: Rows = []
    for name in evaluated:
        shuffled = [people[name][place] for place in _shuffled([images.keys[row] for row in people[name]], seed)]
        count = _enrolled(len(shuffled), enrol_share)
        enrol += shuffled[:count]
        probe += shuffled[count:]
    return {
        "background": _part(images, others),
        "enrol": _part(images, enrol),
        "probe": _part(images, probe),
        "spare": _part(images, []),
    }


def _rows_by_person(identity: Labels) -> dict[str, Rows]:
    people: dict[str, Rows] = {}
    for row, value in enumerate(identity.values.tolist()):
        people.setdefault(identity.classes[value], []).append(row)
    return dict(sorted(people.items()))


def _evaluated(images: ImageSet, people: Mapping[str, Rows], seed: int) -> list[str]:
    """Names of the people with at least two photographs who are not background, sorted."""
    several = {name: rows for name, rows in people.items() if len(rows) > 1}
    background = set()
    if images.attributes:
        background = _every_second({name: _majority(images, rows) for name, rows in several.items()}, seed)
    evaluated = [name for name in several if name not in background]
    if len(evaluated) < 2:
        needed = "three people (one of them to train the attribute classifiers)" if images.attributes else "two people"
        raise UsageError(
            f"re-identification needs at least {needed} with two photographs each, and here are {len(several)}; "
            "add photographs, or leave the identity column empty to measure attributes alone"
        )
    return evaluated


def _majority(images: ImageSet, rows: Rows) -> tuple[int, ...]:
    """The most frequent class of every attribute, the first of equals."""
    names = sorted(images.attributes)
    return tuple(int(np.bincount(images.attributes[name].values[rows].numpy()).argmax()) for name in names)


def _every_second(strata: Mapping[str, tuple[int, ...]], seed: int) -> set[str]:
    """Every second name in the order of stratum, then of a seeded draw."""
    names = sorted(strata)
    draws = uniform(seed, "folder/background", names, (1,))[:, 0].tolist()
    ordered = sorted(zip((strata[name] for name in names), draws, names, strict=True))
    return {name for _, _, name in ordered[1::2]}


def _shuffled(keys: Sequence[str], seed: int) -> list[int]:
    """Places of ``keys`` in the order of a seeded draw by key."""
    draws = uniform(seed, "folder/enrol", keys, (1,))[:, 0].tolist()
    return sorted(range(len(keys)), key=lambda place: (draws[place], keys[place]))


def _enrolled(count: int, share: float) -> int:
    # The small term undoes binary rounding: 0.55 x 20 is 11, not 12.
    return min(max(math.ceil(share * count - 1e-9), 1), count - 1)


def _part(images: ImageSet, rows: Rows) -> ImageSet:
    """The images at ``rows``, sorted by key, with a list of people of its own."""
    ordered = sorted(rows, key=images.keys.__getitem__)
    part = images.select(torch.tensor(ordered, dtype=torch.int64))
    if part.identity is None:
        return part
    return ImageSet(part.images, part.keys, _reindexed(part.identity), part.attributes, part.landmarks)


def _reindexed(identity: Labels) -> Labels:
    """The same people numbered by the sorted names of those who occur."""
    names = [identity.classes[value] for value in identity.values.tolist()]
    classes = tuple(sorted(set(names)))
    index = {name: row for row, name in enumerate(classes)}
    return Labels(torch.tensor([index[name] for name in names], dtype=torch.int64), classes)
