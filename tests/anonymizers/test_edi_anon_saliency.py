"""Explanations of EDI-Anon against finite differences, plain gradients and captum called directly."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Occlusion, Saliency
from torch import nn

from anonymizers.edi_anon.saliency import BLOCK, NOISE, SAMPLES, STEPS, WINDOWS, Explained, Explainer, Method, filled
from benchmark.errors import EntrantError
from benchmark.seeding import normal
from tests.anonymizers.edi_anon_oracle import COUNT, HEIGHT, NETWORK, PROBES, STRANGERS, WIDTH

METHODS: tuple[Method, ...] = get_args(Method)
KNOWN = [row for row in range(COUNT) if row not in STRANGERS]
IMAGES = PROBES.images.double() / 255
assert PROBES.identity is not None
LABELS = PROBES.identity.values
ORDER = NETWORK(IMAGES).argsort(dim=1, descending=True)
RUNNER_UP = ORDER[:, 1]


def explained(method: Method, rows: list[int] | None = None, seed: int = 3) -> Explained:
    rows = list(range(COUNT)) if rows is None else rows
    keys = [PROBES.keys[row] for row in rows]
    return Explainer(NETWORK, method)(IMAGES[rows], LABELS[rows], keys, seed)


def loss(images: torch.Tensor, towards: torch.Tensor) -> torch.Tensor:
    """Cross-entropy from its definition: ``log sum exp z - z_r``."""
    logits = NETWORK(images)
    return logits.exp().sum(1).log() - logits.gather(1, towards[:, None])[:, 0]


def plain_gradient(images: torch.Tensor, towards: torch.Tensor) -> torch.Tensor:
    given = images.clone().requires_grad_()
    return torch.autograd.grad(loss(given, towards).sum(), given)[0]


def test_gradient_is_that_of_finite_differences_towards_the_runner_up() -> None:
    """Acceptance check 6, every 37th value of every recognised image."""
    found, step = explained("signed").saliency[KNOWN].flatten(1), 1e-5
    for place in range(0, 3 * HEIGHT * WIDTH, 37):
        nudge = torch.zeros(3 * HEIGHT * WIDTH, dtype=torch.float64)
        nudge[place] = step
        nudge = nudge.reshape(3, HEIGHT, WIDTH)
        above, below = (loss(IMAGES[KNOWN] + sign * nudge, RUNNER_UP[KNOWN]) for sign in (1, -1))
        torch.testing.assert_close((above - below) / (2 * step), found[:, place], rtol=1e-6, atol=1e-8)


def test_the_runner_up_is_never_the_true_class_of_a_recognised_image() -> None:
    """Acceptance check 6."""
    found = explained("signed")
    assert found.named.nonzero().flatten().tolist() == KNOWN
    assert (RUNNER_UP[KNOWN] != LABELS[KNOWN]).all()
    towards_truth = plain_gradient(IMAGES, LABELS)
    assert not any(torch.allclose(found.saliency[row], towards_truth[row]) for row in KNOWN)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_names_the_same_images(method: Method) -> None:
    assert explained(method).named.nonzero().flatten().tolist() == KNOWN


def test_signed_and_abs_are_the_plain_gradient_and_its_size() -> None:
    signed, size = explained("signed").saliency[KNOWN], explained("abs").saliency[KNOWN]
    torch.testing.assert_close(signed, plain_gradient(IMAGES, RUNNER_UP)[KNOWN], rtol=1e-12, atol=1e-15)
    assert torch.equal(size, signed.abs())


@pytest.mark.parametrize("absolute", [False, True])
def test_gradients_agree_with_captum_called_directly(absolute: bool) -> None:
    direct = Saliency(lambda images: loss(images, RUNNER_UP)).attribute(IMAGES.clone().requires_grad_(), abs=absolute)
    ours = explained("abs" if absolute else "signed").saliency
    torch.testing.assert_close(ours[KNOWN], direct[KNOWN], rtol=1e-12, atol=1e-15)


def test_integrated_gradients_agree_with_captum_and_add_up() -> None:
    ours = explained("integrated-gradients").saliency
    direct = IntegratedGradients(loss).attribute(
        IMAGES.clone().requires_grad_(), additional_forward_args=RUNNER_UP, n_steps=STEPS
    )
    torch.testing.assert_close(ours[KNOWN], direct[KNOWN], rtol=1e-10, atol=1e-14)
    # Completeness: the attributions of an image add up to its loss minus that of black, nearly so in 16 steps.
    missing = loss(IMAGES, RUNNER_UP) - loss(torch.zeros_like(IMAGES), RUNNER_UP)
    torch.testing.assert_close(ours.sum((1, 2, 3))[KNOWN], missing[KNOWN], rtol=0.05, atol=0.05)


def test_occlusion_agrees_with_captum_called_directly() -> None:
    window = (3, -(-HEIGHT // WINDOWS), -(-WIDTH // WINDOWS))
    direct = Occlusion(loss).attribute(
        IMAGES, sliding_window_shapes=window, strides=window, additional_forward_args=RUNNER_UP
    )
    torch.testing.assert_close(explained("occlusion").saliency[KNOWN], direct[KNOWN].double(), rtol=1e-6, atol=1e-7)


def test_occlusion_is_what_the_loss_rises_by_when_a_window_is_uncovered() -> None:
    height, width = -(-HEIGHT // WINDOWS), -(-WIDTH // WINDOWS)
    covered = IMAGES.clone()
    covered[:, :, 2 * height : 3 * height, width : 2 * width] = 0
    ours = explained("occlusion").saliency[:, :, 2 * height, width]
    expected = (loss(IMAGES, RUNNER_UP) - loss(covered, RUNNER_UP))[:, None].expand(-1, 3)
    torch.testing.assert_close(ours[KNOWN], expected[KNOWN], rtol=1e-5, atol=1e-6)  # captum keeps float32 here


def test_smoothgrad_is_the_mean_gradient_of_copies_with_our_noise() -> None:
    total = torch.zeros_like(IMAGES)
    for sample in range(SAMPLES):
        noise = normal(3, f"smoothgrad {sample}", PROBES.keys, (3, HEIGHT, WIDTH))
        total += plain_gradient(IMAGES + NOISE * noise, RUNNER_UP)
    torch.testing.assert_close(
        explained("smoothgrad").saliency[KNOWN], (total / SAMPLES)[KNOWN], rtol=1e-10, atol=1e-14
    )


def test_smoothgrad_is_that_of_captum_up_to_the_draws() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tunnel = NoiseTunnel(Saliency(loss)).attribute(
            IMAGES.clone().requires_grad_(), nt_type="smoothgrad", nt_samples=256, nt_samples_batch_size=16,
            stdevs=NOISE, abs=False, additional_forward_args=RUNNER_UP,
        )  # fmt: skip
    many = torch.stack([explained("smoothgrad", KNOWN, seed).saliency for seed in range(16)]).mean(0)
    for one, other in zip(many, tunnel[KNOWN], strict=True):
        alike = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
        assert alike > 0.95
        assert 0.9 < one.std() / other.std() < 1.1


@pytest.mark.parametrize("method", METHODS)
def test_an_explanation_does_not_depend_on_its_company(method: Method) -> None:
    together = explained(method)
    for rows in ([5], [9, 2], KNOWN[4:]):
        alone = explained(method, rows)
        assert torch.equal(alone.named, together.named[rows])
        torch.testing.assert_close(alone.saliency, together.saliency[rows], rtol=1e-9, atol=1e-12)


def test_the_seed_matters_to_smoothgrad_alone() -> None:
    for method in METHODS:
        same = torch.equal(explained(method, KNOWN, 1).saliency, explained(method, KNOWN, 2).saliency)
        assert same == (method != "smoothgrad")


@pytest.mark.parametrize("method", METHODS)
def test_strangers_alone_are_no_error(method: Method) -> None:
    found = explained(method, list(STRANGERS))
    assert not found.named.any()
    assert found.saliency.shape == (len(STRANGERS), 3, HEIGHT, WIDTH)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_and_parameters_stay_as_they_are(method: Method) -> None:
    before, state = IMAGES.clone(), {name: value.clone() for name, value in NETWORK.state_dict().items()}
    explained(method)
    assert torch.equal(IMAGES, before)
    assert not IMAGES.requires_grad
    assert all(torch.equal(value, state[name]) for name, value in NETWORK.state_dict().items())
    assert all(part.grad is None for part in NETWORK.parameters())


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK])
def test_batches_are_filled_with_their_last_row(count: int) -> None:
    rows = torch.arange(count)
    found = filled(rows)
    assert len(found) == -(-count // BLOCK) * BLOCK
    assert torch.equal(found[:count], rows)
    assert (found[count:] == count - 1).all()


@pytest.mark.parametrize("count", [BLOCK - 3, BLOCK])
def test_filling_keeps_the_layout(count: int) -> None:
    images = torch.rand(count, 3, 4, 5)
    assert filled(images).is_contiguous()
    assert filled(images.contiguous(memory_format=torch.channels_last)).is_contiguous(memory_format=torch.channels_last)


class Fixed(nn.Module):
    """The same logits for everybody, with a gradient of zero, or none at all."""

    def __init__(self, logits: list[float], gradient: bool = True) -> None:
        super().__init__()
        self.logits, self.gradient = torch.tensor(logits), gradient

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images."""
        nothing = 0 * images.sum((1, 2, 3)) if self.gradient else torch.zeros(len(images))
        return self.logits + nothing[:, None]


