"""Traces in files and at the door: what is sound comes back from its file, what is not is refused with one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from benchmark.images import ImageSet
from benchmark.trace import MOST_PICTURES, MOST_ROUNDS, MOST_SEQUENCES, Sequence, Trace, from_arrays
from tests.benchmark.test_trace import (
    COUNT,
    HEIGHT,
    PROBES,
    SALIENCY,
    WIDTH,
    Stepwise,
    entrant,
    pipeline_at,
    plain,
    planted,
)

NAN = float("nan")
RELEASED = 255 - PROBES.images
"""What ``Stepwise`` releases."""


@st.composite
def traces(draw: st.DrawFn) -> tuple[Trace, int, tuple[int, int]]:
    """Any sound trace, with the number and size of its images."""
    count, rounds, size = (
        draw(st.integers(1, 9)),
        draw(st.integers(0, 6)),
        draw(st.tuples(st.integers(1, 5), st.integers(1, 5))),
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    recognised = torch.rand(count, generator=generator) < 0.5
    trace = Trace(
        risk=torch.cat([torch.rand(rounds, generator=generator).double(), recognised.double().mean()[None]]),
        target=draw(st.floats(0, 1)),
        rounds=torch.randint(0, rounds + 1, (count,), generator=generator),
        changed=torch.randint(0, 3 * size[0] * size[1] + 1, (count,), generator=generator),
        recognised=recognised,
        sequences=tuple(_any_sequence(generator, count, size) for _ in range(draw(st.integers(0, MOST_SEQUENCES)))),
    )
    return trace, count, size


def _any_sequence(generator: torch.Generator, count: int, size: tuple[int, int]) -> Sequence:
    row, pictures = (int(torch.randint(1, 5, (), generator=generator)) for _ in range(2))
    images = torch.randint(0, 256, (pictures, 3, *size), generator=generator).to(torch.uint8)
    return Sequence(row % count, 2 * torch.arange(pictures), images, torch.rand(pictures, *size, generator=generator))


@settings(max_examples=60, deadline=None)
@given(traces())
def test_a_trace_survives_its_file(drawn: tuple[Trace, int, tuple[int, int]]) -> None:
    trace, count, size = drawn
    assert trace.problem(count, size) == ""
    again = from_arrays(load(save(trace.arrays() | {"group": torch.arange(count)})))
    assert plain(again) == plain(trace)


def test_arrays_without_a_trace() -> None:
    assert from_arrays({"group": torch.arange(3), "traces": torch.arange(2)}) is None


def ended_with(share: float) -> dict[str, torch.Tensor]:
    """Of the 24 images eight are still recognised."""
    return {"risk": torch.tensor([1, 0.5, 0.5, 0.5, share], dtype=torch.float64)}


def through(rounds: int) -> dict[str, torch.Tensor]:
    return {"risk": torch.full((rounds + 1,), 1 / 3, dtype=torch.float64)}


def of_sequences(count: int) -> dict[str, Any]:
    return {"sequences": planted(PROBES).sequences[:1] * count}


def of_pictures(count: int) -> dict[str, Any]:
    images, saliency = PROBES.images[:1].expand(count, -1, -1, -1), SALIENCY.expand(count, -1, -1)
    return sequence(after=torch.arange(count), images=images, saliency=saliency)


def sequence(**changes: Any) -> dict[str, Any]:
    return {"sequences": (dataclasses.replace(planted(PROBES).sequences[0], **changes),)}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"risk": torch.tensor([])}, "risk must be shares"),
    ({"risk": torch.tensor([[0.5] * 5])}, "risk must be shares"),
    ({"risk": torch.tensor([0.5, 0, 0, 0, 1.01])}, "risk must be shares"),
    ({"risk": torch.tensor([0.5, 0, 0, 0, NAN])}, "risk must be shares"),
    ({"target": NAN}, "target must be a share from 0 to 1, not nan"),
    ({"target": 5}, "target must be a share from 0 to 1, not 5"),
    ({"target": "low"}, "target must be a share from 0 to 1, not low"),
    ({"rounds": torch.zeros(COUNT)}, r"rounds must be torch.int64 [24], not torch.float32 [24]"),
    ({"rounds": torch.zeros(3, dtype=torch.int64)}, r"rounds must be torch.int64 [24], not torch.int64 [3]"),
    ({"rounds": torch.arange(COUNT)}, "rounds must lie from 0 to 4, not from 0 to 23"),
    ({"changed": torch.zeros(COUNT, dtype=torch.bool)}, "changed must be torch.int64 [24], not torch.bool"),
    ({"changed": torch.full((COUNT,), -1)}, "changed must lie from 0 to 3840, not from -1 to -1"),
    ({"changed": torch.full((COUNT,), 3 * HEIGHT * WIDTH + 1)}, "changed must lie from 0 to 3840"),
    ({"recognised": torch.zeros(COUNT, dtype=torch.int64)}, "recognised must be torch.bool [24]"),
    (ended_with(7 / 24), "risk must end with the share of images that are still recognised"),
    (ended_with(9 / 24), "risk must end with the share of images that are still recognised"),
    (ended_with(0), "risk must end with the share of images that are still recognised"),
    ({"recognised": torch.ones(COUNT, dtype=torch.bool)}, "risk must end with the share"),
    (through(MOST_ROUNDS + 1), "at most 10000 rounds and 16 sequences are kept"),
    (of_sequences(MOST_SEQUENCES + 1), "at most 10000 rounds and 16 sequences are kept"),
    (of_pictures(MOST_PICTURES + 1), "at most 32 pictures of a sequence are kept"),
    (sequence(row=COUNT), "a sequence is of row 24, and there are 24 images"),
    (sequence(row=-1), "a sequence is of row -1"),
    (sequence(after=torch.tensor([0.0, 1.5, 2])), "after of a sequence must be torch.int64 [3], not torch.float32 [3]"),
    (sequence(after=torch.tensor([0, 1])), "after of a sequence must be torch.int64 [3], not torch.int64 [2]"),
    (sequence(after=torch.tensor([1, 2, 3])), "start with 0 (the original) and rise, not be [1, 2, 3]"),
    (sequence(after=torch.tensor([0, 2, 2])), "start with 0 (the original) and rise, not be [0, 2, 2]"),
    (sequence(images=PROBES.images[:3].float()), "images of a sequence must be torch.uint8 [3, 3, 32, 40]"),
    (sequence(images=PROBES.images[:3, :, :9]), "images of a sequence must be torch.uint8 [3, 3, 32, 40]"),
    (sequence(saliency=SALIENCY), "saliency of a sequence must be [3, 32, 40], not [32, 40]"),
    (sequence(saliency=SALIENCY.expand(3, -1, -1) * 2), "saliency of a sequence must lie from 0 to 1"),
    (sequence(saliency=SALIENCY.expand(3, -1, -1) * NAN), "saliency of a sequence must lie from 0 to 1"),
    (
        sequence(images=PROBES.images[:0], after=torch.tensor([], dtype=torch.int64), saliency=SALIENCY[None][:0]),
        "start with 0 (the original) and rise, not be []",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_a_problem_names_the_field(changes: dict[str, Any], words: str) -> None:
    assert words in dataclasses.replace(planted(PROBES), **changes).problem(COUNT, PROBES.size)


@pytest.mark.parametrize(
    "changes",
    [
        {"risk": planted(PROBES).risk.float()},
        ended_with(0.3333),
        through(MOST_ROUNDS),
        of_sequences(MOST_SEQUENCES),
        of_pictures(MOST_PICTURES),
    ],
    ids=["float32", "rounded", "rounds", "sequences", "pictures"],
)
def test_what_is_just_allowed(changes: dict[str, Any]) -> None:
    assert dataclasses.replace(planted(PROBES), **changes).problem(COUNT, PROBES.size) == ""


def test_a_set_without_images_has_no_share() -> None:
    none = torch.tensor([], dtype=torch.int64)
    assert Trace(torch.zeros(1), 0.5, none, none, none.bool()).problem(0, PROBES.size) == ""


Lie = Callable[[Sequence], Sequence]


def off_by_one(picture: int) -> Lie:
    def told(part: Sequence) -> Sequence:
        images = part.images.clone()
        images[picture, 2, 5, 7] ^= 1
        return dataclasses.replace(part, images=images)

    return told


BEGIN = "a sequence must begin with the original"
END = "a sequence must end with the released image, after all of its rounds"
LIES: dict[str, tuple[Lie, str]] = {
    "original": (off_by_one(0), BEGIN),
    "row": (lambda part: dataclasses.replace(part, row=(part.row + 1) % COUNT), BEGIN),
    "released": (off_by_one(-1), END),
    "fewer rounds": (lambda part: dataclasses.replace(part, after=torch.tensor([0, 2, 3])), END),
    "more rounds": (lambda part: dataclasses.replace(part, after=torch.tensor([0, 2, 5])), END),
    "cut": (lambda part: Sequence(part.row, part.after[:2], part.images[:2], part.saliency[:2]), END),
    "reversed": (lambda part: dataclasses.replace(part, images=part.images.flip(0)), BEGIN),
}


def telling(lie: Lie) -> Callable[[ImageSet], Trace]:
    """A trace whose last sequence lies."""

    def told(images: ImageSet) -> Trace:
        trace = planted(images)
        return dataclasses.replace(trace, sequences=(*trace.sequences[:-1], lie(trace.sequences[-1])))

    return told


@pytest.mark.parametrize(("lie", "words"), LIES.values(), ids=LIES)
def test_a_sequence_that_shows_what_is_not_so(lie: Lie, words: str) -> None:
    trace = telling(lie)(PROBES)
    assert trace.problem(COUNT, PROBES.size) == "", "nothing is wrong with it by itself"
    assert trace.untruth(PROBES.images, RELEASED) == words


def test_what_happened_on_the_way_is_up_to_the_entrant() -> None:
    assert planted(PROBES).untruth(PROBES.images, RELEASED) == ""
    assert telling(off_by_one(1))(PROBES).untruth(PROBES.images, RELEASED) == ""
    assert dataclasses.replace(planted(PROBES), sequences=()).untruth(PROBES.images, PROBES.images) == ""


def test_an_image_that_went_through_no_round_is_released_as_it_is() -> None:
    alone = Sequence(5, torch.tensor([0]), PROBES.images[5:6], SALIENCY[None])
    trace = dataclasses.replace(planted(PROBES), sequences=(alone,))
    assert trace.rounds[5] == 0
    assert trace.problem(COUNT, PROBES.size) == trace.untruth(PROBES.images, PROBES.images) == ""
    assert trace.untruth(PROBES.images, RELEASED) == END


BROKEN = [
    (Stepwise(lambda images: dataclasses.replace(planted(images), target=NAN)), "trace: target must be a share"),
    (Stepwise(lambda images: dataclasses.replace(planted(images), rounds=[1])), "rounds must be a tensor"),
    *((Stepwise(telling(lie)), f"trace: {words}") for lie, words in LIES.values()),
    (Stepwise(shardable=True), "a trace is of a whole set, and this entrant declares that its set may be cut"),
    (Stepwise(trace_rounds=torch.arange(COUNT)), "note 'trace.rounds' has a name that is kept for traces"),
    (Stepwise(trace_="a text"), "note 'trace.' has a name that is kept for traces"),
]


@pytest.mark.parametrize(("anonymizer", "words"), BROKEN)
def test_a_bad_trace_fails_the_entrant_with_one_line(anonymizer: Stepwise, words: str, tmp_path: Path) -> None:
    record = pipeline_at(tmp_path).run(entrant(anonymizer), 0)
    assert record.status == "failed"
    assert record.trace is None
    (failure,) = record.coverage.failures
    assert words in failure.message
    assert "\n" not in failure.message
    assert (failure.stage, failure.kind) == ("anonymize", "entrant")
    assert not list((tmp_path / "store").rglob("*.safetensors"))


def test_what_is_not_published_is_not_shown() -> None:
    trace = planted(PROBES)
    missing = torch.zeros(COUNT, dtype=torch.bool)
    assert trace.untruth(PROBES.images, RELEASED, missing) == ""
    missing[trace.sequences[-1].row] = True
    assert "not released" in trace.untruth(PROBES.images, RELEASED, missing)
