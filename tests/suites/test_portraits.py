"""Portraits: the same bytes from every way of asking, true labels and landmarks, colour that tells little."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from suites.portraits import CLASSES, Portraits, render_portraits
from suites.portraits.fields import Traits
from suites.portraits.geometry import camera_frame, face_surface, landmarks
from suites.portraits.identity import SHAPE, balanced_labels, sample_people
from suites.portraits.photograph import Photographs, sample_photographs
from suites.portraits.randomness import bell_noise, uniforms
from suites.portraits.render import draw

PINNED = "cf612a71f493b05cf40347075f91e8e0858fe288c9136a78045dd0ab5909b05a"


def portraits(identities: range = range(4), photographs: range = range(3), **options: object) -> Portraits:
    settings_ = {"seed": 5, "people": "evaluated", "size": 32} | options
    return render_portraits(identities=identities, photographs=photographs, **settings_)  # type: ignore[arg-type]


def straight(count: int, size: int) -> tuple[Photographs, Tensor, Tensor]:
    """Portraits that look straight ahead, evenly lit, with all left-right differences removed."""
    people = sample_people(5, "evaluated", range(count))
    photographs = sample_photographs(people, [str(index) for index in range(count)])
    still = ("yaw", "pitch", "roll", "shift_across", "light_azimuth", "nose_lean", "mouth_lean", "glasses")
    values = {name: value * 0 if name in still else value for name, value in photographs.values.items()}
    shot = replace(photographs, values=values)
    return shot, *draw(shot, size)


def same(left: Portraits, right: Portraits) -> bool:
    pairs = [(left.images, right.images), (left.landmarks, right.landmarks), (left.identity, right.identity)]
    pairs += [(left.labels[name], right.labels[name]) for name in CLASSES]
    return all(torch.equal(first, second) for first, second in pairs)


def nearest_mean_accuracy(features: Tensor, identity: Tensor, enrolled: Tensor) -> float:
    count = int(identity.max()) + 1
    means = torch.stack([features[enrolled & (identity == index)].mean(0) for index in range(count)])
    guess = torch.cdist(features[~enrolled], means).argmin(1)
    return float((guess == identity[~enrolled]).double().mean())


def nearest_neighbour_accuracy(features: Tensor, identity: Tensor, enrolled: Tensor) -> float:
    guess = identity[enrolled][torch.cdist(features[~enrolled], features[enrolled]).argmin(1)]
    return float((guess == identity[~enrolled]).double().mean())


def colour_histogram(images: Tensor) -> Tensor:
    levels = images.long() >> 6
    cells = (levels[:, 0] * 16 + levels[:, 1] * 4 + levels[:, 2]).flatten(1)
    return torch.nn.functional.one_hot(cells, 64).double().mean(1)


def test_shapes_and_types() -> None:
    result = portraits()
    assert result.images.shape == (12, 3, 32, 32)
    assert result.images.dtype == torch.uint8
    assert result.landmarks.shape == (12, 5, 2)
    assert result.landmarks.dtype == torch.float32
    assert result.identity.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert set(result.labels) == set(CLASSES)
    for name, classes in CLASSES.items():
        assert result.labels[name].dtype == torch.int64
        assert 0 <= int(result.labels[name].min()) <= int(result.labels[name].max()) < len(classes)


def test_nothing_asked_nothing_drawn() -> None:
    result = portraits(range(0), range(3))
    assert result.images.shape == (0, 3, 32, 32)
    assert result.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("chunk", [1, 5, 7, 64])
def test_chunk_does_not_change_a_byte(chunk: int) -> None:
    assert same(portraits(chunk=chunk), portraits())


@settings(max_examples=6, deadline=None, derandomize=True)
@given(st.integers(0, 3), st.integers(0, 2))
def test_part_of_the_ranges_gives_the_same_photographs(identity: int, photograph: int) -> None:
    whole, row = portraits(), identity * 3 + photograph
    part = portraits(range(identity, identity + 1), range(photograph, photograph + 1))
    assert torch.equal(part.images[0], whole.images[row])
    assert torch.equal(part.landmarks[0], whole.landmarks[row])
    assert all(part.labels[name][0] == whole.labels[name][row] for name in CLASSES)


def test_flushing_denormals_does_not_change_a_byte() -> None:
    before = portraits()
    supported = torch.set_flush_denormal(True)
    try:
        assert not supported or same(portraits(), before)
    finally:
        torch.set_flush_denormal(False)


def test_pinned_bytes() -> None:
    result = portraits(range(6), range(2))
    digest = hashlib.sha256(result.images.numpy().tobytes())
    digest.update((result.landmarks * 64).round().to(torch.int32).numpy().astype("<i4").tobytes())
    for name in CLASSES:
        digest.update(result.labels[name].numpy().astype("<i8").tobytes())
    assert digest.hexdigest() == PINNED


def test_sets_and_seeds_are_disjoint_people() -> None:
    here = portraits()
    for other in (portraits(people="spare"), portraits(seed=6)):
        differences = (other.images.double() - here.images.double()).abs().mean((1, 2, 3))
        assert float(differences.min()) > 2


def test_progress_counts_every_image() -> None:
    counts: list[int] = []
    portraits(chunk=5, progress=counts.append)
    assert counts == [5, 5, 2]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(0, 50), st.integers(1, 70))
def test_any_run_of_blocks_is_balanced(seed: int, first_block: int, count: int) -> None:
    labels = balanced_labels(seed, "evaluated", range(16 * first_block, 16 * first_block + count))
    cells = labels["gender"] + 2 * labels["age"] + 4 * labels["skin_tone"]
    counts = torch.bincount(cells, minlength=16)
    assert int(counts.max() - counts.min()) <= 1


def test_identity_labels_stay_with_the_person_and_photograph_labels_vary() -> None:
    people = sample_people(5, "evaluated", range(100)).select(torch.arange(100).repeat_interleave(9))
    labels = sample_photographs(people, [str(row) for row in range(900)]).labels
    for name in ("gender", "age", "skin_tone"):
        assert bool((labels[name].reshape(100, 9) == labels[name].reshape(100, 9)[:, :1]).all())
    shares = torch.bincount(labels["expression"]).double() / 900
    assert float((shares - 1 / 3).abs().max()) < 0.06
    assert abs(float(labels["glasses"].double().mean()) - 0.35) < 0.06


def test_age_groups_are_far_apart() -> None:
    people = sample_people(5, "evaluated", range(160))
    years, old = people.traits["years"], people.labels["age"] == 1
    assert 18 <= float(years[~old].min()) <= float(years[~old].max()) <= 32
    assert 60 <= float(years[old].min()) <= float(years[old].max()) <= 80


def test_skin_tones_are_ordered_by_brightness() -> None:
    people = sample_people(5, "evaluated", range(160))
    green = people.traits["skin_green"]
    groups = [green[people.labels["skin_tone"] == tone] for tone in range(4)]
    for lighter, darker in itertools.pairwise(groups):
        assert float(lighter.min()) > float(darker.max())


def test_shape_traits_have_spread() -> None:
    people = sample_people(5, "evaluated", range(64))
    for name, trait in SHAPE.items():
        assert float(people.traits[name].std()) > 0.8 * trait.spread


def test_landmarks_are_inside_and_in_order() -> None:
    result = portraits(range(16), range(4))
    points = result.landmarks
    assert float(points.min()) > 0
    assert float(points.max()) < 31
    left_eye, right_eye, nose, left_corner, right_corner = points.unbind(1)
    assert bool((left_eye[:, 0] + 4 < right_eye[:, 0]).all())
    assert bool((left_corner[:, 0] + 2 < right_corner[:, 0]).all())
    assert bool((torch.maximum(left_eye[:, 1], right_eye[:, 1]) + 1 < nose[:, 1]).all())
    assert bool((nose[:, 1] + 0.5 < torch.minimum(left_corner[:, 1], right_corner[:, 1])).all())


def test_landmarks_undo_the_parallax_solver() -> None:
    """Where the forward map puts the nose, the inverse map that shades the pixels finds the nose."""
    people = sample_people(5, "evaluated", range(24))
    traits = Traits(sample_photographs(people, [str(row) for row in range(24)]).values)
    size = 64
    face = face_surface(traits, camera_frame(traits, size))
    for point, (u, v) in zip(
        landmarks(traits, size).unbind(1)[:3],
        [
            (-traits.eye_gap, traits.eye_level),
            (traits.eye_gap, traits.eye_level),
            (traits.nose_lean, traits.nose_drop - 0.030),
        ],
        strict=True,
    ):
        column, row = point.round().long().unbind(1)
        here = torch.arange(24)
        assert float((face.u[here, row, column] - u.flatten()).abs().max()) < 0.04
        assert float((face.v[here, row, column] - v.flatten()).abs().max()) < 0.04


def test_straight_faces_have_mirrored_landmarks() -> None:
    _, _, points = straight(8, 48)
    mirrored = 47 - points[:, [1, 0, 2, 4, 3], 0]
    assert torch.allclose(points[:, :, 0], mirrored, atol=1e-9)
    assert torch.allclose(points[:, [0, 3], 1], points[:, [1, 4], 1], atol=1e-9)


def test_straight_faces_look_the_same_in_a_mirror() -> None:
    """The noise, the gaze, the moles and the skin's marks are all that is left to differ on the cheeks."""
    _, images, _ = straight(8, 48)
    cheeks = images[:, :, 16:34, 12:36].double()
    assert float((cheeks - cheeks.flip(3)).abs().mean()) < 6


