"""EDI-Anon on rendered portraits and their shipped recogniser, in float32 and through the street."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier, load_classifier
from benchmark.notes import load_trace
from benchmark.protocols import Controller, Referees, Report, quiet
from benchmark.records import SplitFacts, SuiteFacts
from benchmark.registry import build_entrant
from benchmark.release import Release, Settings, load_released, make_release
from benchmark.store import Store
from benchmark.trace import Trace
from metrics.attackers.recognition import Static
from suites.definition import read_definition, weights_folder
from suites.portraits import render_portraits

COUNT = 24


def shipped_recogniser(people: tuple[str, ...]) -> Classifier:
    suite = "portraits-smoke" if len(people) == COUNT else "portraits-v1"
    loaded = load_classifier("recogniser", weights_folder(suite) / "recogniser.safetensors")
    assert len(loaded.classes) == len(people)
    return dataclasses.replace(
        loaded, architecture=Architecture(loaded.architecture.name, people, loaded.architecture.params)
    )


def one_of_each(suite: str, count: int, photograph: int) -> ImageSet:
    """One photograph of each evaluated person of a portraits suite."""
    part, taken = read_definition(suite), range(photograph, photograph + 1)
    made = render_portraits(
        seed=part.seed, people="evaluated", identities=range(count), photographs=taken, size=part.image_size
    )
    names = tuple(f"person {number}" for number in range(count))
    return ImageSet(made.images, tuple(f"{name}/{photograph}" for name in names), Labels(made.identity, names))


@pytest.fixture(scope="module")
def probes() -> ImageSet:
    return one_of_each("portraits-smoke", COUNT, 24)


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def bytes_of(spec: str, probes: ImageSet, **controller: Any) -> tuple[torch.Tensor, Trace]:
    assert probes.identity is not None
    recogniser = shipped_recogniser(probes.identity.classes)
    released = build_entrant(spec).anonymizer.anonymize(probes, Controller(recogniser=recogniser, **controller))
    assert released.trace is not None
    return released.images, released.trace


@pytest.mark.parametrize(
    "spec",
    [
        "edi-anon(rounds=6)",
        "edi-anon(perturb=dp-pix, mode=reference, rounds=6)",
        "edi-anon(perturb=mask, q=99)",
        "edi-anon(perturb=pixelate, saliency=integrated-gradients, rounds=1)",
        "edi-anon(perturb=noise, sigma=60, saliency=smoothgrad, rounds=1)",
        "edi-anon(perturb=dp-blur, saliency=occlusion, rounds=1)",
    ],
)
def test_batch_size_decides_nothing(spec: str, probes: ImageSet) -> None:
    """Acceptance check 7: the same bytes, rounds and stop in batches of 1, 7 and 64, in float32."""
    images, trace = bytes_of(spec, probes, batch_size=64)
    for size in (1,) if "saliency" in spec else (1, 7):
        other, told = bytes_of(spec, probes, batch_size=size)
        assert torch.equal(other, images)
        assert told.risk.tolist() == trace.risk.tolist()
        assert told.rounds.tolist() == trace.rounds.tolist()
    assert trace.changed.min() > 0, "the recogniser knows these people"


def test_single_images_are_filled_up_to_a_batch() -> None:
    """At 96 px a batch of one image runs through other kernels, which decides near ties of two of these otherwise."""
    people = one_of_each("portraits-v1", 120, 20)
    one, many = (bytes_of("edi-anon(rounds=5)", people, batch_size=size)[0] for size in (1, 64))
    assert torch.equal(one, many)


def test_threads_decide_nothing(probes: ImageSet, two_threads: None) -> None:
    for spec, size in (("edi-anon(rounds=4)", 1), ("edi-anon(perturb=dp-blur, rounds=4)", 64)):
        torch.set_num_threads(2)
        two, _ = bytes_of(spec, probes, batch_size=size)
        torch.set_num_threads(1)
        one, _ = bytes_of(spec, probes, batch_size=size)
        assert torch.equal(one, two)


def test_company_decides_nothing(probes: ImageSet) -> None:
    """An image goes its own way as long as the set goes on."""
    spec = "edi-anon(perturb=pixelate, rounds=3, target=0.001)"
    images, _ = bytes_of(spec, probes)
    part = torch.tensor([20, 3, 11, 4, 5])
    assert torch.equal(bytes_of(spec, probes.select(part))[0], images[part])


def test_paint_on_what_explains_hides_people_at_little_cost(probes: ImageSet) -> None:
    """The point of the method; the same number of pixels, elsewhere, hides fewer."""
    images, trace = bytes_of("edi-anon(perturb=mask)", probes)
    assert probes.identity is not None
    assert (trace.risk[0], trace.risk[-1]) == (1.0, 0.0)
    assert (images != probes.images).double().mean() < 0.05
    moved = (images != probes.images).any(1, keepdim=True).roll((32, 32), (2, 3))
    elsewhere = probes.images.masked_fill(moved, 0)
    found = shipped_recogniser(probes.identity.classes).predictions(elsewhere) == probes.identity.values
    assert found.double().mean() > 0.25


# Through the street


class Suite:
    metrics = ("static",)
    entrants = ()

    def __init__(self, probes: ImageSet) -> None:
        self.probes = probes
        split = SplitFacts(name="probe", n_images=len(probes), n_identities=COUNT, manifest_sha256="")
        self.facts = SuiteFacts(
            name="some portraits", version="1", suite_hash="salt", title="s", image_size=64, splits=(split,)
        )

    def images(self, split: str, report: Report = quiet) -> ImageSet:
        return self.probes

    def referees(self, report: Report = quiet) -> Referees:
        assert self.probes.identity is not None
        return Referees(shipped_recogniser(self.probes.identity.classes))


STREET = ("edi-anon(rounds=3)", "edi-anon(perturb=dp-pix, rounds=3)")
Made = tuple[Suite, Store, Release, ImageSet]


@pytest.fixture(scope="module", params=[*STREET])
def made(request: pytest.FixtureRequest, probes: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Made:
    suite, store = Suite(probes), Store(tmp_path_factory.mktemp("store"))
    release = make_release(store, suite, build_entrant(request.param), 0, Settings())
    released = load_released(store, release, probes)
    assert released is not None
    return suite, store, release, released


def test_written_files_have_the_risk_that_was_told(made: Made) -> None:
    """Acceptance check 9: files are without loss, so the suite's own attacker finds just the share in the trace."""
    suite, store, release, released = made
    trace = load_trace(store, release, "salt")
    assert trace is not None
    scores = Static().score(suite.probes, released, suite.referees())
    assert scores.score.value == pytest.approx(float(trace.risk[-1]), abs=1 / COUNT)
    assert scores.score.anchors["originals"] == pytest.approx(float(trace.risk[0]), abs=1 / COUNT)
    assert scores.per_image["static"].bool().tolist() == trace.recognised.tolist(), "and the very images"


