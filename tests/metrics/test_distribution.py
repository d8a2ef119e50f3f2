"""FID, KID and FID-infinity as metrics: which network, whose weights, what is said when something is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from benchmark.errors import EnvironmentProblem
from benchmark.hashing import sha256_file
from benchmark.images import ImageSet, Labels
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.learning.networks import embed
from benchmark.protocols import Metric, Referees
from benchmark.registry import build_metric
from benchmark.store import Store
from benchmark.weights import REGISTRY
from metrics import inception
from metrics.distribution import Fid, FidInfinity, Kid
from metrics.frechet import frechet_distance
from metrics.inception import WEIGHTS, build_inception, inception_features

EVERY = [Fid, FidInfinity, Kid]
State = dict[str, torch.Tensor]


def pictures(count: int, seed: int = 0, side: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.randn(count, 3, 4, 4, generator=generator)
    large = nn.functional.interpolate(smooth, size=(side, side), mode="bilinear")
    return (128 + 60 * large).clamp(0, 255).byte()


def people_set(count: int, people: int = 12, side: int = 24) -> ImageSet:
    keys = tuple(f"image {row:04d}" for row in range(count))
    classes = tuple(f"person {who}" for who in range(people))
    return ImageSet(pictures(count, side=side), keys, Labels(torch.arange(count) % people, classes))


def released(original: ImageSet, noise: int = 30) -> ImageSet:
    generator = torch.Generator().manual_seed(9)
    change = torch.randint(-noise, noise + 1, original.images.shape, generator=generator)
    return original.with_images((original.images + change).clamp(0, 255).byte())


def recogniser() -> Classifier:
    architecture = Architecture("small-resnet", ("a", "b"), {"width": 4})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = architecture.build()
    return Classifier("recogniser", architecture, network.eval().requires_grad_(False), sha256="random")


@pytest.fixture
def referees(tmp_path: Path) -> Referees:
    return Referees(recogniser=recogniser(), store=Store(tmp_path / "store"))


@pytest.fixture(scope="module")
def random_state() -> State:
    """Weights of the real architecture, with keys and shapes of the real file and random values."""
    from torchvision.models import inception_v3

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    return {name: value for name, value in network.state_dict().items() if "num_batches" not in name}


@pytest.fixture(scope="module")
def state_file(random_state: State, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / REGISTRY[WEIGHTS].file
    torch.save(random_state, path)
    return path


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No weights anywhere; gives the folder ``ANONBENCH_WEIGHTS`` names."""
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(folder))
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    inception._network.cache_clear()
    return folder


