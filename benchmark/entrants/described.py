"""``entrant.toml``: how a command or a folder of released images describes itself."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from benchmark.errors import UsageError
from benchmark.files import one_line, read_file
from benchmark.records import ParamValue, Weights

FILE = "entrant.toml"
"""What a description is called."""
LARGEST = 200_000
"""Bytes of the longest description that is read."""
PLACEHOLDERS = ("input", "output", "here", "python", "seed", "device")
"""What a command may name in braces besides its parameters."""


def _plain(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed, such as line breaks or marks that turn text round")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,59}", text):
        raise ValueError("must be lower-case letters, digits and hyphens, at most 60, as in my-tool")
    return text


def _parameters(values: Any) -> Any:
    for name, value in values.items() if isinstance(values, dict) else ():
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or name in PLACEHOLDERS:
            raise ValueError(
                f"'{one_line(name)}' cannot be the name of a parameter; write lower-case words, as in strength"
            )
        finite = not isinstance(value, float) or math.isfinite(value)
        if not isinstance(value, bool | int | float | str) or not finite or not str(value).isprintable():
            raise ValueError(f"'{name}' must be true or false, a finite number, or a printable text")
    return values


Text = Annotated[str, Field(max_length=500), AfterValidator(_plain)]
Words = tuple[Text, ...]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Part):
    """What one call of a command may use; it is ended when it takes more."""

    seconds: Annotated[float, Field(gt=0, le=7 * 86400)] = 3600.0
    """Time on the clock."""
    memory_mb: Annotated[float, Field(gt=0, le=1_000_000)] = 16_000.0
    """Memory of all its processes together, in MB (10^6 bytes)."""
    processes: Annotated[int, Field(ge=1, le=1024)] = 256
    """Processes and threads at a time."""
    output_mb: Annotated[float, Field(gt=0, le=1_000_000)] = 8_000.0
    """Everything it writes, in MB (10^6 bytes)."""


class Described(_Part):
    """What every description says."""

    name: Annotated[str, AfterValidator(_name)]
    """The family: the name of its rows."""
    version: Text = ""
    description: Text = ""
    source: Text = ""
    """Paper or package."""
    authors: Text = ""
    licence: Text = ""
    code_url: Text = ""
    training_data: Words = ()
    """Data sets that its weights learned from."""
    weights: tuple[Weights, ...] = ()
    deterministic: bool = True


class DescribedProcess(Described):
    """A command that turns a folder of images into a folder of images."""

    kind: Literal["process"]
    command: Annotated[Words, Field(min_length=1)]
    """Program and arguments, with placeholders in braces."""
    shardable: bool = False
    """Whether it treats every image by itself, so that it may be called with parts of the set."""
    files: Words = ()
    """Patterns of further files beside the description whose content belongs to the method."""
    reads: Words = ()
    """Folders elsewhere that the command may read."""
    env: dict[Text, Text] = {}
    """Environment variables; the command sees no others of the caller's."""
    parameters: Annotated[dict[str, ParamValue], BeforeValidator(_parameters)] = {}
    """Default by name."""
    limits: Limits = Limits()


class DescribedPrecomputed(Described):
    """Images that were released elsewhere."""

    kind: Literal["precomputed"]


Description = Annotated[DescribedProcess | DescribedPrecomputed, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[DescribedProcess | DescribedPrecomputed] = TypeAdapter(Description)


def read_description(path: Path) -> DescribedProcess | DescribedPrecomputed:
    """Reads an ``entrant.toml``.

    Raises:
        UsageError: it is missing, not TOML, or says something that it may not.
        EnvironmentProblem: it may not be read.
    """
    return parse_description(read_file(path), one_line(path))


def parse_description(data: bytes, name: str) -> DescribedProcess | DescribedPrecomputed:
    """Reads the bytes of an ``entrant.toml``; ``name`` is what to call it in an error message.

    Raises:
        UsageError: it is not TOML, or says something that it may not.
    """
    if len(data) > LARGEST:
        raise UsageError(f"{name} has {len(data)} bytes; a description has at most {LARGEST}. Shorten it")
    try:
        return _ADAPTER.validate_python(tomllib.loads(data.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is not TOML ({one_line(error)}). {_START}") from error
    except ValidationError as error:
        raise UsageError(f"{name}: {_first(error)}. {_START}") from error


_START = "For a start that works type: anonbench new my-tool --kind process"


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, as the line of the file that says it."""
    first: Any = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("process", "precomputed"))
    said = first["msg"].removeprefix("Value error, ")
    return one_line(f"{where or 'kind'}: {said}")
