"""EDI-Anon as an entrant: on rendered portraits in float32, with bad input, by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from anonymizers.conventional.blur import Blur
from anonymizers.edi_anon import EdiAnon
from benchmark.errors import EntrantError, EnvironmentProblem, UsageError
from benchmark.images import ImageSet, Labels, Released, check_released
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.protocols import Controller
from benchmark.registry import build_entrant, source_hash
from benchmark.trace import Trace
from metrics.utility import f1_of
from tests.anonymizers.edi_anon_oracle import PROBES
from tests.anonymizers.edi_anon_oracle import recogniser as tiny

PEOPLE = ("ann", "bob", "cid")
PERTURBATIONS = {
    "blur": {},
    "pixelate": {},
    "dp-pix": {},
    "dp-blur": {},
    "noise": {"sigma": 50.0},
    "mask": {},
}
MODES = ("standard", "reference")
PRECISIONS: tuple[Any, Any] = ("float32", "bfloat16")


def entrant(perturb: str, **parameters: Any) -> EdiAnon:
    return EdiAnon(**{"perturb": perturb, "rounds": 20} | PERTURBATIONS[perturb] | parameters)


def run(anonymizer: EdiAnon, images: ImageSet, recogniser: Classifier | None, **more: Any) -> tuple[Released, Trace]:
    released = check_released(anonymizer.anonymize(images, Controller(recogniser=recogniser, **more)), images)
    assert released.trace is not None
    return released, released.trace


# Bad input


class Constant(nn.Module):
    """Names the first person, whatever the image; ``way`` says how its gradient looks."""

    def __init__(self, way: str, classes: int) -> None:
        super().__init__()
        self.way, self.classes = way, classes

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images."""
        total = images.sum((1, 2, 3))
        if self.way == "none":
            total = total.detach()
        first = {"none": total * 0 + 1, "zero": total * 0 + 1, "even": total + 1, "nan": 1 + (0 * total).sqrt()}[
            self.way
        ]
        return torch.stack([first, *(torch.zeros_like(first) for _ in range(self.classes - 1))], 1)


class Unhelpful(nn.Module):
    """Computes without gradients."""

    @torch.no_grad()
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images."""
        return images.mean((2, 3))


class Detached(nn.Module):
    """Its own parameters have gradients, the image has none."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images."""
        logits: torch.Tensor = self.head(images.detach().mean((2, 3)))
        return logits


def classifier(network: nn.Module, people: tuple[str, ...] = PEOPLE) -> Classifier:
    return Classifier("planted", Architecture("planted", people), network.eval(), sha256="")


def constant(way: str, people: tuple[str, ...] = PEOPLE) -> Classifier:
    return classifier(Constant(way, len(people)), people)


def people_set(count: int = 5, height: int = 12, width: int = 10, people: tuple[str, ...] = PEOPLE) -> ImageSet:
    """Noise; everybody is the first person."""
    images = torch.randint(1, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(1))
    who = Labels(torch.zeros(count, dtype=torch.int64), people)
    return ImageSet(images.to(torch.uint8), tuple(f"image {row}" for row in range(count)), who)


def test_without_a_recogniser_or_people_there_is_nothing_to_do() -> None:
    images = people_set()
    for given, recogniser in ((images, None), (images.without(identity=True), constant("zero"))):
        with pytest.raises(
            EntrantError, match=r"^EDI-Anon needs to know who is on the images and a recogniser.*handed out$"
        ):
            EdiAnon().anonymize(given, Controller(recogniser=recogniser))


@pytest.mark.parametrize("network", [Constant("none", 3), Unhelpful(), Detached()])
def test_a_recogniser_without_gradients_is_named(network: nn.Module) -> None:
    with pytest.raises(EntrantError, match=r"^EDI-Anon needs gradients.*give one in PyTorch$"):
        EdiAnon().anonymize(people_set(), Controller(recogniser=classifier(network)))


