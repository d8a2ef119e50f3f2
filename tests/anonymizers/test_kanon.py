"""The entrant: parameters, selected groups, generators, and the published program."""

from __future__ import annotations

import dataclasses
import hashlib
import re

import pytest
import torch
from click.testing import CliRunner

from anonymizers.kanonymity import Kanon
from anonymizers.kanonymity.generator.files import hash_of
from anonymizers.kanonymity.partition import METHODS
from anonymizers.kanonymity.persons import Persons, persons_of
from benchmark.cli import cli
from benchmark.errors import EntrantError, UsageError
from benchmark.images import Labels
from benchmark.protocols import USES
from benchmark.records import Weights
from benchmark.registry import build_entrant
from tests.anonymizers.kanon_entrants import release
from tests.anonymizers.tiny_generators import smooth_people, write_tiny


@pytest.fixture(scope="module")
def people():
    """26 photographs of 11 persons."""
    return smooth_people(11, 3, (48, 40)).select(torch.arange(26))


class TestParameters:
    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ("kanon(k=1)", "k: "), ("kanon(k=0)", "k: "), ("kanon(k=2.5)", "k: "), ("kanon(psi=0)", "psi: "),
            ("kanon(steps=-1)", "steps: "), ("kanon(groups=3)", "no parameter 'groups'"),
            ("kanon(embedding=pcaa)", "no embedding is called 'pcaa'. Did you mean 'pca'?"),
            ("kanon(partition=hpp)", "Did you mean 'hp'?"), ("kanon(partition=best+exchang)", "best+exchang"),
            ("kanon(partition=matching, k=3)", "makes pairs, and k=3: use k=2 or partition=best"),
            ("kanon(surrogate=pixel)", "surrogate: "), ("kanon(mix=naiv)", "mix: "), ("kanon(layers=top)", "layers: "),
        ],
    )  # fmt: skip
    def test_unusable_ones_are_refused_in_one_line(self, spec, words):
        with pytest.raises(UsageError) as caught:
            build_entrant(spec)
        assert caught.value.exit_code == 2
        assert words in str(caught.value)
        assert "anonbench show kanon" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_so_does_the_command_line(self, tmp_path):
        words = ["run", "portraits-smoke", "-e", "kanon(embedding=pcaa)", "--out", str(tmp_path), "--threads", "1"]
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 2
        assert "Did you mean 'pca'?" in result.output
        assert "Traceback" not in result.output

    @pytest.mark.parametrize("method", [*sorted(METHODS), "mdav+exchange"])
    def test_every_partition_can_be_named(self, method, people, make_kanon):
        built = make_kanon(k=2, partition=method)
        made = release(built, people)
        sizes = Persons(persons_of(people).of_image, known=True)
        groups = {int(g): set(sizes.of_image[made.notes["group"] == g].tolist()) for g in made.notes["group"].unique()}
        assert min(map(len, groups.values())) >= 2
        assert sum(map(len, groups.values())) == 11
        assert made.notes["divided"] == f"by {method}, on pca"

    @pytest.mark.parametrize(
        ("parameters", "uses"),
        [
            ({}, ("identity",)),
            ({"surrogate": "style"}, ("identity",)),
            ({"surrogate": "eigenfaces"}, ("identity", "train")),
            ({"surrogate": "appearance"}, ("identity", "train", "landmarks")),
            ({"select": "kind"}, ("identity", "attributes")),
            ({"embedding": "recogniser"}, ("identity", "recogniser")),
        ],
        ids=str,
    )
    def test_uses_what_it_needs(self, parameters, uses, make_kanon):
        built = make_kanon(**parameters)
        assert set(built.facts.uses) == set(uses) <= USES
        assert built.facts.k_anonymity == 5
        assert len(built.facts.source) > 10

    def test_measures_of_groups_come_along(self, make_kanon):
        assert set(make_kanon().anonymizer.measures) >= {
            "information-loss",
            "re-identification",
            "homogeneity",
            "silhouette",
        }


