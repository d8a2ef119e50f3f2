"""The public data sets known by name: where they come from, what may be done with them, how to read them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from benchmark.decode import one_line
from benchmark.errors import UsageError, did_you_mean
from benchmark.protocols import Progress, silent
from suites.folder import layouts
from suites.folder.attributes import YOUNG_OLD, Grouping, is_numeric
from suites.folder.data import FolderData, Listing, cut_at, read_listing
from suites.folder.listing import exists

DATA_HOME = "ANONBENCH_DATA"
"""Environment variable that names the folder of all data sets: each lies in a sub-folder of its own name."""


@dataclass(frozen=True)
class Dataset:
    """A public data set.

    Attributes:
        name: what to call it on the command line, and the name of its folder in ``$ANONBENCH_DATA``.
        title: its full name.
        licence: what its owners allow, in a few words.
        source: where to get it.
        parse: reads its layout.
        groups: how its numeric attributes are grouped.
        least: people with fewer photographs are left out.
    """

    name: str
    title: str
    licence: str
    source: str
    parse: Callable[[Path], Listing]
    groups: Mapping[str, Grouping] = field(default_factory=lambda: MappingProxyType({}))
    least: int = 1


_ALL = (
    Dataset(
        "att",
        "AT&T (ORL) Database of Faces",
        "free for research, credit to AT&T Laboratories Cambridge",
        "https://cam-orl.co.uk/facedatabase.html",
        layouts.plain,
    ),
    Dataset(
        "london",
        "Face Research Lab London Set",
        "CC BY 4.0",
        "https://doi.org/10.6084/m9.figshare.5047666",
        layouts.plain,
        {"age": YOUNG_OLD},
    ),
    Dataset(
        "utkface",
        "UTKFace",
        "non-commercial research only",
        "https://susanqq.github.io/UTKFace/",
        layouts.utkface,
        {"age": YOUNG_OLD},
    ),
    Dataset(
        "celeba",
        "CelebFaces Attributes (CelebA)",
        "non-commercial research only",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        layouts.celeba,
    ),
    # Ten photographs are seven to enrol and three to probe: 158 people of LFW have that many.
    Dataset(
        "lfw",
        "Labeled Faces in the Wild",
        "research use; the photographs belong to their publishers",
        "http://vis-www.cs.umass.edu/lfw/",
        layouts.lfw,
        least=10,
    ),
    Dataset(
        "mtf",
        "Multi-Task Faces, curated",
        "research use; the licence of each photograph is that of its source",
        "https://github.com/RamiHaf/MTF_data_set",
        layouts.mtf,
    ),
)
DATASETS: Mapping[str, Dataset] = MappingProxyType({dataset.name: dataset for dataset in _ALL})
"""All data sets by name."""


def find_dataset(name: str) -> Dataset:
    """The data set called ``name``.

    Raises:
        UsageError: there is none.
    """
    if name not in DATASETS:
        raise UsageError(f"there is no data set '{one_line(name)}'.{did_you_mean(name, DATASETS)}")
    return DATASETS[name]


def find_data(name: str, given: Path | None = None) -> Path:
    """Where the files of a data set lie.

    Args:
        name: name of the data set.
        given: the folder the user named, if any; else it is ``$ANONBENCH_DATA/name``.

    Raises:
        UsageError: nothing is there; the message says where to get the data, their licence and what to type.
    """
    dataset, home = find_dataset(name), os.environ.get(DATA_HOME, "")
    folder = given or (Path(home) / name if home else None)
    if folder is not None and exists(folder):
        return folder
    place = f"{one_line(folder)} does not exist" if folder else f"${DATA_HOME} is not set and no folder was named"
    raise UsageError(
        f"{dataset.title} is not here: {place}; get it from {dataset.source} (licence: {dataset.licence}), "
        f"put it into ${DATA_HOME}/{name}, or type: anonbench run {name} --data DIR"
    )


def load_dataset(
    name: str,
    given: Path | None,
    size: int,
    groups: Mapping[str, Sequence[float]] = MappingProxyType({}),
    progress: Progress = silent,
    least: int | None = None,
) -> FolderData:
    """Finds and reads a data set.

    Args:
        name: name of the data set.
        given: its folder, or None for ``$ANONBENCH_DATA/name``.
        size: side in pixels that images are cropped and resized to.
        groups: cut points of numeric attributes, in place of the data set's own.
        progress: told 1 after each image.
        least: fewest photographs of a person, in place of the data set's own.

    Raises:
        AnonbenchError: the data are absent or cannot be used.
    """
    dataset = find_dataset(name)
    listing = dataset.parse(find_data(name, given))
    wanted = {**_fitting(dataset.groups, listing), **cut_at(groups)}
    return read_listing(listing, size, wanted, progress, dataset.least if least is None else least)


def _fitting(groups: Mapping[str, Grouping], listing: Listing) -> dict[str, Grouping]:
    """The data set's own groupings of columns that this copy has, and has as numbers."""
    table = listing.table
    return {name: group for name, group in groups.items() if name in table and is_numeric(table[name].tolist())}