def test_written_files_belong_to_their_originals(made: Made) -> None:
    """Acceptance check 9: names map 1:1; every file is nearest to the image whose name it has."""
    suite, _, release, released = made
    assert release.keys == released.keys == suite.probes.keys
    for row, image in enumerate(released.images.double()):
        assert int((image - suite.probes.images).abs().mean((1, 2, 3)).argmin()) == row


def test_trace_is_in_the_order_of_the_release(made: Made) -> None:
    suite, store, release, released = made
    trace = load_trace(store, release, "salt")
    assert trace is not None
    differ = (released.images != suite.probes.images).flatten(1).sum(1)
    assert (differ <= trace.changed).all()
    assert ((differ > 0) == (trace.changed > 0)).all()
    for part in trace.sequences:
        assert torch.equal(part.images[0], suite.probes.images[part.row])
        assert torch.equal(part.images[-1], released.images[part.row])


def test_keys_of_the_street_draw_other_noise_and_blur_the_same(probes: ImageSet, made: Made) -> None:
    _, _, release, released = made
    blurred = "blur" in release.notes["perturbation"]
    direct, _ = bytes_of(STREET[not blurred], probes)
    assert torch.equal(direct, released.images) == blurred


def test_a_release_is_made_once(made: Made, tmp_path: Path) -> None:
    suite, store, release, _ = made
    text = STREET["blur" not in release.notes["perturbation"]]
    again = make_release(store, suite, build_entrant(text), 0, Settings(batch_size=3))
    assert again.reused
    elsewhere = make_release(Store(tmp_path), suite, build_entrant(text), 0, Settings(batch_size=3))
    assert elsewhere.sha256 == release.sha256
    assert elsewhere.objects == release.objects
