"""``{here}`` and the like in the words of a command."""

from __future__ import annotations

import re
from collections.abc import Mapping

from benchmark.errors import UsageError
from benchmark.files import one_line
from benchmark.records import ParamValue

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def fill(text: str, values: Mapping[str, ParamValue]) -> str:
    """Replaces ``{name}`` by its value and doubled braces by single ones; nothing else is understood.

    Truth values are written ``true`` and ``false``. What a value holds is not looked at again.

    Raises:
        UsageError: a name is unknown, or a brace stands alone.
    """

    def piece(match: re.Match[str]) -> str:
        found = match.group(0)
        if found in ("{{", "}}"):
            return found[0]
        return _value(match.group(1), text, values)

    filled = _PIECE.sub(piece, text)
    if "\0" in filled:
        raise UsageError(f"'{one_line(text)}' gets a character NUL, which no command can hold; take it away")
    return filled


def _value(name: str | None, text: str, values: Mapping[str, ParamValue]) -> str:
    if name is None:
        raise UsageError(f"'{one_line(text)}' has a single brace; write {{{{ or }}}} where one is meant as it is")
    if name not in values:
        known = ", ".join(sorted(values))
        raise UsageError(f"'{one_line(text)}' names {{{one_line(name)}}}, which is not known. Known: {known}")
    value = values[name]
    return str(value).lower() if isinstance(value, bool) else str(value)
