"""deface run for real, as the program of a stranger in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from benchmark.conformance import examine
from benchmark.decode import decode_png, encode_png
from benchmark.errors import EnvironmentProblem
from benchmark.images import ImageSet
from benchmark.protocols import Controller
from benchmark.registry import build_entrant
from benchmark.release import disguised

PROGRAM = shutil.which("deface")
LONDON = Path(__file__).parents[2].parent / "shared" / "data" / "london"
needs_program = pytest.mark.skipif(PROGRAM is None, reason="deface is not in PATH; make test installs it")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    from benchmark.protocols import SuiteOptions
    from suites.rendered import smoke

    images = smoke(SuiteOptions(store=tmp_path_factory.mktemp("store"))).images("probe")
    return disguised(images, frozenset(), "salt")[:12]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))


def by_hand(images: ImageSet, folder: Path, *options: str) -> torch.Tensor:
    """What the program itself makes of the images, one call per image, outside of the harness."""
    assert PROGRAM is not None
    made = []
    for key, image in zip(images.keys, images.images, strict=True):
        given, wanted = folder / f"{key}.png", folder / f"{key}-out.png"
        given.write_bytes(encode_png(image))
        words = [PROGRAM, "--backend", "opencv", *options, "-o", str(wanted), str(given)]
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, "OPENCV_LOG_LEVEL": "ERROR"})
        made.append(decode_png(wanted.read_bytes()))
    return torch.stack(made)


@needs_program
@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("deface", ()),
        ("deface(replacewith=solid, mask_scale=1.0)", ("--replacewith", "solid", "--mask-scale", "1.0")),
        ("deface(replacewith=mosaic, mosaicsize=8)", ("--replacewith", "mosaic", "--mosaicsize", "8")),
    ],
)
def test_the_entrant_releases_what_the_program_makes(
    faces: ImageSet, tmp_path: Path, spec: str, options: tuple[str, ...]
) -> None:
    few = faces[:3]
    released = build_entrant(spec).anonymizer.anonymize(few, Controller())
    assert released.missing is None
    assert torch.equal(released.images, by_hand(few, tmp_path, *options))
    changed = (released.images != few.images).flatten(1).any(1)
    assert bool(changed.all()), "a portrait whose face was not found"


@needs_program
@pytest.mark.skipif(not LONDON.is_dir(), reason="real faces are absent: put them into shared/data beside the checkout")
def test_real_faces_are_found() -> None:
    from benchmark.decode import load_images

    photographs = sorted(LONDON.rglob("*.jpg"))[:20] or sorted(LONDON.rglob("*.png"))[:20]
    faces, _ = load_images(photographs, 112)
    images = ImageSet(faces, tuple(f"{row:016x}" for row in range(len(faces))))
    released = build_entrant("deface(replacewith=solid)").anonymizer.anonymize(images, Controller())
    centre = released.images[:, :, 46:66, 46:66]
    assert len(faces) == 20
    assert not centre.any(), "a face whose middle is not covered"


@needs_program
def test_what_is_no_face_stays_as_it_was() -> None:
    noise = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = ImageSet(noise, ("0" * 16, "1" * 16))
    assert torch.equal(build_entrant("deface").anonymizer.anonymize(images, Controller()).images, noise)


@needs_program
def test_it_conforms_and_says_which_version_ran() -> None:
    entrant = build_entrant("deface")
    examination = examine(entrant)
    assert examination.ok, examination.text()
    done = subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True, check=True)
    assert entrant.facts.version == done.stdout.strip() != ""
    assert entrant.facts.kind == "process"


def test_without_the_program_it_says_how_to_get_it(faces: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    if shutil.which("deface"):
        pytest.skip("deface is installed for everybody")
    entrant = build_entrant("deface")
    assert entrant.facts.version == ""
    with pytest.raises(EnvironmentProblem, match="pip install deface"):
        entrant.anonymizer.anonymize(faces, Controller())