def test_a_recogniser_of_one_person_is_named() -> None:
    with pytest.raises(EntrantError, match=r"^EDI-Anon needs a runner-up.*one person only; give it two$"):
        EdiAnon().anonymize(people_set(people=("ann",)), Controller(recogniser=constant("zero", ("ann",))))


def test_a_recogniser_of_other_people_is_named() -> None:
    with pytest.raises(EnvironmentProblem, match="planted was trained for 3 classes that are not the 2"):
        EdiAnon().anonymize(people_set(people=("ann", "dan")), Controller(recogniser=constant("zero")))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("perturb", PERTURBATIONS)
def test_an_empty_set_is_released_empty(perturb: str, mode: str) -> None:
    released, trace = run(entrant(perturb, mode=mode), people_set(0), constant("even"))
    assert len(released.images) == 0
    assert trace.risk.tolist() == [0.0]


@pytest.mark.parametrize("perturb", PERTURBATIONS)
def test_images_that_nobody_recognises_stay_as_they_are(perturb: str) -> None:
    images = people_set()
    assert images.identity is not None
    strangers = dataclasses.replace(images, identity=Labels(images.identity.values + 1, PEOPLE))
    released, trace = run(entrant(perturb), strangers, constant("even"))
    assert torch.equal(released.images, images.images)
    assert (trace.risk.tolist(), trace.rounds.tolist(), trace.changed.tolist()) == ([0.0], [0] * 5, [0] * 5)
    assert not trace.sequences
    assert "not converged" not in released.notes


@pytest.mark.parametrize("way", ["zero", "even", "nan"])
@pytest.mark.parametrize("perturb", PERTURBATIONS)
def test_a_recogniser_that_explains_nothing_ends_the_run_at_once(perturb: str, way: str) -> None:
    images = people_set()
    released, trace = run(entrant(perturb), images, constant(way))
    assert torch.equal(released.images, images.images)
    assert trace.risk.tolist() == [1.0]
    assert trace.recognised.all()
    assert released.notes["not converged"] == "5 of 5 images are still recognised; no further round changes them"
    assert (
        released.notes["named by its own recogniser"] == "100.00% before, 100.00% after, NOT below the target of 1.00%"
    )


@pytest.mark.parametrize("way", ["zero", "even"])
def test_as_published_a_constant_gradient_selects_everything(way: str) -> None:
    images = people_set()
    released, trace = run(entrant("mask", mode="reference"), images, constant(way))
    assert not released.images.any()
    assert trace.rounds.tolist() == [1] * 5
    assert trace.changed.tolist() == [360] * 5
    blurred, trace = run(entrant("blur", mode="reference", kernel=5, rounds=1), images, constant(way))
    assert torch.equal(blurred.images, Blur(5).anonymize(images, Controller()).images)
    assert blurred.notes["not converged"] == "5 of 5 images are still recognised; the rounds are used up"


@pytest.mark.parametrize("perturb", PERTURBATIONS)
def test_as_published_a_gradient_that_is_no_number_selects_nothing(perturb: str) -> None:
    images = people_set()
    released, trace = run(entrant(perturb, mode="reference"), images, constant("nan"))
    assert torch.equal(released.images, images.images)
    assert trace.risk.tolist() == [1.0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("saliency", ["signed", "occlusion"])
@pytest.mark.parametrize("perturb", PERTURBATIONS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (7, 3)])
def test_any_size_can_be_anonymized(height: int, width: int, perturb: str, saliency: Any, mode: Any) -> None:
    images, network = people_set(6, height, width), small_resnet()
    named = Labels(network(images.images / 255).argmax(1), PEOPLE)
    images = dataclasses.replace(images, identity=named)
    released, trace = run(entrant(perturb, saliency=saliency, mode=mode, rounds=3), images, classifier(network))
    still = network(released.images / 255).argmax(1) == named.values
    assert trace.recognised.tolist() == still.tolist()
    assert (trace.risk.diff() <= 0).all()


