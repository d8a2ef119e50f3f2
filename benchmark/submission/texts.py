"""Rules about the texts of a record: what cannot be shown as it is, what is too long, and names that look like none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from benchmark.records import Record

if TYPE_CHECKING:
    from benchmark.submission.facts import Finding

LONGEST_TEXT = 2000
LONGEST = {
    "entry.name": 120, "entry.family": 120, "entry.version": 120, "entry.display_name": 200, "entry.authors": 200,
    "entry.licence": 200, "entry.source": 500, "entry.description": 500, "entry.training_data": 500,
    "claims.submitted_by": 200, "claims.reproduced_by": 200, "claims.conflict_of_interest": 500,
    "claims.training_overlap": 500, "suite.description": 500, "notes": 500, "flags": 500, "scores.flags": 500,
    "scores.reason": 500, "scores.refused": 500,
}  # fmt: skip
"""Characters by field; fields inside of them count as they do."""
LONGEST_FIELD = 60
"""Of a field's name, as it is told."""
MOST_NOTES = 30
MOST_MARKS = 3
"""Accents and the like on one letter: more of them paint over the lines around."""
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters by class that show nothing."""
NAMED = ("entry.name", "entry.display_name", "entry.authors", "claims.submitted_by", "claims.reproduced_by")
SHORTEN = "Shorten it and run again"


def findings_of_texts(record: Record) -> Iterator[Finding]:
    """Texts that cannot be shown as they are, are too long, or look like none; and links that are none."""
    for where, text in _strings(record.model_dump(mode="json")):
        yield from _of_text(where, text)  # in a mapping, names come from the record too
    if len(record.notes) > MOST_NOTES:
        yield "text", f"it has {len(record.notes)} notes; at most {MOST_NOTES}", "Publish fewer and run again"
    models = [*record.entry.weights, *record.suite.referees]
    for link in [record.entry.code_url, *(model.url for model in models)]:
        if link and not re.fullmatch(r"https?://[^\s<>\"'`\\]+", link, flags=re.IGNORECASE):
            yield "text", f"{link} is no link", "Give an address that begins with http:// or https://, or none"


def _strings(value: object, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a record, names of entries included, with the field it stands in."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield where, str(name)
            yield from _strings(part, f"{where}.{name}".strip("."))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _strings(part, where)


def _of_text(field: str, text: str) -> Iterator[Finding]:
    where = field if len(field) <= LONGEST_FIELD else f"{field[:LONGEST_FIELD]}..."
    if not text.isprintable():
        bad = next(char for char in text if not char.isprintable())
        said = f"{where} holds a character that cannot be printed, U+{ord(bad):04X}"
        yield "text", said, "Take it out and run again"
    limit = longest(field)
    if len(text) > limit:
        yield "text", f"{where} has {len(text)} characters; at most {limit}", SHORTEN
    if most_marks(text) > MOST_MARKS:
        yield "text", f"{where} holds more than {MOST_MARKS} combining marks in a row", "Take them out and run again"
    if where in NAMED and text and looks_empty(text):
        yield "text", f"{where} looks like nothing", "Give a name that can be seen"


def longest(where: str) -> int:
    """Characters a field may have: its own limit, or that of the field it lies in."""
    parts = where.split(".")
    own = (LONGEST.get(".".join(parts[:count])) for count in range(len(parts), 0, -1))
    return next((limit for limit in own if limit is not None), LONGEST_TEXT)


def most_marks(text: str) -> int:
    """The longest run of combining marks."""
    if text.isascii():
        return 0
    runs = groupby(text, key=lambda char: unicodedata.category(char) in ("Mn", "Me"))
    return max((len(list(run)) for marks, run in runs if marks), default=0)


def looks_empty(text: str) -> bool:
    """Whether nothing of a text can be seen."""
    return all(char in BLANK or unicodedata.category(char)[0] in "ZCM" for char in text)