def test_eyes_are_dark_where_the_landmarks_say() -> None:
    """Pupils are darker than the cheeks below them, on light skin and without glasses."""
    result = portraits(range(32), range(4), size=64)
    kept = (result.labels["skin_tone"] < 2) & (result.labels["glasses"] == 0)
    grey = result.images[kept].double().mean(1)
    rows = torch.arange(len(grey))
    darker = []
    for eye in range(2):
        column, row = result.landmarks[kept][:, eye].round().long().unbind(1)
        around = [grey[rows, row + down, column + across] for down in (-1, 0, 1) for across in (-1, 0, 1)]
        cheek = grey[rows, row + 9, column]
        darker.append((torch.stack(around).amin(0) < cheek).double())
    assert float(torch.cat(darker).mean()) > 0.93


def test_colour_alone_does_not_identify() -> None:
    result = portraits(range(30), range(15), size=32)
    enrolled = torch.arange(450) % 15 < 9
    mean, histogram = result.images.double().mean((2, 3)), colour_histogram(result.images)
    for accuracy in (nearest_mean_accuracy, nearest_neighbour_accuracy):
        assert accuracy(mean, result.identity, enrolled) < 0.25
        assert accuracy(histogram, result.identity, enrolled) < 0.45


def test_uniforms_depend_on_their_own_key_only() -> None:
    both = uniforms(["one", "two"], 40)
    assert torch.equal(uniforms(["two"], 40)[0], both[1])
    assert torch.equal(uniforms(["one"], 10)[0], both[0, :10])
    assert 0 <= float(both.min()) <= float(both.max()) < 1


def test_bell_noise_is_standard() -> None:
    noise = bell_noise(["a", "b"], (100, 100))
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
