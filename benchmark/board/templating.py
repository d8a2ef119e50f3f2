"""Templates, and what they may call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from benchmark.board import badges, cells, numbers

T = TypeVar("T")


def rendered(template: str, context: dict[str, Any]) -> str:
    """A page from its template."""
    return environment().get_template(template).render(context)


def is_link(text: str) -> bool:
    """Whether a text may become a link: http and https alone, so that no record can smuggle in a script."""
    return re.fullmatch(r"https?://[^\s<>\"']+", text, flags=re.IGNORECASE) is not None


def with_neighbours(items: Sequence[T]) -> list[tuple[T, T | None, T | None]]:
    """Every item with the one before and the one after it."""
    return list(zip(items, [None, *items[:-1]], [*items[1:], None], strict=True))


@cache
def environment() -> Environment:
    """Templates with escaping on whatever their name ends in."""
    env = Environment(
        loader=PackageLoader("benchmark.board"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.tests["link"] = is_link
    env.filters |= {"urlpath": quote, "counted": numbers.counted}
    env.globals |= {"numbers": numbers, "cells": cells, "badges": badges, "bar_width": cells.BAR_WIDTH}
    return env
