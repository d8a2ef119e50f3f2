"""A command as an anonymizer: a folder of images in, a folder of images out.

The command gets ``<key>.png`` files (8-bit RGB, all of one size) in ``{input}`` and writes as many to ``{output}``. It
runs in an empty scratch folder, kept apart from the machine by ``benchmark.sandbox``, with the limits of its
description. What is read back, and what counts as missing, says ``benchmark.entrants.outputs``. Exit code 0 with some
of the images is a release with missing images; another exit code, a broken limit or no image at all is a failure.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.decode import encode_png
from benchmark.entrants.content import content_of
from benchmark.entrants.described import FILE, PLACEHOLDERS, DescribedProcess, Limits
from benchmark.entrants.outputs import read_outputs
from benchmark.entrants.placeholders import fill
from benchmark.entrants.scratch import scratch_folder
from benchmark.errors import EntrantError, EnvironmentProblem, UsageError
from benchmark.files import one_line
from benchmark.images import ImageSet, Released
from benchmark.records import ParamValue
from benchmark.store import cache_root, write_atomic

if TYPE_CHECKING:
    from benchmark.protocols import Controller
    from benchmark.sandbox import Outcome

NOTE = "missing outputs"
"""Note of a release that says how many images are missing, and why."""
LOGS = 20
"""Outputs of a command that are kept."""
_SHOWN = 200
_TOLD = 400
_READS = 200
"""Characters of what a command may read, in the record."""
_FACTS = (
    "deterministic", "description", "version", "source", "authors", "licence", "code_url", "training_data", "weights",
)  # fmt: skip
_LIMITS = {
    "time": ("it took longer than its {0.seconds:g} seconds", "seconds"),
    "memory": ("it used more memory than its {0.memory_mb:.6g} MB", "memory_mb"),
    "processes": ("it had more than its {0.processes} processes and threads", "processes"),
    "output": ("it wrote more than its {0.output_mb:.6g} MB, or too many files", "output_mb"),
}
_NARROWER = {
    "seconds": "all that a command gets while it is checked",
    "memory_mb": "all that this machine has for a command (four fifths of what was free)",
    "output_mb": "all that this machine has for a command (four fifths of what was free)",
}
"""Why a command was held against less than its description says."""


class ProcessEntrant:
    """Runs a command of a stranger on the images.

    Parameters are no attributes: a stranger names them, and attributes say what the harness may do with an entrant.

    Args:
        description: what ``entrant.toml`` says.
        here: the folder it lies in.
        values: parameters that differ from their defaults.
        programs: folders and files that it may read besides ``reads`` of the description. They are not checked and not
            said in the record: for adapters of ours that look for an installed program, never for what a stranger wrote.

    Attributes:
        entry_hash: sha256 over the description and the files beside it.
        not_hashed: files beside it that are too many or too large to be in the hash.
        isolation: what kept it apart when it last ran, and what it may read.
        peak_memory_mb: of all its processes when it last ran, in MB (10^6 bytes).

    Raises:
        UsageError: a parameter, placeholder or pattern names something that is not there.
        EnvironmentProblem: a file of it may not be read.
    """

    kind = "process"
    uses: frozenset[str] = frozenset()

    def __init__(
        self,
        description: DescribedProcess,
        here: Path,
        values: Mapping[str, ParamValue],
        programs: tuple[Path, ...] = (),
    ) -> None:
        unknown = sorted(set(values) - set(description.parameters))
        if unknown:
            raise UsageError(
                f"{description.name} has no parameter '{one_line(unknown[0])}'; see [parameters] in {FILE}"
            )
        self._described, self._here = description, here.resolve()
        self._programs = programs
        self._values = {**description.parameters, **values}
        self.shardable = description.shardable
        for name in _FACTS:
            setattr(self, name, getattr(description, name))
        self.isolation = ""
        self.peak_memory_mb: float | None = None
        content = content_of(description, self._here)
        self.entry_hash, self.not_hashed = content.sha256, content.left_out
        self._words(Path("input"), Path("output"), 0, "cpu")
        self._check_names()

    @property
    def told(self) -> tuple[str, ...]:
        """The command and whatever it may read, one by one, for whoever has to trust it; nothing is cut off unsaid."""
        return tuple(_shortened(text) for text in (" ".join(self._described.command), *self._described.reads))

    def _may_read(self) -> str:
        """As the description says it: where that is on this machine is nobody's business."""
        reads = one_line(", ".join(self._described.reads))
        return f"; may read {reads}"[:_READS] if reads else ""

    def _check_names(self) -> None:
        taken = sorted(name for name in self._values if hasattr(self, name))
        if taken:
            raise UsageError(
                f"a parameter cannot be called '{taken[0]}', which means something else; rename it in {FILE}"
            )

    def anonymize(self, images: ImageSet, controller: Controller) -> Released:
        """Runs the command once on all of ``images``.

        Raises:
            EntrantError: it failed, broke a limit, or released nothing.
            UsageError: its program is not there, or a folder to read may not be read.
            EnvironmentProblem: the machine does not allow what is asked for, or it is full.
        """
        with scratch_folder() as scratch:
            return self._in(scratch, images, controller)

    def _in(self, scratch: Path, images: ImageSet, controller: Controller) -> Released:
        _write_inputs(scratch / "input", images)
        (scratch / "output").mkdir()
        outcome = self._run(scratch, controller)
        self.isolation, self.peak_memory_mb = outcome.isolation + self._may_read(), outcome.peak_memory_mb
        found = read_outputs(scratch / "output", images.keys, images.size)
        failed = self._failure(outcome, released=not bool(found.missing.all()), note=found.note)
        keep_log(self._described.name, outcome, failed or found.note or "done")
        if failed:
            raise EntrantError(self._explained(failed, outcome, scratch))
        controller.progress(len(images))
        return Released(found.images, {NOTE: found.note} if found.note else {}, found.missing if found.note else None)

    def _run(self, scratch: Path, controller: Controller) -> Outcome:
        from benchmark.sandbox import run_contained

        given, wanted = scratch / "input", scratch / "output"
        values = self._known(given, wanted, controller.seed, controller.device)
        try:
            return run_contained(
                self._words(given, wanted, controller.seed, controller.device),
                scratch=scratch,
                env={name: fill(text, values) for name, text in self._described.env.items()},
                limits=self._described.limits,
                reads=[self._place(fill(read, values)) for read in self._described.reads],
                private=[cache_root(), *_own_data(), *getattr(controller, "private", ())],
                here=self._here,
                gpu=controller.device.startswith("cuda"),
                programs=self._programs,
                covered=getattr(controller, "covered", ()),
            )
        except UsageError as error:
            raise UsageError(f"{self._described.name}: {error}") from error

    def _place(self, read: str) -> Path:
        try:
            return self._here / Path(read).expanduser()
        except RuntimeError as error:
            raise UsageError(
                f"'{one_line(read)}' in 'reads' of {FILE} names a person this machine does not know; write the whole path"
            ) from error

    def _known(self, given: Path, wanted: Path, seed: int, device: str) -> dict[str, ParamValue]:
        own = (str(given), str(wanted), str(self._here), sys.executable, seed, device)
        return {**self._values, **dict(zip(PLACEHOLDERS, own, strict=True))}

    def _words(self, given: Path, wanted: Path, seed: int, device: str) -> list[str]:
        values = self._known(given, wanted, seed, device)
        return [fill(word, values) for word in self._described.command]

    def _failure(self, outcome: Outcome, released: bool, note: str) -> str:
        """What went wrong, in words that are the same in every run; nothing where all is well."""
        if outcome.stopped_by:
            return f"the command was ended: {_broken(outcome.stopped_by, outcome.limits, self._described.limits)}"
        if outcome.returncode != 0:
            return f"the command ended with exit code {outcome.returncode}"
        return "" if released else f"the command released no image ({note})"

    def _explained(self, failed: str, outcome: Outcome, scratch: Path) -> str:
        line = outcome.stderr.last_line
        for path, name in ((scratch, ""), (self._here, "{here}")):
            line = line.replace(str(path), name)
        said = f"; it said: {one_line(line)[:_SHOWN]}" if line else ""
        where = f"logs/{self._described.name} in the cache folder"
        return f"{self._described.name}: {failed}{said}. All it printed is in the newest file of {where}"


