"""The examination of images that were released elsewhere: nothing can be called, so the files are looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmark.conformance.examination import Finding
from benchmark.decode import decode_whole
from benchmark.entrants.manifest import FOLDERS
from benchmark.entrants.precomputed import PrecomputedEntrant
from benchmark.errors import AnonbenchError
from benchmark.protocols import Report


def look_at_files(entrant: PrecomputedEntrant, report: Report) -> Iterator[Finding]:
    """Counts the files of a precomputed entrant, whose hashes were verified when it was built, and decodes them."""
    counts = {part: entrant.manifest.count(part) for part in FOLDERS}
    yield Finding("files", "pass", "; ".join(f"{part}: {count}" for part, count in counts.items()))
    if entrant.extra:
        yield Finding("files", "note", f"{entrant.extra} more that the manifest does not list; they are ignored")
    missing = [part for part, count in counts.items() if not count]
    if missing:
        text = f"there is no {' and no '.join(missing)}: attackers that learn from such images cannot run"
        yield Finding("attackers", "note", f"{text}, so it is not ranked by risk. Say anonbench export SUITE --out DIR")
    yield _images([entrant.folder / name for name in entrant.manifest.files], report)


def _images(paths: list[Path], report: Report) -> Finding:
    """Whether all files are images of one size."""
    sizes: Counter[tuple[int, ...]] = Counter()
    with report("decode the released images", len(paths)) as progress:
        for path in paths:
            try:
                sizes[tuple(decode_whole(path).shape[1:])] += 1
            except AnonbenchError as error:
                return Finding("images", "fail", str(error))
            progress(1)
    shown = ", ".join(f"{height} x {width}: {count}" for (height, width), count in sizes.most_common(3))
    if len(sizes) == 1:
        return Finding("images", "pass", f"all are images of one size ({shown})")
    return Finding("images", "fail", f"they have {len(sizes)} sizes ({shown}); all must have the size of the suite's")
