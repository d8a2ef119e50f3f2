"""What the kit found out about an entrant, and how it is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from benchmark.files import one_line

Verdict = Literal["pass", "note", "fail"]
LONGEST = 600
"""Characters of a finding at most."""


def plain(text: str) -> str:
    """Somebody else's text as one line of bounded length in which nothing is hidden."""
    return one_line(" ".join(text.split()))[:LONGEST]


def escaped(text: str) -> str:
    """A text that Markdown and HTML show as it is, in a table cell too.

    Everything that could mean something is written as a numeric reference, which never does (CommonMark 6.2).
    """
    quoted = re.sub(r"[^\w .,()=+%/-]|_", lambda found: f"&#{ord(found[0])};", plain(text))
    return re.sub(r"www\.", lambda found: f"{found[0][:3]}&#46;", quoted, flags=re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: what was looked at, such as ``order``.
        verdict: ``fail`` breaks the protocol; a ``note`` is worth knowing and breaks nothing.
        text: one line.
    """

    check: str
    verdict: Verdict
    text: str


@dataclass(frozen=True)
class Examination:
    """All findings about an entrant.

    Attributes:
        entrant: its name.
        findings: in the order of the checks.
        seconds_per_image: on plain faces of ``pictures.SIDE`` pixels; None where nothing was timed.
    """

    entrant: str
    findings: tuple[Finding, ...]
    seconds_per_image: float | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[str, ...]:
        """The checks that failed."""
        return tuple(part.check for part in self.findings if part.verdict == "fail")

    @property
    def verdict(self) -> str:
        """One line about all of it."""
        if self.failed:
            return f"{plain(self.entrant)} does not conform: {', '.join(self.failed)}."
        notes = sum(part.verdict == "note" for part in self.findings)
        return f"{plain(self.entrant)} conforms" + (f", with {notes} note{'s' * (notes > 1)}." if notes else ".")

    def text(self) -> str:
        """An aligned table and the verdict."""
        width = max((len(part.check) for part in self.findings), default=0)
        rows = [f"{part.verdict}  {part.check:{width}}  {plain(part.text)}" for part in self.findings]
        return "\n".join([*rows, self.verdict]) + "\n"

    def markdown(self) -> str:
        """The same as Markdown; no text of the entrant's can become markup."""
        rows = [f"| {part.verdict} | {escaped(part.check)} | {escaped(part.text)} |" for part in self.findings]
        head = [f"### {escaped(self.entrant)}", "", "| verdict | check | finding |", "|---|---|---|"]
        return "\n".join([*head, *rows, "", escaped(self.verdict)]) + "\n"
