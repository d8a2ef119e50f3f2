"""The registry: everybody comes in through the same door, built-ins included."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from benchmark.errors import UsageError, did_you_mean
from benchmark.hashing import sha256_json
from benchmark.protocols import USES, Anonymizer, Metric
from benchmark.records import MetricCard
from benchmark.registry import Kind, build_entrant, build_metric, first_line, load, names, source_hash
from benchmark.specs import parameters

ROOT = Path(__file__).parents[2]
KINDS: tuple[Kind, ...] = ("anonymizers", "metrics", "suites")
DECLARED = {
    kind: tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][f"anonbench.{kind}"]
    for kind in KINDS
}
EVERYTHING: list[tuple[Kind, str]] = [(kind, name) for kind in KINDS for name in DECLARED[kind]]
NEEDED = {"f1": "f1(attribute=gender)", "f1-train": "f1-train(attribute=gender)"}
FULL = {
    "embedding": "embedding(network=background)",
    "fid": "fid(features=inception)",
    "fid-infinity": "fid-infinity(features=inception)",
    "information-loss": "information-loss(network=background)",
    "kid": "kid(features=inception)",
    "lpips": "lpips(net=alex)",
    "perceptanon": "perceptanon(panel=human)",
    "perceptual": "perceptual(features=recogniser)",
    "re-identification": "re-identification(network=background)",
    "silhouette": "silhouette(network=background)",
    "sse-sst": "sse-sst(network=background)",
}
"""Metrics whose network is a part of their name, even where it is the default."""

MODULE = '''
"""A package of somebody else."""

from benchmark.images import Released


class Mirror:
    """Mirrors every image."""

    uses = frozenset({"landmarks"})
    source = "a paper"
    deterministic = False

    def __init__(self, twice: bool = False) -> None:
        self.twice = twice

    def anonymize(self, images, controller):
        return Released(images.images.flip(3))


class Greedy(Mirror):
    """Wants what nobody has."""

    uses = frozenset({"landmark"})


class NoMethod:
    """Cannot anonymize."""
'''
POINTS = """
[anonbench.anonymizers]
mirror = stranger:Mirror
greedy = stranger:Greedy
no-method = stranger:NoMethod
broken = stranger_broken:Anything
[anonbench.metrics]
no-card = stranger:Mirror
"""
ASK = """
import json, sys
from benchmark.errors import AnonbenchError
from benchmark.registry import build_entrant, build_metric, names
build = {"entrant": build_entrant, "metric": build_metric}
answers = {"names": names("anonymizers")}
for question in sys.argv[1:]:
    what, spec = question.split()
    try:
        answers[question] = build[what](spec).facts.model_dump(mode="json")
    except AnonbenchError as error:
        answers[question] = [type(error).__name__, str(error)]
json.dump(answers, sys.stdout)
"""
BROKEN = [
    ("entrant no-method", "EntrantError", "has no method anonymize(images, controller)"),
    ("entrant broken", "EnvironmentProblem", "a_package_that_nobody_has"),
    ("entrant mirror(thrice=1)", "UsageError", "Did you mean 'twice'?"),
    ("entrant greedy", "EntrantError", "declares to use 'landmark'. Did you mean 'landmarks'?"),
    ("metric no-card", "UsageError", "is not a metric"),
]
GOOD = "entrant mirror(twice=True)"


def install(folder: Path) -> Path:
    """Lays an installed package of somebody else into a folder."""
    (folder / "stranger.py").write_text(MODULE)
    (folder / "stranger_broken.py").write_text("import a_package_that_nobody_has\n")
    about = folder / "stranger-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    return folder


def ask(folder: Path, *questions: str) -> dict[str, Any]:
    """What a process that sees the package says about some specs."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *questions],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        capture_output=True,
        text=True,
        check=True,
    )
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def answers(stranger: Path) -> dict[str, Any]:
    return ask(stranger, GOOD, *(question for question, _, _ in BROKEN))


@pytest.mark.parametrize(("kind", "name"), EVERYTHING)
def test_every_entry_point_of_the_project_loads(kind: Kind, name: str) -> None:
    assert name in names(kind)
    assert callable(load(kind, name))


@pytest.mark.parametrize("family", DECLARED["anonymizers"])
def test_every_anonymizer_is_built_with_its_defaults(family: str) -> None:
    entrant = build_entrant(family)
    assert isinstance(entrant.anonymizer, Anonymizer)
    known = parameters(load("anonymizers", family)).values()
    assert set(entrant.facts.params) == {part.name for part in known if part.default is not None}, "None: not set"
    assert entrant.uses <= USES
    assert entrant.facts.description.endswith((".", ")"))
    assert entrant.facts.source


