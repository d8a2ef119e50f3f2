"""What is told after ``submit``: what to type, and the text of the pull request."""

from __future__ import annotations

import re
import shlex

from benchmark.decode import one_line
from benchmark.records import Record
from benchmark.submission.handing_in import HandedIn
from benchmark.submission.unchecked import not_recomputed


def next_steps(made: HandedIn) -> str:
    """What to type next."""
    pictures = "Pictures were left out: they may show real people.\n" if made.without_pictures else ""
    return (
        f"Branch {made.branch}, made from {made.base}. What you have checked out was not touched.\n{pictures}"
        f"Push it and open a pull request with the text below:\n\n    git push origin {shlex.quote(made.branch)}\n"
    )


def pull_request(made: HandedIn) -> str:
    """The text of the pull request: what was measured, the submitter's answers, and what the maintainers do with it."""
    record = made.records[0]
    said, entry = record.claims, record.entry
    commands = "\n".join(f"    anonbench reproduce {shlex.quote(row)}{_whose(record)}" for row in made.rows)
    checked = [
        ("Conflict of interest", said.conflict_of_interest),
        ("Training data that are also in the suite", said.training_overlap),
        ("Pictures and numbers may be published under the licence of the board", "yes" if said.publishable else ""),
        ("Licence of the method", entry.licence),
        ("Code", entry.code_url),
        ("Weights", ", ".join(f"{one.name} {one.sha256[:12]}" for one in entry.weights) or "none"),
        ("Trained on", ", ".join(entry.training_data) or "no data that the record names"),
    ]
    answers = "\n".join(
        f"- [{'x' if answer else ' '}] {question}: {answer or 'not said'}" for question, answer in checked
    )
    return (
        f"# {entry.name} on {record.suite.name}\n\n"
        f"{_numbers(record)}\n\n{answers}\n- [ ] I have read docs/submitting.md\n\n"
        f"The row stays *claimed* until a maintainer runs:\n\n{commands}\n\n"
        f"It was made with:\n\n{fenced(made_with(record))}\n\n"
        f"Nothing in the record checks, only making it again does: {', '.join(not_recomputed(record)) or 'nothing'}.\n"
    )


def made_with(record: Record) -> str:
    """The command of a record without the folders of whoever typed it, in one line."""
    try:
        words = shlex.split(record.run.command)
    except ValueError:  # an open quote
        words = record.run.command.split()
    return one_line(shlex.join(_without_folders(word) for word in words))


def _without_folders(word: str) -> str:
    """``../mine/blur.py:Blur(kernel=9)`` becomes ``blur.py:Blur(kernel=9)``: only the last name of a path is left."""
    path, bracket, rest = word.partition("(")
    option, equals, value = path.partition("=") if path.startswith("--") else ("", "", path)
    last = re.split(r"[/\\]", value.rstrip("/"))[-1]
    return f"{option}{equals}{last}{bracket}{rest}"


def fenced(text: str) -> str:
    """A line of text as a block of code, inside a fence that it cannot end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _numbers(record: Record) -> str:
    score = record.score("risk")
    risk = "no risk" if score is None or score.value is None else f"risk {score.value:.1%} by {score.by}"
    images = f"{record.coverage.n_output} of {record.coverage.n_expected} images"
    return f"Submitted by {record.claims.submitted_by}: {risk}, {images}, result {record.result_id[:12]}."


def _whose(record: Record) -> str:
    """What to add where the entrant is not one that everybody has."""
    from benchmark.registry import names
    from benchmark.specs import parse_spec

    return "" if parse_spec(record.entry.name).family in names("anonymizers") else " -e FILE_FOLDER_OR_ARCHIVE"
