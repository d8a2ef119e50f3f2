"""Every anonymizer that is installed keeps the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.conformance import examine
from benchmark.errors import EnvironmentProblem
from benchmark.registry import build_entrant, names

MORE = [
    "blur(kernel=99)",
    "dp-blur(eps=1)",
    "edi-anon(perturb=mask)",
    "edi-anon(perturb=noise, sigma=30)",
    "edi-anon(perturb=pixelate, preset=paper)",
    "ksame-eigen(k=2, components=3)",
    "ksame-pixel(k=10)",
    "mask(region=face)",
    "pixelate(size=7, variant=edi)",
]
NOTED = {
    "identity": ["effect"],
    "black": ["effect"],
    "ksame-eigen": ["single image"],
    "ksame-pixel": ["single image"],
    "kanon": ["single image"],
}


@pytest.fixture(autouse=True, scope="module")
def _no_weights(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ANONBENCH_WEIGHTS", raising=False)
        patch.setenv("ANONBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("spec", [*names("anonymizers"), *MORE])
def test_it_keeps_the_protocol(spec: str) -> None:
    try:
        entrant = build_entrant(spec)
        found = examine(entrant)
    except EnvironmentProblem as error:
        pytest.skip(f"its program is not on this machine: {error}")
    assert found.ok, found.text()
    if entrant.facts.kind == "process":  # whether another tool takes drawn faces for faces is not ours to say
        return
    assert [part.check for part in found.findings if part.verdict == "note"] == NOTED.get(spec.partition("(")[0], [])
    assert found.seconds_per_image is not None


def test_what_never_refuses_one_person_is_told_from_what_does() -> None:
    text = examine("ksame-pixel(k=10)").text()
    assert "it refuses: ksame-pixel(k=10) needs at least 10 persons" in text


def test_more_people_than_can_be_drawn_is_no_pass(tmp_path: Path) -> None:
    found = examine("ksame-pixel(k=101)")
    assert found.failed == ("protocol",)
    assert "needs at least 101 persons" in found.text()
