"""Problems of results, and how they are told: lines, JSON, or Markdown for a comment that others read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from benchmark.decode import one_line

Rule = Literal[
    "schema", "path", "id", "text", "times", "ranges", "cards", "suite", "coverage", "values", "consistency",
    "controls", "claims", "pictures", "diff", "entry",
]  # fmt: skip
LONGEST = 300
"""Characters of a text from a record that are shown."""
MOST_ROWS = 50
"""Problems a Markdown table holds; a comment has a largest size."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a result.

    Attributes:
        path: the file, as it is to be shown.
        rule: short name of the rule that it breaks.
        text: what is wrong, without the full stop.
        remedy: what to do or type next.
    """

    path: str
    rule: Rule
    text: str
    remedy: str

    @property
    def line(self) -> str:
        """All of it in one line, whatever the record holds."""
        return one_line(f"{self.path}: {self.rule}: {shortened(self.text)}. {self.remedy}")


@dataclass(frozen=True)
class Report:
    """What a validation found.

    Attributes:
        records: how many records were looked at.
        problems: in the order of the files.
        notes: what could not be checked here.
    """

    records: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The counts."""
        return f"{self.records} records, {len(self.problems)} problems, {len(self.notes)} notes"


def shortened(text: str) -> str:
    """``text`` cut to what is worth showing."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def as_text(report: Report) -> str:
    """One line per problem and note, then the counts."""
    notes = [one_line(f"Note: {shortened(note)}") for note in report.notes]
    return "\n".join([*(problem.line for problem in report.problems), *notes, report.summary]) + "\n"


def as_json(report: Report) -> str:
    """The same for programs."""
    return json.dumps({**asdict(report), "summary": report.summary}, indent=1) + "\n"


def as_markdown(report: Report) -> str:
    """A table for a comment. Nothing that comes from a record can be read as Markdown or HTML, or mention anybody."""
    head = f"### {report.summary}\n"
    more = len(report.problems) - MOST_ROWS
    rest = [f"\n... and {more} more; run `anonbench validate` to see them."] if more > 0 else []
    notes = [f"- {quoted(note)}" for note in report.notes[:MOST_ROWS]]
    return "\n".join([head, *_table(report.problems[:MOST_ROWS]), *rest, "", *notes]).rstrip() + "\n"


def _table(problems: Sequence[Problem]) -> list[str]:
    if not problems:
        return ["All checks passed."]
    rows = [[problem.path, problem.rule, problem.text, problem.remedy] for problem in problems]
    lines = ["| " + " | ".join(map(quoted, row)) + " |" for row in rows]
    return ["| file | rule | problem | next step |", "|---|---|---|---|", *lines]


def quoted(text: str) -> str:
    """A text as inline code in which every character but letters, digits and spaces is a numeric entity.

    Entities end no table cell, no code and no tag, and inside code nobody is mentioned and nothing becomes a link.
    """
    plain = one_line(shortened(text))
    return (
        "<code>"
        + "".join(c if (c.isascii() and c.isalnum()) or c == " " else f"&#{ord(c)};" for c in plain)
        + "</code>"
    )


FORMATS: dict[str, Callable[[Report], str]] = {"text": as_text, "json": as_json, "markdown": as_markdown}


def merged(reports: Iterable[Report]) -> Report:
    """Several reports as one; a note is told once."""
    parts = list(reports)
    problems = tuple(problem for part in parts for problem in part.problems)
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return Report(sum(part.records for part in parts), problems, tuple(notes))