class TestSelect:
    def test_no_group_mixes_values(self, people, make_kanon):
        made = release(make_kanon(k=2, select="kind"), people)
        for number in made.notes["group"].unique():
            assert len(people.attributes["kind"].values[made.notes["group"] == number].unique()) == 1
        assert made.notes["selected"] == "no group mixes kind"
        plain = release(make_kanon(k=2), people).notes["group"]
        kinds = people.attributes["kind"].values
        assert any(len(kinds[plain == number].unique()) > 1 for number in plain.unique())

    def test_an_attribute_that_varies_is_told(self, people, make_kanon):
        """Everybody's photographs differ in their number; two even persons are shown as odd once of three times."""
        kind = people.attributes["kind"]
        turned = kind.values.clone()
        turned[[22, 24]] = 1
        assert people.identity.values[[22, 24]].tolist() == [0, 2]
        images = dataclasses.replace(people, attributes={**people.attributes, "kind": Labels(turned, kind.classes)})
        made = release(make_kanon(k=2, select="kind"), images)
        told = "no group mixes kind; by the most frequent value where photographs of a person differ: kind of 2 persons"
        assert made.notes["selected"] == told
        assert torch.equal(made.notes["group"], release(make_kanon(k=2, select="kind"), people).notes["group"])

    def test_several_attributes(self, make_kanon):
        images = smooth_people(16, 1, (48, 40))
        values = torch.arange(16) // 8
        images = dataclasses.replace(
            images, attributes={**images.attributes, "half": Labels(values, ("first", "second"))}
        )
        group = release(make_kanon(k=2, select="kind+half"), images).notes["group"]
        joint = images.attributes["kind"].values * 2 + values
        for number in group.unique():
            assert len(joint[group == number].unique()) == 1

    def test_a_value_with_too_few_persons_is_named(self, people, make_kanon):
        """Six persons are even, five are odd."""
        with pytest.raises(EntrantError) as caught:
            release(make_kanon(k=6, select="kind"), people)
        text = str(caught.value)
        assert re.search(r"only 5 of 11 persons .*'kind=odd'.* k=6 .*use k=5 or less", text), text
        assert "\n" not in text

    def test_an_attribute_that_is_not_there_is_named(self, people, make_kanon):
        with pytest.raises(EntrantError, match="no attribute 'kid'; they have: kind, photograph"):
            release(make_kanon(select="kid"), people)
        with pytest.raises(EntrantError, match="no attribute 'kind'; they have: none"):
            release(make_kanon(select="kind"), people.without(attributes=True))


class TestGenerator:
    def test_record_and_hash_follow_the_file(self, tmp_path):
        spec = f"kanon(generator={str(tmp_path / 'g.safetensors')!r})"
        seen = []
        for seed in (0, 1):
            path = write_tiny(tmp_path / "g.safetensors", seed)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            built = build_entrant(spec)
            assert built.facts.weights == (Weights(name="generator g.safetensors", sha256=digest),)
            assert built.facts.training_data == ("noise",)
            assert digest in built.anonymizer.found().values()
            assert hash_of(str(path)) == digest
            seen.append(built.anonymizer.found())
        assert seen[0] != seen[1]
        write_tiny(tmp_path / "g.safetensors", 0)
        assert build_entrant(spec).anonymizer.found() == seen[0]

    def test_other_surrogates_have_no_weights(self, make_kanon):
        assert make_kanon().facts.weights == ()
        assert make_kanon().facts.training_data == ()
        assert set(make_kanon().anonymizer.found()) == {"conventional"}

    def test_a_missing_file_is_said_at_once(self, tmp_path):
        with pytest.raises(EntrantError, match=r"there is no file .*anonbench generator train"):
            build_entrant(f"kanon(generator={str(tmp_path / 'gone.safetensors')!r})")

    def test_parameters_reach_the_generator(self, people, make_kanon):
        plain = release(make_kanon(surrogate="style"), people).images
        for more in ({"psi": 0.5}, {"layers": "coarse"}, {"mix": "random"}, {"steps": 2}):
            assert not torch.equal(release(make_kanon(surrogate="style", **more), people).images, plain), more
        adjusted = release(make_kanon(surrogate="style", mix="adjusted", k=2), people)
        assert adjusted.notes["group"].bincount().min() >= 2
        assert re.fullmatch(
            r"\d+ of 5 groups mixed anew in \d+ rounds; in \d more than 1/2 of the members stay within \d[.\de+]* of the "
            r"surrogate; 0 persons not measured",
            adjusted.notes["adjusted"],
        )

    def test_is_the_default(self):
        assert Kanon.__dataclass_fields__["surrogate"].default == "style"


class TestCompat:
    def test_groups_depend_on_the_order_of_persons_as_published(self, make_kanon):
        """Hierarchical groups keep their first members by number."""
        images = smooth_people(23, 1, (48, 40), seed=4)
        groups = []
        for keys in (images.keys, tuple(reversed(images.keys))):
            made = release(make_kanon(k=5, partition="hp", compat=True), dataclasses.replace(images, keys=keys))
            groups.append({frozenset((made.notes["group"] == g).nonzero().flatten().tolist()) for g in range(4)})
            assert made.notes["group"].bincount().min() >= 5
        assert groups[0] != groups[1]
