"""Suite definitions as data: TOML files, validated, hashed as a whole."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmark.hashing import sha256_json
from benchmark.learning.training import Recipe


class Part(BaseModel):
    """Base of every part: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class People(Part):
    """One disjoint set of rendered people."""

    identities: int
    photographs: int


class Splits(Part):
    """Who is rendered how often; ``evaluated`` people have ``enrol`` photographs, the others are probes."""

    background: People
    evaluated: People
    spare: People
    enrol: int


class RefereePlan(Part):
    """How a referee is built and trained."""

    architecture: str = "small-resnet"
    params: dict[str, Any] = {}
    recipe: dict[str, Any] = {}
    seed: int = 0
    pretrained: str = ""
    """Registry name of weights to start from."""

    def as_recipe(self) -> Recipe:
        """The training recipe, defaults filled in."""
        return Recipe(**self.recipe)


class Definition(Part):
    """What a TOML file says.

    Attributes:
        manifest: pinned content hash of every split.
        transfer, embedding, parrot: how the attackers' clear models are trained.
        weights: pinned sha256 of every referee's and attacker's file.
        files: pinned sha256 of further files that metrics read, by file name.
    """

    name: str
    version: str
    title: str
    description: str
    licence: str
    image_size: int
    seed: int
    splits: Splits | None = None
    attributes: tuple[str, ...] = ()
    metrics: tuple[str, ...]
    entrants: tuple[str, ...]
    recogniser: RefereePlan
    attribute_classifier: RefereePlan
    transfer: RefereePlan
    embedding: RefereePlan
    parrot: RefereePlan
    manifest: dict[str, str] = {}
    weights: dict[str, str] = {}
    files: dict[str, str] = {}

    @property
    def suite_hash(self) -> str:
        """sha256 over everything that can change a score; the list of default entrants and the wording cannot."""
        words = {"title", "description", "licence", "entrants"}
        return sha256_json(self.model_dump(mode="json", exclude=words))


def describe(definition: Definition) -> dict[str, str]:
    """What a listing says about a suite."""
    return {
        "description": definition.description,
        "version": definition.version,
        "image size": f"{definition.image_size} px",
        "metrics": ", ".join(definition.metrics),
        "entrants": ", ".join(definition.entrants),
    }


def weights_folder(suite: str) -> Path:
    """Where the frozen referees of a suite ship, and ``pins.json`` with all pinned hashes."""
    return Path(str(resources.files("suites"))) / "weights" / suite


def read_definition(name: str, pinned: bool = True) -> Definition:
    """The definition that ships as ``suites/definitions/<name>.toml``, completed by its pinned hashes.

    Args:
        name: of the suite.
        pinned: False leaves the hashes out, for whoever is about to make new ones.
    """
    text = resources.files("suites").joinpath("definitions", f"{name}.toml").read_text(encoding="utf-8")
    pins = weights_folder(name) / "pins.json"
    hashes = json.loads(pins.read_bytes()) if pinned and pins.exists() else {}
    return Definition.model_validate({**tomllib.loads(text), **hashes})