def register(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    entry = dataclasses.replace(REGISTRY[WEIGHTS], sha256=sha256_file(path), size=path.stat().st_size)
    monkeypatch.setitem(REGISTRY, WEIGHTS, entry)


@pytest.fixture
def stand_in(nothing: Path, state_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (nothing / state_file.name).symlink_to(state_file)
    register(monkeypatch, state_file)
    return nothing / state_file.name


def unmodified(state_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """pytorch-fid's network by its own constructor, which finds the file where torch hub keeps downloads."""
    from pytorch_fid.inception import InceptionV3

    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / state_file.name).symlink_to(state_file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    network: nn.Module = InceptionV3([3]).eval()
    return network


def test_inception_is_that_of_pytorch_fid(
    stand_in: Path, state_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = unmodified(state_file, tmp_path, monkeypatch)
    images = pictures(3, side=96)
    with torch.inference_mode():
        expected = oracle(images / 255)[0].squeeze((2, 3))
        found = inception_features("cpu").run(images)
        wrong = oracle(images.flip(1) / 255)[0].squeeze((2, 3))
    assert found.shape == (3, 2048)
    assert torch.equal(found, expected)
    assert not torch.allclose(found, wrong, rtol=1e-2)


def test_the_package_is_left_as_it_was(random_state: State) -> None:
    from pytorch_fid import inception as package

    before, seeded = package.load_state_dict_from_url, torch.random.get_rng_state()
    build_inception(random_state)
    assert package.load_state_dict_from_url is before
    assert torch.equal(torch.random.get_rng_state(), seeded)


def test_inception_metrics_with_stand_in_weights(stand_in: Path, tmp_path: Path) -> None:
    original = people_set(5, 5)
    referees = Referees(store=Store(tmp_path / "store"))
    fid, kid = Fid(), Kid()
    assert fid.missing() is None
    assert fid.card.weights == {WEIGHTS: sha256_file(stand_in)}
    found = fid.score(original, released(original), referees).score
    assert found.value is not None
    assert found.value > 0
    assert found.details == {"images": 5, "released images": 5, "feature dimensions": 2048}
    assert abs(fid.score(original, original, referees).score.value or 0) < 1e-6
    assert kid.score(original, original, referees).score.value == 0


@pytest.mark.parametrize("kind", EVERY)
def test_without_weights_it_says_so(kind: Callable[[], Any], nothing: Path) -> None:
    absent = kind().missing()
    assert "fid-inception weights unavailable" in absent.reason
    assert "fid-inception" in absent.remedy
    assert kind().card.weights == {}


def pages(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>Sign in</body></html>")


def truncated(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(1000))


def foreign(path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, path)


@pytest.mark.parametrize("write", [pages, truncated])
def test_another_file_under_the_name_is_unavailable(write: Callable[[Path], None], nothing: Path) -> None:
    write(nothing / REGISTRY[WEIGHTS].file)
    absent = Fid().missing()
    assert absent is not None
    assert "is not the fid-inception file" in absent.reason
    assert absent.remedy
    original = people_set(4)
    score = Fid().score(original, original, Referees()).score
    assert (score.status, score.value) == ("unavailable", None)


@pytest.mark.parametrize("write", [pages, truncated, foreign])
def test_a_registered_file_that_is_no_network_is_unavailable(
    write: Callable[[Path], None], nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = nothing / REGISTRY[WEIGHTS].file
    write(path)
    register(monkeypatch, path)
    original = people_set(4)
    score = Kid().score(original, original, Referees()).score
    assert (score.status, score.value) == ("unavailable", None)
    assert score.reason
    assert score.remedy


def test_kept_features_are_bound_to_weights_and_preprocessing(stand_in: Path) -> None:
    assert inception_features("cpu").identity == f"{sha256_file(stand_in)} {inception.PREPROCESSING}"


@pytest.mark.parametrize("kind", EVERY)
def test_a_disk_in_the_way_stops_the_run(kind: Callable[[str], Metric], tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file where the store's folder should be")
    original = people_set(120)
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        kind("recogniser").score(original, original, Referees(recogniser=recogniser(), store=Store(tmp_path / "store")))


def test_fid_is_the_distance_of_the_recogniser_s_features(referees: Referees) -> None:
    original = people_set(150)
    other = released(original)
    found = Fid("recogniser").score(original, other, referees).score
    with torch.inference_mode():
        features = [embed(recogniser().network, part.images.float() / 255) for part in (original, other)]
    assert found.value == pytest.approx(frechet_distance(*features), rel=1e-5)
    few = [ImageSet(part.images[:15], part.keys[:15]) for part in (original, other)]
    assert Fid("recogniser").score(*few, referees).score.value == pytest.approx(
        frechet_distance(*(part[:15] for part in features)), rel=1e-5
    )


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("identities", [True, False])
def test_order_and_threads_do_not_matter(kind: Callable[[str], Metric], referees: Referees, identities: bool) -> None:
    original = people_set(130, 65)
    original = original if identities else original.without(identity=True)
    other = released(original)
    order = torch.randperm(130, generator=torch.Generator().manual_seed(1))
    metric = kind("recogniser")
    value = metric.score(original, other, referees).score.value
    turned = metric.score(original.select(order), other.select(order), referees).score.value
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threaded = metric.score(original, other, Referees(recogniser=recogniser())).score.value
    finally:
        torch.set_num_threads(threads)
    assert value is not None
    assert turned == pytest.approx(value, rel=1e-6, abs=1e-6)
    assert threaded == pytest.approx(value, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("kind", EVERY)
def test_identical_sets_are_0_and_noise_is_more(kind: Callable[[str], Metric], referees: Referees) -> None:
    original = people_set(120)
    metric = kind("recogniser")
    same = metric.score(original, original, referees).score
    changed = metric.score(original, released(original, 90), referees).score
    assert same.value == pytest.approx(0, abs=1e-6)
    assert changed.value is not None
    assert changed.value > 1e-5
    assert (changed.n, changed.n_clusters) == (120, 12)


def test_kid_has_an_interval_over_people(referees: Referees) -> None:
    original = people_set(120)
    score = Kid("recogniser").score(original, released(original, 90), referees).score
    assert score.interval is not None
    assert score.value is not None
    assert score.interval.low < score.value < score.interval.high
    assert score.interval.resamples == 12


@pytest.mark.parametrize("kind", EVERY)
def test_without_a_recogniser_it_does_not_apply(kind: Callable[[str], Metric]) -> None:
    original = people_set(20)
    score = kind("recogniser").score(original, original, Referees()).score
    assert score.status == "not-applicable"
    assert "no recogniser" in score.reason


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_do_not_apply(kind: Callable[[str], Metric], count: int, referees: Referees) -> None:
    original = people_set(20)[:count]
    score = kind("recogniser").score(original, original, referees).score
    assert score.status == "not-applicable"
    assert "at least" in score.reason


def test_cards() -> None:
    fid, infinity, kid = (build_metric(f"{name}(features=recogniser)").card for name in ("fid", "fid-infinity", "kid"))
    assert (fid.name, fid.title) == ("fid(features=recogniser)", "FID (recogniser)")
    assert (fid.per_count, infinity.per_count, kid.per_count) == (True, False, False)
    assert (fid.range[0], infinity.range[0], kid.range[0]) == (0, None, None)
    for card in (fid, infinity, kid):
        assert card.referees == ("recogniser",)
        assert not card.higher_is_better
        assert card.calibration
        assert card.weights == {}
    assert build_metric("fid").card.name == "fid(features=inception)"
    assert build_metric("kid").card.title == "KID (Inception)"
    with pytest.raises(ValidationError):
        Fid("vgg")  # type: ignore[arg-type]


def test_recogniser_metrics_never_ask_for_weights(nothing: Path) -> None:
    assert all(kind("recogniser").missing() is None for kind in EVERY)
