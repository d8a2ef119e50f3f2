"""The rounds of EDI-Anon against the published algorithm, and what holds from round to round."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from benchmark.protocols import Controller
from benchmark.trace import Trace
from tests.anonymizers.edi_anon_oracle import (
    CASES,
    COUNT,
    HEIGHT,
    PROBES,
    STRANGERS,
    WIDTH,
    Case,
    after_each_round,
    anonymized,
    count_of,
    name_of,
    recogniser,
)


@pytest.mark.parametrize("given", CASES, ids=name_of)
def test_bytes_rounds_and_curve_are_those_of_the_published_algorithm(given: Case) -> None:
    told = given.run(PROBES, seed=7)
    released, trace = anonymized(given.entrant, seed=7)
    assert trace.risk.tolist() == told.curve
    assert trace.rounds.tolist() == told.rounds.tolist()
    assert np.array_equal(released.images.numpy(), told.images)
    assert trace.changed.tolist() == told.changed.tolist()
    assert trace.recognised.tolist() == told.recognised.tolist()
    assert told.rounds.max() > 1, "the case says something"


def test_two_orders_of_images_give_the_same_bytes_by_key() -> None:
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    for given in (CASES[3], CASES[8]):
        straight, shuffled = anonymized(given.entrant)[0], anonymized(given.entrant, PROBES.select(order))[0]
        assert torch.equal(straight.images[order], shuffled.images)


@pytest.mark.parametrize("given", CASES[:8], ids=name_of)
def test_safe_images_stay_as_they_are_from_the_round_they_became_safe(given: Case) -> None:
    """Acceptance check 3."""
    states = [PROBES.images, *(images for images, _ in after_each_round(given))]
    assert PROBES.identity is not None
    safe = [recogniser().network(state.double() / 255).argmax(1) != PROBES.identity.values for state in states]
    for earlier, later, before in zip(states, states[1:], safe, strict=False):
        assert torch.equal(earlier[before], later[before])
    assert torch.equal(states[-1][list(STRANGERS)], PROBES.images[list(STRANGERS)])
    assert safe[-1].sum() > safe[0].sum() == len(STRANGERS)


@pytest.mark.parametrize("given", CASES, ids=name_of)
def test_risk_never_rises_and_ends_below_the_target_or_is_reported(given: Case) -> None:
    """Acceptance check 4."""
    released, trace = anonymized(given.entrant)
    assert (trace.risk.diff() <= 0).all()
    assert (trace.risk[:-1] >= given.entrant.target).all()
    still = int(trace.recognised.sum())
    if trace.risk[-1] < given.entrant.target:
        assert "not converged" not in released.notes
    else:
        assert str(released.notes["not converged"]).startswith(f"{still} of {COUNT} images are still recognised")
    assert float(trace.risk[-1]) == still / COUNT


@pytest.mark.parametrize("given", CASES[8:], ids=name_of)
def test_changed_values_add_up_round_by_round(given: Case) -> None:
    """Acceptance checks 2 and 5: per round at most the count, in total at most rounds times the count, and never fewer."""
    values = HEIGHT * WIDTH if given.entrant.perturb == "mask" else 3 * HEIGHT * WIDTH
    most = count_of(values, given.entrant.percentile) * (3 if given.entrant.perturb == "mask" else 1)
    before, ever, earlier = PROBES.images, torch.zeros(PROBES.images.shape, dtype=torch.bool), torch.zeros(COUNT)
    for images, trace in after_each_round(given):
        differ = (images != before).flatten(1).sum(1)
        assert differ.max() <= most
        ever |= images != before
        assert trace.changed.tolist() == ever.flatten(1).sum(1).tolist()
        assert (trace.changed >= earlier).all()
        assert (trace.changed <= trace.rounds * most).all()
        before, earlier = images, trace.changed


@pytest.mark.parametrize("given", [CASES[0], CASES[14]], ids=name_of)
def test_batches_of_one_make_the_same_masks(given: Case) -> None:
    """Acceptance check 7, in float64: same bytes and same stop for batches of one image without filling."""

    def run(batch: int) -> tuple[torch.Tensor, Trace]:
        rounds = given.entrant._rounds(PROBES, Controller(recogniser=recogniser()))
        rounds = dataclasses.replace(rounds, batch=batch)
        return rounds.images, rounds.run()

    (one, trace_one), (all_of_them, trace) = run(1), run(64)
    assert torch.equal(one, all_of_them)
    assert trace_one.risk.tolist() == trace.risk.tolist()
    assert trace_one.rounds.tolist() == trace.rounds.tolist()


def test_a_risk_that_equals_the_target_is_not_yet_below_it() -> None:
    given = CASES[3]
    curve = anonymized(given.entrant)[1].risk
    assert curve[0] > curve[1] > curve[2]
    trace = anonymized(dataclasses.replace(given.entrant, target=float(curve[1])))[1]
    assert trace.risk.tolist() == curve[:3].tolist()