def small_resnet() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Architecture("small-resnet", PEOPLE, {"width": 4}).build().eval()


# Parameters


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("q=0", "q: Input should be greater than 0"),
        ("q=-1", "q: Input should be greater than 0"),
        ("q=100", "q: Input should be less than 100"),
        ("q=101", "q: Input should be less than 100"),
        ("q=nan", "q: Input should be less than 100"),
        ("q=many", "q: Input should be a valid number"),
        ("target=0", "target: Input should be greater than 0"),
        ("target=1.5", "target: Input should be less than or equal to 1"),
        ("rounds=0", "rounds: Input should be greater than or equal to 1"),
        ("perturb=noise", "give one, as in perturb=noise, sigma=50"),
        ("perturb=noise, sigma=-1", "sigma: Input should be greater than or equal to 0"),
        ("perturb=mask, size=3", "perturb=mask has no parameter 'size'; it has colour"),
        ("perturb=mask, colour=green", "colour: Input should be 'black' or 'red'"),
        ("perturb=mask, pool=none", "pool=max, pool=sum or pool=red"),
        ("perturb=dp-blur, kernel=10", "a Gaussian kernel has an odd side: 9 or 11, not 10"),
        ("kernel=0", "kernel: Input should be greater than or equal to 1"),
        ("eps=1", "perturb=blur has no parameter 'eps'; it has kernel"),
        ("perturb=dp-pix, eps=0", "eps: Input should be greater than 0"),
        ("perturb=pixelate, variant=round", "variant: Input should be 'mean' or 'edi'"),
        ("perturb=blurr", "perturb: Input should be 'blur'"),
        ("saliency=lime", "saliency: Input should be 'signed'"),
        ("percentile=90", "has no parameter 'percentile'"),
        ("kernell=4", "Did you mean 'kernel'?"),
    ],
)
def test_wrong_parameters_are_one_line(inside: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_entrant(f"edi-anon({inside})")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("Try: anonbench show edi-anon")


@pytest.mark.parametrize(
    "spec",
    [
        "edi-anon",
        "edi-anon(perturb=mask, q=99.9, colour=red, pool=red, mode=reference)",
        "edi-anon(perturb=dp-blur, b=16, m=4, eps=0.25, kernel=9, target=0.05)",
        "edi-anon(perturb=pixelate, size=12, variant=mean, saliency=integrated-gradients)",
        "edi-anon(perturb=noise, sigma=30, rounds=7, layout=contiguous, precision=bfloat16)",
    ],
)
def test_specs_come_back_as_they_were(spec: str) -> None:
    built = build_entrant(spec)
    assert str(built.spec) == spec
    assert build_entrant(str(built.spec)).facts == built.facts
    assert built.facts.uses == ("identity", "recogniser")
    assert not built.shardable


def test_defaults_depend_on_the_perturbation() -> None:
    assert [entrant(name).percentile for name in PERTURBATIONS] == [90, 90, 90, 90, 90, 99]
    assert entrant("mask", q=80).percentile == 80
    assert [entrant(name).pooling for name in PERTURBATIONS] == ["none"] * 5 + ["max"]
    assert entrant("mask", mode="reference").pooling == "red"
    assert entrant("mask", pool="sum", mode="reference").pooling == "sum"


def test_found_is_the_source_of_the_filters() -> None:
    assert EdiAnon().found() == {"conventional": source_hash(Blur)}
    assert EdiAnon().found() != {"conventional": source_hash(EdiAnon)}


def test_notes_say_what_was_applied() -> None:
    notes = run(EdiAnon(perturb="dp-pix", target=0.5, rounds=9), PROBES, tiny())[0].notes
    assert notes["perturbation"] == "dp-pix(b=3, m=1, eps=0.3922)", "scaled to the shorter side of 21 px"
    assert str(notes["rounds"]).endswith("of at most 9")
    assert notes["selection"] == "percentile 90 of the signed saliency, channels pooled: none"
    assert "below the target of 50.00%" in str(notes["named by its own recogniser"])


def test_strengths_go_with_the_shorter_side() -> None:
    """Of 21 x 26 px: the kernel of 40 px at 224 px is one of 4 px here, not of 5."""
    preset, four, five = (run(EdiAnon(rounds=3, kernel=kernel), PROBES, tiny())[0].images for kernel in (None, 4, 5))
    assert torch.equal(preset, four)
    assert not torch.equal(preset, five)


# What must not matter


def test_given_images_and_recogniser_stay_as_they_are() -> None:
    """Acceptance check 7: parameters unchanged, without gradients."""
    recogniser, before = tiny(), PROBES.images.clone()
    recogniser = recogniser.copy()
    recogniser.network.requires_grad_(True).train()
    state = {name: value.clone() for name, value in recogniser.network.state_dict().items()}
    released, _ = run(EdiAnon(kernel=5, rounds=3), PROBES, recogniser)
    assert all(torch.equal(value, state[name]) for name, value in recogniser.network.state_dict().items())
    assert all(part.grad is None and part.requires_grad for part in recogniser.network.parameters())
    assert recogniser.network.training
    released.images.fill_(7)
    assert torch.equal(PROBES.images, before)


def test_a_recogniser_that_still_trains_is_asked_as_if_it_did_not() -> None:
    images = people_set(6, 24, 24)
    images = dataclasses.replace(images, identity=Labels(small_resnet()(images.images / 255).argmax(1), PEOPLE))
    still = classifier(small_resnet())
    still.network.train()
    one, other = (run(entrant("blur", rounds=3), images, given) for given in (classifier(small_resnet()), still))
    assert one[1].risk[0] == other[1].risk[0] == 1
    assert torch.equal(one[0].images, other[0].images)


def test_planes_need_not_be_contiguous() -> None:
    strided = PROBES.with_images(PROBES.images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))
    for name in PERTURBATIONS:
        one, other = (run(entrant(name, rounds=3), images, tiny())[0].images for images in (PROBES, strided))
        assert torch.equal(one, other)


