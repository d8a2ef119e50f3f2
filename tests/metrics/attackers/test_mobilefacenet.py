"""MobileFaceNet: its format, what is said about wrong files, and its template; the real file is used where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark.errors import EnvironmentProblem
from benchmark.protocols import Missing
from benchmark.weights import REGISTRY
from metrics.attackers.deepface import MODELS
from metrics.attackers.embedders import FaceEmbedder, embedder, missing_for, weights_name, weights_of
from metrics.attackers.mobilefacenet import MobileFaceNet, build, described

WEIGHTS = Path(__file__).parents[3].parent / "shared" / "weights"
FILE = WEIGHTS / REGISTRY["mobilefacenet"].file
real = pytest.mark.skipif(not FILE.is_file(), reason="no MobileFaceNet weights beside the repository")
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return MobileFaceNet().state_dict()


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def faces(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 112, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))


def test_333_tensors(state: State) -> None:
    assert len(state) == 333
    assert state["linear7.conv.weight"].shape == (512, 1, 7, 6)


CHANGES: list[tuple[str, str, Callable[[State, str], None]]] = [
    ("blocks.3.conv.4.running_var", "is missing", lambda s, n: s.__delitem__(n)),
    ("linear7.conv.weight", r"has shape \(512, 1, 7, 7\)", lambda s, n: s.update({n: torch.zeros(512, 1, 7, 7)})),
    ("conv1.prelu.weight", "not finite", lambda s, n: s.update({n: torch.full((64,), torch.nan)})),
    ("conv1.bn.weight", "has type torch.int64", lambda s, n: s.update({n: torch.ones(64, dtype=torch.int64)})),
    ("arcface.weight", "does not have", lambda s, n: s.update({n: torch.zeros(2)})),
]


@pytest.mark.parametrize(("name", "problem", "change"), CHANGES)
def test_a_wrong_tensor_is_named(state: State, name: str, problem: str, change: Callable[[State, str], None]) -> None:
    changed = dict(state)
    change(changed, name)
    with pytest.raises(EnvironmentProblem, match=problem) as caught:
        build(changed)
    assert name in str(caught.value)
    assert "anonbench weights verify mobilefacenet" in str(caught.value)


def test_one_by_one_as_in_a_batch_and_mirrored_the_same(state: State) -> None:
    network = build(state)
    pictures = faces(4)
    together = described(network, pictures)
    single = torch.cat([described(network, picture[None]) for picture in pictures])
    torch.testing.assert_close(together, single, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(described(network, pictures.flip(3)), together, atol=1e-5, rtol=1e-4)


def test_absent_weights_have_a_remedy(nothing: Path) -> None:
    found = embedder("mobilefacenet", "cpu")
    assert isinstance(found, Missing)
    assert "mobilefacenet weights unavailable" in found.reason
    assert REGISTRY["mobilefacenet"].file in found.remedy
    assert missing_for("mobilefacenet") == found
    assert weights_of("mobilefacenet") == {}


@pytest.mark.parametrize("model", MODELS)
def test_every_model_of_deepface_is_in_the_registry(model: str, nothing: Path) -> None:
    assert weights_name(model) in REGISTRY
    assert isinstance(embedder(model, "cpu"), Missing)
    assert isinstance(missing_for(model), Missing)
    assert weights_of(model) == {}


@real
def test_the_real_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANONBENCH_WEIGHTS", str(WEIGHTS))
    found = embedder("mobilefacenet", "cpu")
    assert isinstance(found, FaceEmbedder)
    assert (found.height, found.width) == (112, 96)
    assert found.template[0].tolist() == pytest.approx([30.2946, 51.6963])
    assert found.run(faces(2)).shape == (2, 128)
    assert found.identity.startswith(REGISTRY["mobilefacenet"].sha256)