@pytest.mark.parametrize("name", DECLARED["metrics"])
def test_every_metric_has_a_card_under_its_own_name(name: str) -> None:
    metric = build_metric(NEEDED.get(name, name))
    assert isinstance(metric, Metric)
    assert isinstance(metric.card, MetricCard)
    assert metric.card.name == {**NEEDED, **FULL}.get(name, name)
    assert metric.card.definition


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_name_is_one_line_with_what_to_type(kind: Kind) -> None:
    with pytest.raises(UsageError, match=rf"no {kind[:-1]} is called 'zzzz'\. Known: .* Try: anonbench list {kind}$"):
        load(kind, "zzzz")


@pytest.mark.parametrize(("kind", "wrong", "right"), [("anonymizers", "blurr", "blur"), ("metrics", "pnsr", "psnr")])
def test_misspelt_name_is_guessed(kind: Kind, wrong: str, right: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"Did you mean '{right}'?")):
        load(kind, wrong)


def test_guess_without_candidates_says_nothing() -> None:
    assert did_you_mean("blur", []) == ""
    assert did_you_mean("x", ["long name"]) == " Known: long name."


def test_facts_of_an_entrant() -> None:
    facts = build_entrant("gaussian-blur(kernel=9)").facts
    assert (facts.name, facts.family, facts.kind) == ("gaussian-blur(kernel=9)", "gaussian-blur", "python")
    assert facts.params == {"kernel": 9, "sigma": 0.0}
    assert facts.control is False
    assert build_entrant("identity").facts.control is True


@pytest.mark.parametrize("spelling", ["blur(kernel='9')", "blur(kernel=9.0)", "blur( kernel=9 )", "blur(kernel=0x9)"])
def test_spellings_of_one_method_have_the_same_facts(spelling: str) -> None:
    one, other = build_entrant("blur(kernel=9)").facts, build_entrant(spelling).facts
    assert sha256_json(other.model_dump(mode="json")) == sha256_json(one.model_dump(mode="json"))


def test_different_methods_have_different_names() -> None:
    one, other = (build_entrant(f"gaussian-blur(sigma={sigma})").facts for sigma in (1.00000001, 1.00000002))
    assert one.params != other.params
    assert one.name != other.name


@pytest.mark.parametrize("text", ["blur(kernel=0)", "blur(kernel=nine)", "blur(kernel=2.5)", "blur(kernal=9)"])
def test_wrong_parameters_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match="Try: anonbench show blur"):
        build_entrant(text)


@pytest.mark.parametrize("text", ["f1", "f1(attribute=3)", "psnr(x=1)"])
def test_wrong_metrics_are_usage_errors_that_say_what_is_wrong(text: str) -> None:
    family = text.partition("(")[0]
    with pytest.raises(UsageError, match=f"Try: anonbench show {family}"):
        build_metric(text)


def test_a_stranger_comes_in_as_built_ins_do(answers: dict[str, Any]) -> None:
    assert {"mirror", "blur"} <= set(answers["names"])
    facts = answers[GOOD]
    assert facts["params"] == {"twice": True}
    assert facts["uses"] == ["landmarks"]
    assert facts["deterministic"] is False
    assert (facts["description"], facts["source"]) == ("Mirrors every image.", "a paper")


@pytest.mark.parametrize(("question", "error", "says"), BROKEN)
def test_broken_strangers_are_one_line(answers: dict[str, Any], question: str, error: str, says: str) -> None:
    kind, text = answers[question]
    assert kind == error
    assert says in text
    assert "\n" not in text


def test_entry_hash_changes_with_the_source(answers: dict[str, Any], tmp_path: Path) -> None:
    folder = install(tmp_path)
    (folder / "stranger.py").write_text(MODULE.replace("flip(3)", "flip(2)"))
    changed = ask(folder, GOOD)
    assert changed[GOOD].pop("entry_hash") != answers[GOOD]["entry_hash"]
    assert changed[GOOD] == {name: fact for name, fact in answers[GOOD].items() if name != "entry_hash"}


def test_entry_hash_does_not_depend_on_the_folder(answers: dict[str, Any], tmp_path: Path) -> None:
    assert ask(install(tmp_path), GOOD)[GOOD] == answers[GOOD]


def test_source_hash_covers_the_package_of_a_method() -> None:
    blur, mask = (type(build_entrant(family).anonymizer) for family in ("blur", "mask"))
    assert source_hash(blur) == source_hash(mask)
    assert source_hash(blur) != source_hash(type(build_metric("psnr")))


def test_first_line_of_a_docstring() -> None:
    assert first_line(build_entrant) == "Builds the entrant a spec names."
    assert first_line(lambda: None) == ""