@pytest.mark.parametrize("saliency", ["signed", "integrated-gradients", "smoothgrad"])
def test_layout_does_not_matter_but_for_the_last_digits(saliency: Any) -> None:
    layouts: tuple[Any, Any] = ("channels-last", "contiguous")
    one, other = (
        run(EdiAnon(kernel=5, rounds=4, saliency=saliency, layout=layout), PROBES, tiny())[0].images
        for layout in layouts
    )
    assert torch.equal(one, other)


def test_bfloat16_recognises_nearly_the_same() -> None:
    one, other = (run(EdiAnon(kernel=5, rounds=2, precision=word), PROBES, tiny_float32())[1] for word in PRECISIONS)
    assert float(one.risk[0]) == pytest.approx(float(other.risk[0]), abs=0.15)
    assert len(one.risk) == len(other.risk) == 3


def tiny_float32() -> Classifier:
    single = tiny().copy()
    single.network.float()
    return single


# Utility


def test_macro_f1_is_that_of_scikit_learn() -> None:
    """Acceptance check 10."""
    generator = torch.Generator().manual_seed(0)
    for classes in (2, 4):
        truth, predicted = (torch.randint(classes, (500,), generator=generator) for _ in range(2))
        expected = f1_score(truth, predicted, average="macro", zero_division=0)
        assert f1_of(truth, predicted, classes) == pytest.approx(expected, abs=1e-12)


def test_always_answering_the_majority_is_worth_044() -> None:
    """Acceptance check 10: old and young in the proportions 79 to 21."""
    truth = torch.tensor([0] * 79 + [1] * 21)
    assert f1_of(truth, torch.zeros_like(truth), 2) == pytest.approx(0.44, abs=0.002)
