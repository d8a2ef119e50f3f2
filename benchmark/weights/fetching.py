"""Downloading weight files into the cache; a file gets its name only after its hash is right."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmark.errors import EnvironmentProblem
from benchmark.hashing import sha256_file
from benchmark.protocols import Progress, Report, quiet, silent
from benchmark.weights.content import trouble
from benchmark.weights.entries import WeightEntry, entry_of
from benchmark.weights.finding import WeightsMissing, cached, locate

CHUNK = 1 << 20
"""Bytes read from the network at a time."""


def fetch(name: str, report: Report = quiet) -> Path:
    """Downloads a weight file into the cache, unless it is on this machine already, and checks its hash.

    Args:
        name: of the registry.
        report: shows progress, in bytes.

    Raises:
        UsageError: no entry of the registry has this name.
        WrongWeights: there is something else under its name in ``ANONBENCH_WEIGHTS``.
        EnvironmentProblem: it may not be downloaded, the download failed, or something else came.
    """
    entry = entry_of(name)
    try:
        return locate(name)
    except WeightsMissing as error:
        if not entry.fetchable:
            why = "no hash is known to check it by" if entry.url else "it has no public address"
            raise EnvironmentProblem(f"{name} is never downloaded, {why}: {error.remedy}") from None
    try:
        return _downloaded(entry, report)
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        raise EnvironmentProblem(
            f"cannot fetch {name} from {entry.url}: {error}. Try again, or put {entry.file} into the folder named by "
            "ANONBENCH_WEIGHTS"
        ) from error


def _downloaded(entry: WeightEntry, report: Report) -> Path:
    """Downloads beside the target, under a name of its own: two runs may fetch the same file."""
    import pooch

    target = cached(entry)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f"{entry.file}-", suffix=".part", delete=False) as made:
        part = Path(made.name)
    try:
        with ExitStack() as stack:
            bar = _Bar(f"fetch {entry.name}, bytes", entry.size, report, stack)
            pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK)(entry.url, str(part), None)
        found = trouble(entry, part, sha256_file(part))
        if found:
            raise ValueError(f"what came is {found}" if not found.startswith("expected") else found)
        part.chmod(0o644)
        return part.replace(target)
    finally:
        part.unlink(missing_ok=True)


class _Bar:
    """What pooch takes for a progress bar, shown by our own reports.

    pooch says the size once the server has told it, counts whole chunks, and starts over at the end.
    """

    def __init__(self, title: str, size: int, report: Report, stack: ExitStack) -> None:
        self.title, self.size, self.report, self.stack = title, size, report, stack
        self.advance: Progress = silent
        self.seen = self.told = 0

    @property
    def total(self) -> int:
        """Bytes to come; 0 if nobody knows."""
        return self.size

    @total.setter
    def total(self, size: int) -> None:
        self.size = size or self.size
        if self.size:
            self.advance = self.stack.enter_context(self.report(self.title, self.size))

    def update(self, count: int) -> None:
        """Another chunk is here."""
        self.seen = min(self.seen + count, self.size)
        if self.seen > self.told:
            self.advance(self.seen - self.told)
            self.told = self.seen

    def reset(self) -> None:
        """Counts from 0 again."""
        self.seen = 0

    def close(self) -> None:
        """The report ends with the download."""