def fixed(method: Method, logits: list[float], gradient: bool = True) -> Explained:
    labels = torch.zeros(3, dtype=torch.int64)
    return Explainer(Fixed(logits, gradient), method)(torch.rand(3, 3, 8, 8), labels, ["a", "b", "c"], 0)


@pytest.mark.parametrize("method", METHODS)
def test_one_class_has_no_runner_up(method: Method) -> None:
    with pytest.raises(EntrantError, match=r"runner-up.*one person only; give it two$"):
        fixed(method, [1.0])


@pytest.mark.parametrize("method", [method for method in METHODS if method != "occlusion"])
def test_a_recogniser_without_gradients_is_named(method: Method) -> None:
    with pytest.raises(EntrantError, match=r"needs gradients.*give one in PyTorch$"):
        fixed(method, [2.0, 1.0], gradient=False)


def test_occlusion_needs_no_gradients() -> None:
    assert not fixed("occlusion", [2.0, 1.0], gradient=False).saliency.any()


@pytest.mark.parametrize("classes", [2, 5, 33, 300])
@pytest.mark.parametrize("method", METHODS)
def test_of_equal_logits_the_first_counts_as_in_any_measure_of_risk(method: Method, classes: int) -> None:
    assert torch.zeros(classes).argmax() == 0, "what everybody else says of the same image"
    assert fixed(method, [0.0] * classes).named.all()
