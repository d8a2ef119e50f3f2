"""Commands that only look: ``list``, ``show``, ``data``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from benchmark.errors import EnvironmentProblem, UsageError, did_you_mean

KINDS = ("anonymizers", "metrics", "suites")
FORMAT = click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
Rows = Sequence[Mapping[str, Any]]


def print_rows(rows: Rows, form: str) -> None:
    """Prints a listing as an aligned table, JSON, or CSV."""
    if form == "json":
        click.echo(json.dumps(list(rows), indent=1, ensure_ascii=False))
    elif form == "csv":
        import csv
        import sys

        writer = csv.DictWriter(sys.stdout, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print_table(rows)


def _print_table(rows: Rows) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(highlight=False, markup=False, soft_wrap=False).print(table)


@click.command("list")
@click.argument("kind", type=click.Choice(KINDS), default="anonymizers")
@FORMAT
def list_(kind: str, form: str) -> None:
    """Lists what is registered: anonymizers, metrics or suites."""
    from benchmark.registry import first_line, load, names

    rows = []
    for name in names(kind):  # type: ignore[arg-type]
        try:
            thing = load(kind, name)  # type: ignore[arg-type]
        except EnvironmentProblem as error:
            rows.append({"name": name, "parameters": "", "about": str(error)})
            continue
        rows.append(
            {"name": name, "parameters": _signature(thing), "about": getattr(thing, "title", "") or first_line(thing)}
        )
    if kind == "suites":
        rows = [{key: value for key, value in row.items() if key != "parameters"} for row in rows]
    print_rows(rows, form)


def _signature(thing: Any) -> str:
    from benchmark.specs import parameters

    if not isinstance(thing, type):
        return ""
    known = parameters(thing).values()
    return ", ".join(part.name if part.default is part.empty else f"{part.name}={part.default}" for part in known)


@click.command()
@click.argument("name")
@FORMAT
def show(name: str, form: str) -> None:
    """Shows one anonymizer, metric or suite: what it does, its parameters, its source.

    NAME may also be a file, folder or archive, as after -e.
    """
    from benchmark.entrants.finding import is_place
    from benchmark.registry import find_anonymizer, load, names
    from benchmark.specs import parse_spec

    spec = parse_spec(name)
    if is_place(spec.family) and spec.family not in names("anonymizers"):
        print_rows(_rows(find_anonymizer(spec.family).factory, "anonymizer"), form)
        return
    kinds = [kind for kind in KINDS if spec.family in names(kind)]  # type: ignore[arg-type]
    if not kinds:
        known = [other for kind in KINDS for other in names(kind)]  # type: ignore[arg-type]
        raise UsageError(f"nothing is called '{name}'.{did_you_mean(spec.family, known)} Try: anonbench list")
    thing = load(kinds[0], spec.family)  # type: ignore[arg-type]
    print_rows(_suite_rows(thing) if kinds[0] == "suites" else _rows(thing, kinds[0][:-1]), form)


def _rows(thing: Any, kind: str) -> Rows:
    from benchmark.records import MetricCard
    from benchmark.specs import parameters

    rows = [{"field": "kind", "value": kind}, {"field": "about", "value": inspect.getdoc(thing) or ""}]
    rows += [{"field": name, "value": _words(thing, name)} for name in ("source", "uses") if _words(thing, name)]
    card = getattr(thing, "card", None)
    if isinstance(card, MetricCard):
        rows += [{"field": key, "value": str(value)} for key, value in card.model_dump().items()]
    return [
        *rows,
        *({"field": f"parameter {part.name}", "value": _parameter(thing, part)} for part in parameters(thing).values()),
    ]


def _words(thing: Any, name: str) -> str:
    value = getattr(thing, name, "")
    return ", ".join(sorted(value)) if isinstance(value, frozenset) else str(value)


def _parameter(thing: Any, part: Any) -> str:
    field = getattr(thing, "__pydantic_fields__", {}).get(part.name)
    words = [*_choices(getattr(field, "annotation", None)), getattr(field, "description", None)]
    return "; ".join([_default(part.default), *(word for word in words if word)])


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    return "not set" if value is None else f"default {value}"


def _choices(annotation: Any) -> list[str]:
    """The words a parameter may be, as one text."""
    literal = next((part for part in (annotation, *get_args(annotation)) if get_origin(part) is Literal), None)
    words = [] if literal is None else [str(word) for word in get_args(literal)]
    return [" | ".join(words)] if len(words) > 1 else []


def _suite_rows(factory: Any) -> Rows:
    facts = {"kind": "suite", "about": factory.title, **factory.describe()}
    return [{"field": name, "value": value} for name, value in facts.items()]


@click.command()
@click.argument("suite", required=False)
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the images, for suites that read one.")
@click.option("--size", type=click.IntRange(16, 1024), help="Side of the images in pixels.")
@click.option("--group", "groups", multiple=True, metavar="NAME=CUT[,CUT]", help="Where to cut a numeric attribute.")
@FORMAT
def data(suite: str | None, data: Path | None, size: int | None, groups: tuple[str, ...], form: str) -> None:
    """Shows which data are there; with SUITE, reads them and counts images and people per split."""
    if suite is None:
        print_rows(_sources(), form)
        return
    from rich.console import Console

    from benchmark.cli.options import SuiteChoice
    from benchmark.machine import use_threads
    from benchmark.progress import reporter

    use_threads(None)
    report = reporter(Console(stderr=True))
    opened = SuiteChoice(suite, data, size, groups, None).open(report=report)
    print_rows(
        [_split_row(name, opened.images(name, report)) for name in ("background", "enrol", "probe", "spare")], form
    )


def _split_row(name: str, images: Any) -> dict[str, Any]:
    people = len(images.identity.values.unique()) if images.identity is not None else "unknown"
    attributes = ", ".join(f"{key} ({'/'.join(labels.classes)})" for key, labels in images.attributes.items())
    return {
        "split": name,
        "images": len(images),
        "people": people,
        "size": "x".join(map(str, images.size)),
        "attributes": attributes,
    }


def _sources() -> Rows:
    from benchmark.registry import load, names

    return [{"suite": name, "data": load("suites", name).whereabouts} for name in names("suites")]
