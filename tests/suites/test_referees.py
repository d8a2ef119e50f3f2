"""Referees of folders: trained once, kept by what they were trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmark.errors import EnvironmentProblem
from benchmark.images import ImageSet, Labels
from benchmark.learning.networks import SmallResNet
from benchmark.store import Store
from suites.definition import RefereePlan
from suites.referees import ATTACKERS, OF_BACKGROUND, RECOGNISER, last_layer, start_from, trained_and_kept

QUICK = RefereePlan(params={"width": 4}, recipe={"epochs": 30, "batch": 16, "rate": 1e-2, "gain": 0.0})


def plans(plan: RefereePlan = QUICK) -> dict[str, RefereePlan]:
    return dict.fromkeys((RECOGNISER, *ATTACKERS, "attribute"), plan)


def coloured(people: int, photographs: int, seed: int) -> ImageSet:
    """People who are told apart by their colour."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.randint(40, 216, (people, 3, 1, 1), generator=torch.Generator().manual_seed(5))
    noise = torch.randint(-20, 21, (people * photographs, 3, 24, 24), generator=generator)
    images = (colours.repeat_interleave(photographs, 0) + noise).clamp(0, 255).to(torch.uint8)
    names = tuple(f"p{index}" for index in range(people))
    identity = torch.arange(people).repeat_interleave(photographs)
    keys = tuple(f"{seed}/{index}" for index in range(len(images)))
    parity = Labels(identity % 2, ("even", "odd"))
    return ImageSet(images, keys, Labels(identity, names), {"parity": parity})


def test_referees_learn_and_are_trained_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    enrol, probe = coloured(4, 8, 0), coloured(4, 4, 1)
    first = trained_and_kept(store, plans(), enrol, enrol, "cpu")
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(files) == 2 + len(ATTACKERS)
    assert {name: model.classes for name, model in first.attackers.items()} == dict.fromkeys(
        ATTACKERS, enrol.identity.classes if enrol.identity else ()
    )
    again = trained_and_kept(store, plans(), enrol, enrol, "cpu")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == files
    assert first.recogniser is not None
    assert again.recogniser is not None
    assert first.recogniser.sha256 == again.recogniser.sha256
    assert probe.identity is not None
    assert (first.recogniser.predictions(probe.images) == probe.identity.values).all()
    assert (first.attributes["parity"].predictions(probe.images) == probe.attributes["parity"].values).all()


def test_other_photographs_give_other_referees(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shas = set()
    for seed in (0, 1):
        referees = trained_and_kept(store, plans(), coloured(3, 4, seed), coloured(3, 0, seed), "cpu")
        assert referees.recogniser is not None
        assert not referees.attributes
        assert OF_BACKGROUND not in referees.attackers, "there are no background people to learn"
        assert set(referees.attackers) == set(ATTACKERS) - {OF_BACKGROUND}
        shas.add(referees.recogniser.sha256)
    assert len(shas) == 2


def test_a_recipe_that_stops_early_holds_images_out(tmp_path: Path) -> None:
    plan = QUICK.model_copy(update={"recipe": {"epochs": 500, "batch": 8, "rate": 1e-2, "patience": 2, "gain": 0.0}})
    seen = []

    def report(title: str, total: int):  # type: ignore[no-untyped-def]
        from contextlib import nullcontext

        return nullcontext(seen.append)

    enrol = coloured(4, 10, 0)
    trained_and_kept(Store(tmp_path), plans(plan), enrol, coloured(4, 0, 0), "cpu", report)
    assert sum(seen) % 36 == 0, "a tenth of 40 images is watched, not learnt from"
    assert sum(seen) < 3 * 500 * 36, "the recipe did not stop early"


def test_starting_weights_fill_all_but_the_last_layer(tmp_path: Path) -> None:
    torch.save(SmallResNet(7, 4).state_dict(), tmp_path / "given.pth")
    network = SmallResNet(3, 4)
    head = network.head.weight.clone()
    start_from(network, tmp_path / "given.pth")
    given = torch.load(tmp_path / "given.pth", weights_only=True)
    assert torch.equal(network.stem[0].weight, given["stem.0.weight"])
    assert torch.equal(network.head.weight, head)
    assert last_layer(network) == "head"


def test_starting_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    torch.save(SmallResNet(7, 8).state_dict(), tmp_path / "given.pth")
    with pytest.raises(EnvironmentProblem, match="another architecture"):
        start_from(SmallResNet(3, 4), tmp_path / "given.pth")