def _broken(name: str, held: Limits, own: Limits) -> str:
    """Which limit was broken, and where it comes from if it is narrower than the description's."""
    text, field = _LIMITS[name]
    if getattr(held, field) >= getattr(own, field):
        return f"{text.format(own)} (limits.{field})"
    return f"{text.format(held)}, {_NARROWER[field]}"


def _shortened(text: str) -> str:
    more = len(text) - _TOLD
    return one_line(text[:_TOLD]) + (f" ... and {more} characters more, see {FILE}" if more > 0 else "")


def _own_data() -> list[Path]:
    given = os.environ.get("ANONBENCH_DATA")
    return [Path(given).expanduser()] if given else []


def _write_inputs(folder: Path, images: ImageSet) -> None:
    """The images, all of one time: order and time of files say nothing about people.

    Raises:
        EnvironmentProblem: the disk is full.
    """
    try:
        folder.mkdir()
        for key, image in zip(images.keys, images.images, strict=True):
            path = folder / f"{key}.png"
            path.write_bytes(encode_png(image))
            os.utime(path, (0, 0))
    except OSError as error:
        raise EnvironmentProblem(
            f"the images cannot be written to {folder.parent.parent} ({error.strerror}); free some space there, or set "
            "TMPDIR to a folder on another disk"
        ) from error


def keep_log(name: str, outcome: Outcome, result: str) -> None:
    """Keeps what a command printed under ``logs/<name>`` of the cache, the newest ``LOGS`` of it."""
    folder = cache_root() / "logs" / name
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    facts = f"{result}\nexit code {outcome.returncode}, {outcome.seconds:.2f} s, {outcome.isolation}\n"
    text = f"{facts}\n--- standard output\n{outcome.stdout.text}\n--- standard error\n{outcome.stderr.text}\n"
    write_atomic(folder / f"{moment}.txt", text.encode(errors="replace"))
    for old in sorted(folder.glob("*.txt"))[:-LOGS]:
        old.unlink(missing_ok=True)
