"""Boards in which every field that takes a text says something hostile."""

from __future__ import annotations

import re
import types
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter, ValidationError

from benchmark.board.load import LoadedRecord, LoadedTable, LoadedTuning
from benchmark.board.render import write_board
from benchmark.board.reported import LoadedSource
from benchmark.correlations import CorrelationTable
from benchmark.records import Group, Record
from benchmark.reported import ReportedSource
from benchmark.tuning import Tuning

MARK = "document.documentElement.id=/executed/.source"
EVIL = {
    "script": f"<script>{MARK}</script>",
    "attribute": f'"><img src=x-evil onerror="{MARK}"><x-evil a=\'b\'>',
    "single quotes": f"'><svg onload='{MARK}'><x-evil>",
    "handler": f'" onmouseover="{MARK}" onfocus="{MARK}" autofocus x="',
    "address": f"javascript:void({MARK})",
    "end of data": f"</script><script>{MARK}</script>",
    "end of text": f"</textarea></title></style>--><!--<x-evil><script>{MARK}</script>",
    "template": "{{7*7}}{% raw %}${7*7}#{7*7}<%= 7*7 %>",
    "plot": f'<a href="javascript:void({MARK})">a</a><b onclick="{MARK}">%{{text}}</b>&lt;script&gt;{MARK}&lt;/script&gt;',
    "marks": "\u202eright to left\u2066\u0000../../\u2028`'\"\\",
}
ALL = "".join(EVIL.values()).replace("\u0000", "")
PLAIN = "PLAIN"
ADDRESS = "https://example.org/"


# Models with the same text in every field that takes one


def filled(annotation: Any, text: str) -> Any:
    """Plain data that fits ``annotation``, with ``text`` wherever a string may stand, keys included."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {
            name: filled(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation, text)
            for name, field in annotation.model_fields.items()
        }
    if origin is Annotated:
        inner = filled(arguments[0], text)
        return inner if isinstance(inner, dict | list) else fitting(annotation, text)
    if origin in (Union, types.UnionType):
        return filled(max(arguments, key=preference), text)
    if origin is tuple:
        parts = arguments[:1] if arguments[-1] is Ellipsis else arguments
        return [filled(part, text) for part in parts]
    if origin is dict:
        return {text: filled(arguments[1], text)}
    return fitting(annotation, text)


def preference(annotation: Any) -> int:
    """Of a choice: a text before a part, a part before a number, anything before nothing."""
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if kind is str:
        return 3
    return 0 if kind is type(None) else 2 if get_origin(kind) or issubclass(kind, BaseModel) else 1


def fitting(annotation: Any, text: str) -> Any:
    """The first value that a field takes: the text, what of it can be printed, a web address with it, and so on."""
    printable = "".join(char for char in text if char.isprintable())
    texts = (text, printable, printable[:600], ADDRESS + quote(printable), ADDRESS)
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    for candidate in (*texts, True, 0.5, 1, 2000, date(2026, 1, 1), Decimal("0.5"), *literals(annotation)):
        try:
            adapter.validate_python(candidate, strict=True)
        except ValidationError:
            continue
        return candidate
    raise AssertionError(f"nothing fits {annotation}")


def literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


# A board of such models


def record(text: str, variant: str, **more: Any) -> Record:
    """A record that a board shows, its texts filled; ``variant`` tells entrants of one board apart."""
    data = filled(Record, text)
    data["metrics"] = [
        {**card, "name": f"{card['name']}{group}", "group": group, "range": (0.0, 1.0)}
        for card in data["metrics"]
        for group in get_args(Group)
    ]
    value = data["scores"][0]
    absent = {"value": None, "status": "failed", "interval": None}
    scores = [{**value, "metric": card["name"], **more.get("score", {})} for card in data["metrics"]]
    data["scores"] = [*scores[:-1], {**scores[-1], **absent}]
    if more.pop("own", False):  # a measure that other entrants do not have
        data["metrics"].append({**data["metrics"][0], "name": f"{data['metrics'][0]['name']}own", "about_claim": True})
        data["scores"].append({**scores[0], "metric": data["metrics"][-1]["name"]})
    data["result_id"], data["supersedes"] = f"{text}{variant}", f"{text}another one"
    data["entry"]["name"] = f"{text}{variant}"
    data |= {"invalidated": None, **{key: value for key, value in more.items() if key != "score"}}
    return Record.model_validate(data)


def records(text: str) -> list[tuple[int, Record]]:
    """All ways in which a board shows a record: flagged, ranked, claimed, failed and withdrawn; each with its entrant."""
    calm: dict[str, Any] = {"flags": {}, "score": {"flags": {}}}
    parts = filled(Record, text)
    return [
        (0, record(text, "flagged")),
        (1, record(text, "ranked", **calm, status="partial", own=True)),
        (1, record(text, "ranked", **calm, seed=5)),
        (2, record(text, "claimed", **calm, claims={**parts["claims"], "reproduced_by": ""}, trace=None)),
        (3, record(text, "failed", status="failed")),
        (4, record(text, "withdrawn", invalidated=parts["invalidated"])),
    ]


def correlations(text: str) -> CorrelationTable:
    data = filled(CorrelationTable, text)
    row = data["rows"][0]
    value, reason = {**row, "reason": ""}, {**row, "spearman": None, "kendall": None, "split": f"{text}2"}
    return CorrelationTable.model_validate({**data, "splits": [text, f"{text}2"], "rows": [value, reason]})


def tunings(text: str, measured: Record) -> list[Tuning]:
    """A report with a suggested value, that of ``measured``, and one without."""
    data = filled(Tuning, text)
    card, curve = data["metrics"][0], data["curves"][0]
    own = {"family": measured.entry.family, "params": {}, "entry_hash": measured.entry.entry_hash}
    numbers: dict[str, object] = {name: [0.5, None] for name in ("values", "low", "high", "allowed")}
    numbers["details"] = {"groups": [9, None], "groups above 1/size": [1, None]}
    data |= {"values": [0.5, 2], **own, "metrics": [card], "curves": [{**curve, **numbers, "metric": card["name"]}]}
    data |= {"failures": {"2": text}, "suite_hash": measured.suite.suite_hash}
    knee = {"no_knee": "", "knee": {**data["knee"], "value": 0.5}}
    return [Tuning.model_validate({**data, **part}) for part in (knee, {"knee": None})]


def board(folder: Path, text: str) -> dict[str, str]:
    """Renders a board into ``folder / "board"``; its pages by address."""
    name = re.sub(r"[/\0]", "", text).encode()[:100].decode(errors="ignore")
    loaded = []
    for entrant, one in records(text):
        path = folder / "records" / f"{entrant}{name}" / f"seed-{one.seed}" / "record.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.model_dump_json())
        loaded.append(LoadedRecord(path, one))
    table = LoadedTable(folder / "correlations" / f"{name}.json", correlations(text))
    source = LoadedSource(folder / f"{name}.toml", ReportedSource.model_validate(filled(ReportedSource, text)))
    reports = [LoadedTuning(folder / "tuning" / f"{name}.json", one) for one in tunings(text, loaded[1].record)]
    write_board(loaded, [table], folder / "board", [source], reports)
    return pages_of(folder / "board")


def pages_of(folder: Path) -> dict[str, str]:
    pages = sorted(folder.rglob("*.html"))
    return {str(page.relative_to(folder)): page.read_text(encoding="utf-8") for page in pages}
