"""LPIPS against the lpips package on real weights, and the distance in the recogniser's feature maps."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmark.hashing import sha256_file
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import SCORING_BATCH, Architecture, Classifier
from benchmark.protocols import Referees
from benchmark.records import Score
from benchmark.registry import build_metric
from benchmark.weights import REGISTRY
from metrics import perceptual
from metrics.perceptual import SMALLEST, TRUNKS, Lpips, Perceptual, build_lpips, heads, unit_distance

SHARED = Path(__file__).parents[2].parent / "shared"
EXAMPLE, TRUNK = SHARED / "data" / "lpips_example", SHARED / "weights" / "squeezenet1_1-fp16rounded.pth"
real = pytest.mark.skipif(
    not (EXAMPLE.is_dir() and TRUNK.is_file()), reason="no LPIPS example images or SqueezeNet weights beside it"
)


def pictures(count: int, seed: int = 0, side: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def image_set(images: torch.Tensor, people: int = 0) -> ImageSet:
    keys = tuple(f"image {row:04d}" for row in range(len(images)))
    names = tuple(f"person {who}" for who in range(people))
    return ImageSet(images, keys, Labels(torch.arange(len(images)) % people, names) if people else None)


def example(name: str) -> torch.Tensor:
    bgr = cv2.imread(str(EXAMPLE / f"ex_{name}.png"))
    assert bgr is not None
    return torch.from_numpy(bgr[..., ::-1].copy()).permute(2, 0, 1)[None]


def torchvision_trunk(net: str) -> nn.Module:
    from torchvision import models

    build = {"alex": models.alexnet, "vgg": models.vgg16, "squeeze": models.squeezenet1_1}[net]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: nn.Module = build(weights=None)
    return network


def package_lpips(net: str, state: dict[str, torch.Tensor]) -> nn.Module:
    """The lpips package as its users use it, with the weights put where torch hub would have put them."""
    import lpips
    from torchvision import models

    trunk = torchvision_trunk(net)
    trunk.load_state_dict(state)
    name = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}[net]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, name, lambda pretrained: trunk)
        network: nn.Module = lpips.LPIPS(net=net, verbose=False)
    return network.eval()


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(folder))
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    perceptual._network.cache_clear()
    return folder


@pytest.fixture
def given_real(nothing: Path) -> Path:
    (nothing / TRUNK.name).symlink_to(TRUNK)
    return nothing


def give(net: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A random trunk in the format of the real file, registered as if it were the real one."""
    state = torchvision_trunk(net).state_dict()
    if net == "vgg":  # its classifier has 500 MB and is not read
        state = {key: value for key, value in state.items() if key.startswith("features.")}
    entry = REGISTRY[TRUNKS[net][0]]
    path = folder / entry.file
    torch.save(state, path)
    changed = dataclasses.replace(entry, sha256=sha256_file(path), size=path.stat().st_size)
    monkeypatch.setitem(REGISTRY, entry.name, changed)
    return state


def lpips_values(net: str, original: torch.Tensor, released: torch.Tensor) -> torch.Tensor:
    metric = build_metric(f"lpips(net={net})")
    scores = metric.score(image_set(original), image_set(released), Referees())
    assert scores.score.value == pytest.approx(float(scores.per_image[metric.card.name].mean()))
    return scores.per_image[metric.card.name]


@real
def test_published_values_and_the_package_itself(given_real: Path) -> None:
    reference, parts = example("ref"), torch.cat([example("p0"), example("p1")])
    found = lpips_values("squeeze", reference.repeat(2, 1, 1, 1), parts)
    assert found.tolist() == pytest.approx([0.7112, 0.1479], abs=1e-3)
    oracle = package_lpips("squeeze", torch.load(TRUNK, weights_only=True))
    with torch.inference_mode():
        expected = oracle(reference / 255, parts / 255, normalize=True).flatten().double()
        half_range = oracle(reference / 255, parts / 255).flatten().double()
        shifted = oracle(reference / 255 / 2 - 1, parts / 255 / 2 - 1).flatten().double()
        swapped = oracle(reference.flip(1) / 255, parts.flip(1) / 255, normalize=True).flatten().double()
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)
    for wrong in (half_range, shifted, swapped):
        assert ((found - wrong).abs() > 1e-3).all()


