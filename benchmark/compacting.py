"""Rewrites what lies beside records as small as it is written today; no number and no pixel changes.

    python -m benchmark.compacting RESULT...

Results of earlier versions hold larger files. Records themselves, their ids and the originals, which are named by their
content, stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmark.decode import decode_png, encode_png
from benchmark.pipeline import parquet
from benchmark.store import write_atomic
from benchmark.submission.places import TABLE, places_under


def compact(result: Path) -> int:
    """Rewrites tables and released examples of a result folder where that makes them smaller.

    Returns:
        Bytes saved.

    Raises:
        UsageError: there is no such folder.
        NothingComparable: it holds no records.
    """
    return sum(_replaced(path, data) for place in places_under(result) for path, data in _smaller(place.folder))


def _smaller(folder: Path) -> Iterator[tuple[Path, bytes]]:
    import pandas as pd

    if (folder / TABLE).is_file():
        frame = pd.read_parquet(folder / TABLE)
        yield folder / TABLE, parquet({name: frame[name] for name in frame.columns})
    for path in sorted(folder.glob("examples/*-released.png")):
        yield path, encode_png(decode_png(path.read_bytes()), small=True)


def _replaced(path: Path, data: bytes) -> int:
    saved = path.stat().st_size - len(data)
    if saved > 0:
        write_atomic(path, data)
    return max(0, saved)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}: {compact(Path(name))} bytes saved\n")
