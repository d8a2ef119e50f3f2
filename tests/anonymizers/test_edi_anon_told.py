"""What EDI-Anon tells about its run: pictures, progress, and what its seed changes."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from anonymizers.edi_anon.rounds import round_seed
from benchmark.protocols import Controller
from tests.anonymizers.edi_anon_oracle import (
    CASES,
    COUNT,
    PROBES,
    STRANGERS,
    Case,
    after_each_round,
    anonymized,
    name_of,
    recogniser,
)


@pytest.mark.parametrize("given", [CASES[0], CASES[3], CASES[9], CASES[14]], ids=name_of)
def test_sequences_begin_with_the_original_and_end_with_what_is_released(given: Case) -> None:
    released, trace = anonymized(given.entrant)
    recognised_first = [row for row in range(COUNT) if row not in STRANGERS][:3]
    assert [part.row for part in trace.sequences] == recognised_first
    for part in trace.sequences:
        rounds = int(trace.rounds[part.row])
        assert part.after[0] == 0
        assert part.after[-1] == rounds
        assert torch.equal(part.images[0], PROBES.images[part.row])
        assert torch.equal(part.images[-1], released.images[part.row])
        assert len(part.after) <= 5
        assert all(number & (number - 1) == 0 for number in part.after[:-1].tolist())
        assert part.saliency[0].amax() == 1, "the brightest pixel"
        if not trace.recognised[part.row]:
            assert not part.saliency[-1].any(), "nobody asked"


def test_pictures_in_between_are_the_states_after_so_many_rounds() -> None:
    given = CASES[1]
    states = [PROBES.images, *(images for images, _ in after_each_round(given))]
    for part in anonymized(given.entrant)[1].sequences:
        for number, picture in zip(part.after.tolist(), part.images, strict=True):
            assert torch.equal(picture, states[number][part.row])


@pytest.mark.parametrize("given", [CASES[0], CASES[3], CASES[10]], ids=name_of)
@pytest.mark.parametrize("target", [0.2, 1e-9, 1.0])
def test_progress_adds_up_to_the_number_of_images(given: Case, target: float) -> None:
    told: list[int] = []
    anonymized(dataclasses.replace(given.entrant, target=target), progress=told.append)
    assert sum(told) == COUNT
    assert min(told) >= 0


def test_images_are_looked_at_only_while_they_are_recognised() -> None:
    given = CASES[0]
    rounds = given.entrant._rounds(PROBES, Controller(recogniser=recogniser()))
    trace = rounds.run()
    assert rounds.looked_at == COUNT + int(trace.rounds.sum())


@pytest.mark.parametrize("given", CASES[8:], ids=name_of)
def test_the_seed_changes_random_perturbations_alone(given: Case) -> None:
    one, other = (anonymized(given.entrant, seed=seed)[0].images for seed in (0, 1))
    assert torch.equal(one, other) == given.deterministic
    assert torch.equal(one, anonymized(given.entrant, seed=0)[0].images)


def test_rounds_draw_anew() -> None:
    seeds = {round_seed(seed, number) for seed in range(20) for number in range(20)}
    assert len(seeds) == 400