@real
def test_the_card_names_the_weights_that_were_used(given_real: Path) -> None:
    card = Lpips("squeeze").card
    assert card.name == "lpips(net=squeeze)"
    assert card.weights == {
        "squeezenet1_1-fp16rounded": sha256_file(TRUNK),
        "lpips-heads-squeeze": sha256_file(heads("squeeze")),
    }


@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_stand_in_weights_give_what_the_package_gives(net: str, nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = give(net, nothing, monkeypatch)
    original, released = pictures(3), pictures(3, seed=1)
    with torch.inference_mode():
        expected = package_lpips(net, state)(original / 255, released / 255, normalize=True).flatten().double()
    assert torch.allclose(lpips_values(net, original, released), expected, rtol=1e-5, atol=1e-7)


def test_vgg_needs_no_classifier(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give("vgg", nothing, monkeypatch)
    values = lpips_values("vgg", pictures(2, side=SMALLEST["vgg"]), pictures(2, seed=1, side=SMALLEST["vgg"]))
    assert values.isfinite().all()
    assert (values > 0).all()


@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_smallest_images(net: str, nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, smallest = give(net, nothing, monkeypatch), SMALLEST[net]
    assert lpips_values(net, pictures(1, side=smallest), pictures(1, seed=1, side=smallest)).isfinite().all()
    small = image_set(pictures(2, side=smallest - 1))
    score = build_metric(f"lpips(net={net})").score(small, small, Referees()).score
    assert score.status == "not-applicable"
    assert f"{smallest - 1} px" in score.reason
    with pytest.raises(RuntimeError):
        package_lpips(net, state)(small.images / 255, small.images / 255)


def test_order_batches_and_threads_do_not_matter(nothing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give("squeeze", nothing, monkeypatch)
    original, released = pictures(SCORING_BATCH + 3, side=24), pictures(SCORING_BATCH + 3, seed=1, side=24)
    values = lpips_values("squeeze", original, released)
    order = torch.randperm(len(original), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(lpips_values("squeeze", original[order], released[order]), values[order], atol=1e-6)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.allclose(lpips_values("squeeze", original, released), values, atol=1e-6)
    finally:
        torch.set_num_threads(threads)
    assert (lpips_values("squeeze", original, original) == 0).all()


def test_missing_weights_say_what_to_do(nothing: Path) -> None:
    for net, names in TRUNKS.items():
        metric = build_metric(f"lpips(net={net})")
        absent = metric.missing()  # type: ignore[attr-defined]
        assert f"{names[0]}" in absent.reason
        assert "weights unavailable" in absent.reason
        assert absent.remedy
        assert metric.card.weights == {}


def page(path: Path) -> None:
    path.write_text("<html><body>404</body></html>")


def cut(path: Path) -> None:
    whole = path.with_suffix(".whole")
    torch.save(torchvision_trunk("squeeze").state_dict(), whole)
    path.write_bytes(whole.read_bytes()[:10_000])
    whole.unlink()


def foreign(path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, path)


@pytest.mark.parametrize("write", [page, cut, foreign])
@pytest.mark.parametrize("registered", [True, False])
def test_a_file_that_is_something_else_is_unavailable(
    write: Callable[[Path], None], registered: bool, nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = REGISTRY["squeezenet1_1"]
    path = nothing / entry.file
    write(path)
    if registered:
        changed = dataclasses.replace(entry, sha256=sha256_file(path), size=path.stat().st_size)
        monkeypatch.setitem(REGISTRY, entry.name, changed)
    metric, images = Lpips("squeeze"), image_set(pictures(2))
    score = metric.score(images, images, Referees()).score
    assert (score.status, score.value) == ("unavailable", None)
    assert score.reason
    assert score.remedy
    assert (metric.missing() is None) == registered


def test_building_leaves_warnings_and_random_numbers_alone() -> None:
    state, seeded = torchvision_trunk("squeeze").state_dict(), torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = list(warnings.filters)
        build_lpips("squeeze", state)
        assert list(warnings.filters) == kept
    assert torch.equal(torch.random.get_rng_state(), seeded)


def recogniser() -> Classifier:
    architecture = Architecture("small-resnet", ("a", "b"), {"width": 4})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = architecture.build()
    return Classifier("recogniser", architecture, network.eval().requires_grad_(False), sha256="random")


def feature_map_score(original: ImageSet, released: ImageSet) -> Score:
    return Perceptual().score(original, released, Referees(recogniser=recogniser())).score


def by_loops(original: torch.Tensor, released: torch.Tensor) -> float:
    """One pair, one stage, one position at a time."""
    network, found = recogniser().network, []
    with torch.inference_mode():
        before, after = (network.stages(image[None].float() / 255) for image in (original, released))  # type: ignore[operator]
    for a, b in zip(before, after, strict=True):
        columns = zip(a[0].flatten(1).T.double(), b[0].flatten(1).T.double(), strict=True)
        values = [((p / (p.norm() + 1e-10) - q / (q.norm() + 1e-10)) ** 2).sum() for p, q in columns]
        found.append(float(torch.stack(values).mean()))
    return sum(found) / len(found)


def test_feature_maps_compared_one_position_at_a_time() -> None:
    original, released = pictures(4), pictures(4, seed=1)
    scores = Perceptual().score(image_set(original), image_set(released), Referees(recogniser=recogniser()))
    expected = [by_loops(a, b) for a, b in zip(original, released, strict=True)]
    assert scores.per_image["perceptual(features=recogniser)"].tolist() == pytest.approx(expected, rel=1e-5)


def test_feature_maps_of_identical_images_and_more_noise() -> None:
    original = image_set(pictures(SCORING_BATCH + 6), people=10)
    noise = torch.randint(-9, 10, original.images.shape, generator=torch.Generator().manual_seed(2))
    little, much = (original.with_images((original.images + k * noise).clamp(0, 255).byte()) for k in (1, 9))
    same, near, far = (feature_map_score(original, part) for part in (original, little, much))
    assert (same.value, same.n, same.n_clusters) == (0, SCORING_BATCH + 6, 10)
    assert near.value is not None
    assert far.value is not None
    assert 0 < near.value < far.value <= 2
    assert far.interval is not None
    assert far.interval.low < far.value < far.interval.high


def test_feature_maps_do_not_depend_on_order() -> None:
    original, released = image_set(pictures(70), people=7), image_set(pictures(70, seed=1), people=7)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(1))
    value = feature_map_score(original, released).value
    assert feature_map_score(original.select(order), released.select(order)).value == pytest.approx(value, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 6), st.integers(0, 99), st.booleans())
def test_unit_distance_stays_in_its_range(channels: int, seed: int, positive: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 3, channels, 4, 5, generator=generator)
    a, b = (a.relu(), b.relu()) if positive else (a, b)
    value = unit_distance(a, b)
    assert (value >= 0).all()
    assert (value <= (2 if positive else 4) + 1e-5).all()
    assert torch.allclose(unit_distance(3 * a, b / 7), value, atol=1e-5)
    assert (unit_distance(a, a) == 0).all()
    assert (unit_distance(a * 0, b * 0) == 0).all()


def test_feature_maps_need_a_recogniser() -> None:
    images = image_set(pictures(2))
    score = Perceptual().score(images, images, Referees()).score
    assert score.status == "not-applicable"
    assert "no recogniser" in score.reason


def test_the_card_says_it_is_not_lpips() -> None:
    card = build_metric("perceptual").card
    assert "NOT LPIPS" in card.definition
    assert card.referees == ("recogniser",)
    assert card.weights == {}
