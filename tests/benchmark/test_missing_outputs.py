"""Images an entrant could not release: black, counted, and remembered through the store, like its notes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Released, check_released
from benchmark.notes import load_note
from benchmark.protocols import Controller, Referees, Report, quiet
from benchmark.records import EntrantFacts, SplitFacts, SuiteFacts
from benchmark.registry import Entrant
from benchmark.release import Settings, find_release, load_released, make_release
from benchmark.specs import Spec
from benchmark.store import Store

COUNT = 600
"""More than two shards."""
PROBES = ImageSet(
    (torch.arange(COUNT * 3 * 16) % 251 + 1).reshape(COUNT, 3, 4, 4).to(torch.uint8),
    tuple(f"p/{row:03d}" for row in range(COUNT)),
)


class Suite:
    metrics = ()
    entrants = ()
    facts = SuiteFacts(
        name="s", version="1", suite_hash="salt", title="s", image_size=4,
        splits=(SplitFacts(name="probe", n_images=COUNT, n_identities=0, manifest_sha256=""),),
    )  # fmt: skip

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        return PROBES

    def referees(self, report: Report = quiet) -> Referees:
        return Referees()


class Forgetful:
    """Cannot release images whose first pixel is a multiple of seven; publishes that pixel as a note."""

    def __init__(self, shardable: bool) -> None:
        self.shardable = shardable

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        first = images.images[:, 0, 0, 0]
        return Released(255 - images.images, {"first": first}, first % 7 == 0)


def entrant(shardable: bool) -> Entrant:
    facts = EntrantFacts(name="f", family="f", params={"shardable": shardable}, entry_hash="0")
    return Entrant(Spec("f", {}), Forgetful(shardable), facts)


LOST = PROBES.images[:, 0, 0, 0] % 7 == 0


@pytest.mark.parametrize("shardable", [True, False])
def test_missing_images_are_black_and_known(shardable: bool, tmp_path: Path) -> None:
    store, who = Store(tmp_path), entrant(shardable)
    made = make_release(store, Suite(), who, 0, Settings())
    again = find_release(store, made.cell)
    assert again is not None
    for release in (made, again):
        released = load_released(store, release, PROBES)
        assert released is not None
        assert released.missing is not None
        assert torch.equal(released.missing, LOST)
        assert torch.equal(released.delivered, ~LOST)
        assert not released.images[LOST].any()
        assert torch.equal(released.images[~LOST], 255 - PROBES.images[~LOST])


@pytest.mark.parametrize("shardable", [True, False])
def test_notes_come_back_in_the_order_of_the_images(shardable: bool, tmp_path: Path) -> None:
    store = Store(tmp_path)
    release = make_release(store, Suite(), entrant(shardable), 0, Settings())
    note = load_note(store, release, "first", "salt")
    assert note is not None
    assert torch.equal(note, PROBES.images[:, 0, 0, 0])
    assert load_note(store, release, "second", "salt") is None
    assert load_note(store, release, "first", "another suite") is None


def test_the_mask_of_missing_images_is_checked() -> None:
    for mask in (torch.zeros(3, dtype=torch.bool), torch.zeros(COUNT)):
        with pytest.raises(EntrantError, match="missing must be bool"):
            check_released(Released(PROBES.images, missing=mask), PROBES)


def test_selection_keeps_what_is_missing() -> None:
    import dataclasses

    images = dataclasses.replace(PROBES, missing=LOST)
    rows = torch.tensor([5, 0, 7])
    for part, expected in (
        (images.select(rows), LOST[rows]),
        (images[2:9], LOST[2:9]),
        (images.without(identity=True), LOST),
    ):
        assert part.missing is not None
        assert torch.equal(part.missing, expected)
