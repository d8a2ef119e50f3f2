"""Tuning reports beside records: readable, named by what they hold, and made by the method that is installed here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from benchmark.errors import AnonbenchError
from benchmark.records import EntrantFacts
from benchmark.registry import build_entrant, names
from benchmark.specs import Spec
from benchmark.submission.facts import Finding
from benchmark.submission.places import LARGEST, RECORD
from benchmark.tuning import FOLDER, Tuning, names_folder, read_tuning

_AGAIN = "Remove it, or make it again: anonbench tune"


def reports_of(result: Path) -> Iterator[tuple[Path, Tuning | None]]:
    """Every report of a result folder, None where it cannot be read; links are not followed."""
    folder = result / FOLDER
    for path in sorted(folder.glob("*.json")) if folder.is_dir() and not folder.is_symlink() else []:
        try:
            fits = path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST[RECORD]
            yield path, read_tuning(path) if fits else None
        except (ValidationError, OSError, RecursionError):
            yield path, None


def findings_of_reports(result: Path) -> Iterator[tuple[Path, Finding]]:
    """Reports that are none, or that say another name than their file's."""
    for path, report in reports_of(result):
        if report is None:
            yield path, ("schema", "is no tuning report, or a link, or too large", _AGAIN)
        elif f"{report.name}.json" != path.name:
            yield path, ("path", f"holds the report {report.name}", f"Rename it to {report.name}.json")


def notes_of_reports(result: Path) -> Iterator[str]:
    """Reports that what is installed here would not make."""
    for path, report in reports_of(result):
        different = "" if report is None else unlike_installed(report)
        if different:
            yield f"{FOLDER}/{path.name}: its {different} is not that of {report.family if report else ''} installed here"


def unlike_installed(report: Tuning) -> str:
    """What differs between a report's method and the installed one of that name; empty where nothing can be compared.

    A report that names a folder is not compared: its writer would choose which file of this machine is read.
    """
    params = {**report.params, report.parameter: report.values[0]}
    if report.family not in names("anonymizers") or any(map(names_folder, params.values())):
        return ""
    try:
        entrant = build_entrant(str(Spec(report.family, params)))
        found = dict(getattr(entrant.anonymizer, "found", dict)())
    except AnonbenchError:  # a parameter is gone, or a file is not here
        return ""
    pairs = {
        "source (entry_hash)": (report.entry_hash, entrant.facts.entry_hash),
        "weights": (_digests(report), _digests(entrant.facts)),
        "hash of what it found": (report.found, found),
    }
    return next((name for name, (mine, right) in pairs.items() if mine != right), "")


def _digests(part: Tuning | EntrantFacts) -> dict[str, str]:
    return {model.name: model.sha256 for model in part.weights}
