"""A command as an anonymizer: a folder of images in, a folder of images out.

The command gets ``<key>.png`` files (8-bit RGB, all of one size) in ``{input}`` and writes as many to ``{output}``. It
runs in an empty scratch folder, kept apart from the machine by ``benchmark.sandbox``, with the limits of its
description. What is read back, and what counts as missing, says ``benchmark.entrants.outputs``. Exit code 0 with some
of the images is a release with missing images; another exit code, a broken limit or no image at all is a failure.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.decode import encode_png, one_line, read_file
from benchmark.entrants.described import FILE, PLACEHOLDERS, DescribedProcess
from benchmark.entrants.outputs import read_outputs
from benchmark.entrants.placeholders import fill
from benchmark.errors import EntrantError, UsageError
from benchmark.hashing import sha256_bytes, sha256_file, sha256_json
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
_FACTS = (
    "deterministic", "description", "version", "source", "authors", "licence", "code_url", "training_data", "weights",
)  # fmt: skip
_LIMITS = {
    "time": ("it took longer than its {0.seconds:g} seconds", "seconds"),
    "memory": ("it used more memory than its {0.memory_mb:g} MB", "memory_mb"),
    "processes": ("it had more than its {0.processes} processes and threads", "processes"),
    "output": ("it wrote more than its {0.output_mb:g} MB, or too many files", "output_mb"),
}


class ProcessEntrant:
    """Runs a command of a stranger on the images.

    Parameters are no attributes: a stranger names them, and attributes say what the harness may do with an entrant.

    Args:
        description: what ``entrant.toml`` says.
        here: the folder it lies in.
        values: parameters that differ from their defaults.

    Raises:
        UsageError: a parameter, placeholder or pattern names something that is not there.
    """

    kind = "process"
    uses: frozenset[str] = frozenset()

    def __init__(self, description: DescribedProcess, here: Path, values: Mapping[str, ParamValue]) -> None:
        unknown = sorted(set(values) - set(description.parameters))
        if unknown:
            raise UsageError(
                f"{description.name} has no parameter '{one_line(unknown[0])}'; see [parameters] in {FILE}"
            )
        self._described, self._here = description, here.resolve()
        self._values = {**description.parameters, **values}
        self.shardable = description.shardable
        for name in _FACTS:
            setattr(self, name, getattr(description, name))
        self.isolation = ""
        self.peak_memory_mb: float | None = None
        self.entry_hash = _content(description, self._here)
        self._words(Path("input"), Path("output"), 0, "cpu")
        self._check_names()

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
            EnvironmentProblem: the machine does not allow what is asked for.
        """
        from benchmark.sandbox.ending import clear

        scratch = Path(tempfile.mkdtemp(prefix="anonbench-")).resolve()
        try:
            return self._in(scratch, images, controller)
        finally:
            clear(scratch)

    def _in(self, scratch: Path, images: ImageSet, controller: Controller) -> Released:
        _write_inputs(scratch / "input", images)
        (scratch / "output").mkdir()
        outcome = self._run(scratch, controller)
        self.isolation, self.peak_memory_mb = outcome.isolation, outcome.peak_memory_mb
        found = read_outputs(scratch / "output", images.keys, images.size)
        failed = self._failure(outcome, released=not bool(found.missing.all()), note=found.note)
        keep_log(self._described.name, outcome, failed or found.note or "done")
        if failed:
            raise EntrantError(self._explained(failed, outcome, scratch))
        controller.progress(len(images))
        return Released(found.images, {NOTE: found.note} if found.note else {}, found.missing if found.note else None)

    def _run(self, scratch: Path, controller: Controller) -> Outcome:
        from benchmark.sandbox import run_contained

        values = self._known(scratch / "input", scratch / "output", controller.seed, controller.device)
        return run_contained(
            self._words(scratch / "input", scratch / "output", controller.seed, controller.device),
            scratch=scratch,
            env={name: fill(text, values) for name, text in self._described.env.items()},
            limits=self._described.limits,
            reads=[self._here / Path(fill(read, values)).expanduser() for read in self._described.reads],
            private=[cache_root(), *getattr(controller, "private", ())],
            here=self._here,
            gpu=controller.device.startswith("cuda"),
        )

    def _known(self, given: Path, wanted: Path, seed: int, device: str) -> dict[str, ParamValue]:
        own = (str(given), str(wanted), str(self._here), sys.executable, seed, device)
        return {**self._values, **dict(zip(PLACEHOLDERS, own, strict=True))}

    def _words(self, given: Path, wanted: Path, seed: int, device: str) -> list[str]:
        values = self._known(given, wanted, seed, device)
        return [fill(word, values) for word in self._described.command]

    def _failure(self, outcome: Outcome, released: bool, note: str) -> str:
        """What went wrong, in words that are the same in every run; nothing where all is well."""
        if outcome.stopped_by:
            text, name = _LIMITS[outcome.stopped_by]
            return f"the command was ended: {text.format(self._described.limits)} (limits.{name})"
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


def _write_inputs(folder: Path, images: ImageSet) -> None:
    """The images, all of one time: order and time of files say nothing about people."""
    folder.mkdir()
    for key, image in zip(images.keys, images.images, strict=True):
        path = folder / f"{key}.png"
        path.write_bytes(encode_png(image))
        os.utime(path, (0, 0))


def keep_log(name: str, outcome: Outcome, result: str) -> None:
    """Keeps what a command printed under ``logs/<name>`` of the cache, the newest ``LOGS`` of it."""
    folder = cache_root() / "logs" / name
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    facts = f"{result}\nexit code {outcome.returncode}, {outcome.seconds:.2f} s, {outcome.isolation}\n"
    text = f"{facts}\n--- standard output\n{outcome.stdout.text}\n--- standard error\n{outcome.stderr.text}\n"
    write_atomic(folder / f"{moment}.txt", text.encode(errors="replace"))
    for old in sorted(folder.glob("*.txt"))[:-LOGS]:
        old.unlink(missing_ok=True)


def _content(description: DescribedProcess, here: Path) -> str:
    """sha256 over the description, the files it names, and the arguments of its command that are files of its own."""
    written = here / FILE
    said = read_file(written) if written.is_file() else description.model_dump_json().encode()
    files = {*_named(description, here), *_arguments(description, here)}
    content = {path.relative_to(here).as_posix(): sha256_file(path) for path in sorted(files)}
    return sha256_json([sha256_bytes(said), content])


def _named(description: DescribedProcess, here: Path) -> list[Path]:
    found: list[Path] = []
    for pattern in description.files:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern:
            raise UsageError(
                f"'{one_line(pattern)}' in 'files' of {FILE} leaves its folder; write it as in src/**/*.py"
            )
        matches = [path for path in here.glob(pattern) if path.is_file()]
        if not matches:
            raise UsageError(f"no file matches '{one_line(pattern)}' in 'files' of {FILE}; mend or remove the pattern")
        found += matches
    return found


def _arguments(description: DescribedProcess, here: Path) -> list[Path]:
    """Files beside the description that the command names, also behind an equals sign."""
    words = [word.replace("{here}", str(here)) for word in description.command]
    paths = [Path(part) for word in words for part in (word, word.partition("=")[2]) if part and len(part) < 1000]
    whole = [Path(os.path.normpath(path)) for path in paths if path.is_absolute()]
    return [path for path in whole if path.is_relative_to(here) and path.is_file()]
