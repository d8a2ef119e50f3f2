"""The program deface behind the interface: it runs in its own environment, like the command of a stranger."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from benchmark.entrants.described import DescribedProcess, Limits
from benchmark.entrants.process import ProcessEntrant
from benchmark.errors import EnvironmentProblem
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller

SCRIPT = (
    'cd "$TMPDIR" && mkdir work && cp "$1"/*.png work && '
    '"$0" --backend opencv --replacewith "$3" --thresh "$4" --mask-scale "$5" --mosaicsize "$6" work && '
    'for file in work/*_anonymized.png; do mv "$file" "$2/$(basename "$file" _anonymized.png).png"; done'
)
"""deface writes beside its input, and every image into one file where it is told where to."""

How = Annotated[Literal["blur", "solid", "mosaic"], Field(description="what covers a face")]
Threshold = Annotated[float, Field(gt=0, le=1, description="score from which on a detection counts")]
Scale = Annotated[float, Field(gt=0, le=10, description="size of the mask, as a multiple of the detected box")]
Tile = Annotated[int, Field(ge=1, le=999, description="side of a mosaic's tiles in px")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Deface:
    """Faces found by CenterFace are blurred, blackened or mosaicked; what is not found stays as it was."""

    kind: ClassVar[str] = "process"
    shardable: ClassVar[bool] = True
    source: ClassVar[str] = "deface, https://github.com/ORB-HD/deface"
    authors: ClassVar[str] = "ORB-HD and contributors"
    licence: ClassVar[str] = "MIT"
    code_url: ClassVar[str] = "https://github.com/ORB-HD/deface"
    training_data: ClassVar[tuple[str, ...]] = ("WIDER FACE",)

    replacewith: How = "blur"
    thresh: Threshold = 0.2
    mask_scale: Scale = 1.3
    mosaicsize: Tile = 20

    @property
    def version(self) -> str:
        """Of the program that is installed; empty where there is none."""
        return installed_version(shutil.which("deface"))

    @property
    def isolation(self) -> str:
        """What kept the program apart when it last ran."""
        return self._command.isolation

    @property
    def peak_memory_mb(self) -> float | None:
        """Memory of the program when it last ran, in MB (10^6 bytes)."""
        return self._command.peak_memory_mb

    def found(self) -> dict[str, str]:
        """The version of the program, on which the result depends."""
        return {"deface": self.version}

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Runs the program on ``images``.

        Raises:
            EnvironmentProblem: it is not installed.
            EntrantError: it failed.
        """
        return self._command.anonymize(images, controller)

    @cached_property
    def _command(self) -> ProcessEntrant:
        program = installed()
        return ProcessEntrant(described(program), Path(__file__).parent, vars_of(self), _environment(program))


def vars_of(entrant: Deface) -> dict[str, str | float | int]:
    """The values of the placeholders."""
    return {
        "replacewith": entrant.replacewith,
        "thresh": entrant.thresh,
        "mask_scale": entrant.mask_scale,
        "mosaicsize": entrant.mosaicsize,
    }


def installed() -> str:
    """Where the program is.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    program = shutil.which("deface")
    if program is None:
        raise EnvironmentProblem(
            "the program deface is not in PATH. Type: python3 -m venv deface && deface/bin/pip install deface && "
            'export PATH="$PWD/deface/bin:$PATH"'
        )
    return program


def described(program: str) -> DescribedProcess:
    """The program as a command."""
    return DescribedProcess(
        name="deface",
        kind="process",
        command=("sh", "-c", SCRIPT, program, "{input}", "{output}", *(f"{{{name}}}" for name in vars_of(Deface()))),
        parameters=vars_of(Deface()),
        limits=Limits(memory_mb=4000, processes=128),
    )


def _environment(program: str) -> tuple[Path, ...]:
    """Folders that the program needs; the command begins with a shell, which tells nothing about them."""
    from benchmark.sandbox.programs import find_program, needed

    path = str(Path(program).parent)
    found = find_program(program, path)
    return () if found is None else tuple(needed(found, path))


@cache
def installed_version(program: str | None) -> str:
    """What a program says its version is; empty where there is none."""
    if program is None:
        return ""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()[:100]
