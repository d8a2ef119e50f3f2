"""Options that several commands share, and what is opened from them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmark.errors import UsageError
from benchmark.protocols import Report, quiet

if TYPE_CHECKING:
    from benchmark.pipeline import Pipeline
    from benchmark.protocols import Suite
    from benchmark.registry import Entrant

FOLDER = click.Path(path_type=Path, readable=False)


def stacked(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One decorator out of several."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


suite_options = stacked(
    click.argument("suite"),
    click.option("--data", type=FOLDER, help="Folder with the images, for suites that read one."),
    click.option(
        "--size", type=click.IntRange(16, 1024), help="Side of the images in pixels, for suites that read a folder."
    ),
    click.option(
        "--group",
        "groups",
        multiple=True,
        metavar="NAME=CUT[,CUT]",
        help="Where to cut a numeric attribute, as in age=45.",
    ),
    click.option("--referee", help="Architecture of the referees of a folder: small-resnet or convnext-base."),
)  # fmt: skip
run_options = stacked(
    click.option(
        "-e", "--entrant", "entrants", multiple=True, metavar="SPEC",
        help="An entrant, as in 'blur(kernel=9)'; repeat for more. Default: the suite's list.",
    ),
    click.option(
        "-m", "--metric", "metrics", multiple=True, metavar="SPEC",
        help="A metric beyond the suite's own, as in 'lpips(net=alex)'; repeat for more.",
    ),
    click.option("--out", type=FOLDER, help="Folder of the records and the board. Default: leaderboard/SUITE."),
    click.option(
        "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default="0", metavar="N",
        help="Seed of the entrants' randomness.",
    ),
    click.option("--threads", type=click.IntRange(1), help="Computing threads. Default: the cores that are idle."),
    click.option(
        "--batch-size", type=click.IntRange(1), default=64, show_default=True,
        help="Images per batch; no number depends on it.",
    ),
    click.option("--device", help="Torch device. Default: cuda where there is one, else cpu."),
)  # fmt: skip


@dataclass(frozen=True)
class SuiteChoice:
    """What was typed about the suite."""

    suite: str
    data: Path | None
    size: int | None
    groups: tuple[str, ...]
    referee: str | None

    @property
    def label(self) -> str:
        """Name for folders and headings: the suite's, with the data folder's for ``folder``."""
        return f"{self.suite}-{self.data.resolve().name}" if self.suite == "folder" and self.data else self.suite

    def open(self, device: str = "cpu", report: Report = quiet) -> Suite:
        """Opens the suite."""
        from benchmark.protocols import SuiteOptions
        from benchmark.registry import load
        from benchmark.store import cache_root

        store, groups = cache_root() / "store", parse_groups(self.groups)
        options = SuiteOptions(store, self.data, self.size, groups, self.referee, device, report)
        suite: Suite = load("suites", self.suite)(options)
        return suite


def parse_groups(texts: tuple[str, ...]) -> Mapping[str, list[float]]:
    """Parses ``age=45`` and ``age=18,65``.

    Raises:
        UsageError: not of that form.
    """
    groups: dict[str, list[float]] = {}
    for text in texts:
        name, _, cuts = text.partition("=")
        try:
            groups[name] = sorted(float(cut) for cut in cuts.split(","))
        except ValueError as error:
            raise UsageError(f"--group {text}: write NAME=CUT or NAME=CUT,CUT, as in --group age=45") from error
    return groups


def open_pipeline(
    choice: SuiteChoice,
    out: Path | None,
    threads: int | None,
    batch_size: int,
    device: str | None,
    metrics: tuple[str, ...] = (),
) -> Pipeline:
    """Prepares the machine and opens suite, store and output folder."""
    from rich.console import Console

    from benchmark.machine import checked_device, choose_device, use_threads
    from benchmark.pipeline import Pipeline
    from benchmark.progress import reporter
    from benchmark.release import Settings
    from benchmark.store import Store, cache_root

    chosen = checked_device(device) if device else choose_device()
    _check_out(out)
    store, folder = Store(cache_root() / "store"), out or default_out(choice)
    places = (cache_root(), choice.data, os.environ.get("ANONBENCH_DATA"))
    settings = Settings(
        batch_size=batch_size,
        device=chosen,
        threads=use_threads(threads),
        private=tuple(Path(place).expanduser().resolve() for place in places if place),
        covered=(folder.resolve(),),
    )
    report = reporter(Console(stderr=True))
    suite = choice.open(chosen, report)
    return Pipeline(suite, store, folder, settings, report, extra_metrics=metrics)


def _check_out(out: Path | None) -> None:
    if out is not None and any(part.exists() and not part.is_dir() for part in (out, *out.parents)):
        raise UsageError(f"--out {out}: a file is in the way; name a folder")


def default_out(choice: SuiteChoice) -> Path:
    """Where records and board go if nobody says."""
    return Path("leaderboard") / choice.label


def build_entrants(specs: tuple[str, ...], suite: Suite) -> list[Entrant]:
    """Builds all entrants before any of them runs, so that a typing error costs nothing."""
    found: dict[str, tuple[str, Entrant]] = {}
    for text in specs or tuple(suite.entrants):
        entrant = _built(text)
        typed, other = found.setdefault(entrant.facts.name, (text, entrant))
        if other.facts != entrant.facts:
            raise UsageError(
                f"'{typed}' and '{text}' are different and both give rows called '{other.facts.name}'; rename one of them"
            )
    return [entrant for _, entrant in found.values()]


def _built(text: str) -> Entrant:
    """An entrant; released images that are refused become one that fails, and do not stop the others."""
    from benchmark.entrants.refused import refused
    from benchmark.registry import build_entrant
    from benchmark.specs import parse_spec

    try:
        return build_entrant(text)
    except UsageError as error:
        stand_in = refused(parse_spec(text).family, error)
        if stand_in is None:
            raise
        return stand_in
