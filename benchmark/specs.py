"""Names with parameters, ``family(param=value, ...)``: how entrants and metrics are written everywhere."""

from __future__ import annotations

import ast
import inspect
import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from benchmark.errors import AnonbenchError, UsageError, did_you_mean
from benchmark.hashing import sha256_bytes
from benchmark.records import ParamValue


@dataclass(frozen=True)
class Spec:
    """A family and the parameters given for it."""

    family: str
    params: Mapping[str, ParamValue]

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={_text(value)}" for name, value in self.params.items())
        return f"{self.family}({inside})" if inside else self.family

    @property
    def slug(self) -> str:
        """The spec as a file name; where characters had to go, a hash keeps two specs apart."""
        text = str(self)
        plain = re.sub(r"[^A-Za-z0-9.=+_-]+", "-", text).strip("-")
        usual = re.fullmatch(r"[A-Za-z0-9.=+_(), -]*", text) and len(plain) <= 100
        return plain if usual else f"{plain[:100]}-{sha256_bytes(text.encode(errors='replace'))[:8]}"


def _text(value: ParamValue) -> str:
    if not isinstance(value, str):
        return str(value).removesuffix(".0")
    bare = re.fullmatch(r"[A-Za-z_][\w.+-]*", value) and _read(value) == value
    return value if bare else repr(value)


def _read(text: str) -> object:
    try:
        return parse_spec(f"f(x={text})").params["x"]
    except UsageError:
        return None


_FAMILY = r"[\w.:@+~-]+|[\w.:/@+~ -]*/[\w.:/@+~ -]*"
"""A name, or a path, which may hold spaces."""


def parse_spec(text: str) -> Spec:
    """Parses ``blur(kernel=9)``; words need no quotes: ``mask(region=eyes+mouth)``.

    Raises:
        UsageError: the text is not of that form.
    """
    name, bracket, rest = text.strip().partition("(")
    family, shown = name.strip(), ascii(text) if not text.isprintable() else f"'{text}'"
    if "/" in family and not re.fullmatch(_FAMILY, family):
        raise UsageError(
            f"{shown}: a path may hold letters, digits, spaces and . : @ + ~ - _. Rename it, or link to it"
        )
    if not re.fullmatch(_FAMILY, family) or (bracket and not rest.rstrip().endswith(")")):
        raise UsageError(f"{shown} is not an entrant or metric; write family(param=value, ...), as in blur(kernel=9)")
    call = f"f({rest}" if rest else "f()"
    try:
        return Spec(family, _params(call))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise UsageError(f"{shown} cannot be read; write {family}(param=value, ...), as in blur(kernel=9)") from error


def _params(call: str) -> dict[str, ParamValue]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)
        node = ast.parse(call, mode="eval").body
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
        raise SyntaxError("not one call with named parameters")
    given = [word.arg for word in node.keywords]
    if None in given or len(set(given)) < len(given):
        raise SyntaxError("a parameter without a name, or twice the same")
    return {str(word.arg): _value(word.value, call) for word in node.keywords}


def _value(node: ast.expr, call: str) -> ParamValue:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return ast.get_source_segment(call, node) or ""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a parameter is a finite number")
    return value if isinstance(value, bool | int | float | str) else (ast.get_source_segment(call, node) or "")


def construct(factory: Callable[..., Any], spec: Spec, typed: str = "") -> Any:
    """Calls ``factory`` with the spec's parameters; what is wrong with them becomes one line.

    Args:
        factory: what is registered, or found in a file.
        spec: with the parameters.
        typed: how the factory was named, where that is not its family.

    Raises:
        UsageError: a parameter is unknown, missing or out of range.
    """
    known = parameters(factory)
    more = f"Try: anonbench show {spec.family if typed in ('', spec.family) else repr(typed)}"
    for name in spec.params:
        if name not in known:
            hint = did_you_mean(name, known) if known else " It takes none."
            raise UsageError(f"{spec.family} has no parameter '{name}'.{hint} {more}")
    try:
        return factory(**spec.params)
    except (KeyboardInterrupt, AnonbenchError):
        raise
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        text = f"{spec}: {where}{first['msg'].removeprefix('Value error, ')}. {more}"
        raise UsageError(text) from error
    except BaseException as error:  # a stranger's class may raise anything
        raise UsageError(f"{spec}: {str(error) or type(error).__name__}. {more}") from error


def parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters a family takes, by name."""
    return {name: part for name, part in inspect.signature(factory).parameters.items() if name != "self"}


def expanded(factory: Callable[..., Any], spec: Spec) -> dict[str, ParamValue]:
    """All parameters: those given and the defaults of the others."""
    defaults = {name: part.default for name, part in parameters(factory).items() if part.default is not part.empty}
    return {**defaults, **spec.params}
