"""Images that were handed in and refused: a row that says why, so that the other entrants go on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from benchmark.entrants.archives import suffix_of
from benchmark.entrants.described import FILE, DescribedPrecomputed, read_description
from benchmark.entrants.finding import REFUSED, place_of
from benchmark.errors import AnonbenchError, UsageError
from benchmark.hashing import sha256_bytes, sha256_file
from benchmark.images import ImageSet, Released
from benchmark.protocols import Controller
from benchmark.records import EntrantFacts, Failure
from benchmark.registry import Entrant
from benchmark.release import EntrantFailed
from benchmark.specs import Spec


@dataclass(frozen=True)
class Refused:
    """Releases nothing, and says why.

    Attributes:
        reason: one line.
    """

    kind: ClassVar[str] = "precomputed"
    probes_alone: ClassVar[bool] = True
    reason: str

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Fails.

        Raises:
            EntrantFailed: always.
        """
        raise EntrantFailed(Failure(stage="build", kind="entrant", message=self.reason))


def refused(family: str, error: AnonbenchError) -> Entrant | None:
    """The entrant that stands for a folder or archive of released images that was refused.

    Args:
        family: the place, as it was typed.
        error: why it was refused.

    Returns:
        None where the text names no released images: then it is an error of typing.
    """
    path = place_of(family)
    described = _description(path)
    if described is None and not (path.is_file() and suffix_of(path)):
        return None
    name = f"{described.name if described else _name(path)}{REFUSED}"
    facts = EntrantFacts(
        name=name,
        family=name,
        params={},
        kind="precomputed",
        entry_hash=sha256_file(path) if path.is_file() else sha256_bytes(str(error).encode(errors="replace")),
        description="" if described is None else described.description,
    )
    return Entrant(Spec(name, {}), Refused(" ".join(str(error).split())), facts)


def _description(path: Path) -> DescribedPrecomputed | None:
    """What a folder of released images says about itself, where that can be read."""
    file = path / FILE if path.is_dir() else path
    if file.name != FILE or not file.is_file():
        return None
    try:
        found = read_description(file)
    except UsageError:
        return None
    return found if isinstance(found, DescribedPrecomputed) else None


def _name(path: Path) -> str:
    """A name made of the archive's, since what is inside is not believed."""
    stem = path.name[: -len(suffix_of(path))]
    plain = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:50]
    return (
        plain if re.fullmatch(r"[a-z].*", plain) else f"archive-{sha256_bytes(path.name.encode(errors='replace'))[:8]}"
    )
