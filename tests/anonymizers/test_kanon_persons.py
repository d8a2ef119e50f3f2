"""Persons, what is known of them, and the embeddings they are compared by."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import nn

from anonymizers.kanonymity import embeddings
from anonymizers.kanonymity.persons import Persons, attribute_of, described, persons_of, twins
from benchmark.errors import EntrantError
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Controller
from benchmark.registry import load, source_hash
from tests.anonymizers.kanon_entrants import recogniser, release
from tests.anonymizers.tiny_generators import smooth_people


@pytest.fixture(scope="module")
def people():
    """26 photographs of 11 persons."""
    return smooth_people(11, 3, (48, 40)).select(torch.arange(26))


class TestPersons:
    def test_are_numbered_by_their_first_key_and_averaged(self):
        values = torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 9], [0.1, 0.2]])
        images = ImageSet(
            torch.zeros(5, 3, 2, 2, dtype=torch.uint8),
            tuple("edcba"),
            Labels(torch.tensor([2, 0, 2, 1, 0]), tuple("xyz")),
        )
        persons = persons_of(images)
        assert persons.of_image.tolist() == [2, 0, 2, 1, 0]
        assert persons.count == 3
        assert persons.photographs.tolist() == [2, 1, 2]
        wanted = [[1.55, 2.1], [7, 9], [3, 4]]
        assert torch.allclose(persons.means(values), torch.tensor(wanted, dtype=torch.float64), atol=1e-6)
        assert persons.means(values[:, :, None, None]).shape == (3, 2, 1, 1)

    def test_without_labels_every_image_is_one(self, make_set):
        persons = persons_of(make_set(7))
        assert not persons.known
        assert sorted(persons.of_image.tolist()) == list(range(7))

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 10**6), scale=st.sampled_from([1e-6, 1.0, 1e9]))
    def test_means_are_the_same_in_every_order(self, seed, scale):
        """And right to 40 binary places, or to 62 bits of the largest sum."""
        generator = torch.Generator().manual_seed(seed)
        who = torch.cat([torch.arange(4), torch.randint(4, (30,), generator=generator)])
        values = torch.randn(34, 3, generator=generator, dtype=torch.float64) * scale
        order = torch.randperm(34, generator=generator)
        means = Persons(who, known=True).means(values)
        assert torch.equal(Persons(who[order], known=True).means(values[order]), means)
        for person in range(4):
            error = (means[person] - values[who == person].mean(dim=0)).abs().max()
            assert error <= max(2.0**-40, 2.0**-50 * values.abs().max())

    def test_means_do_not_depend_on_other_persons(self):
        values = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        alone = Persons(torch.tensor([0, 0, 1, 1, 1]), known=True).means(values)
        crowd = torch.cat([values, 3e4 * values])
        among = Persons(torch.tensor([0, 0, 1, 1, 1, 2, 2, 3, 3, 3]), known=True).means(crowd)
        assert torch.equal(among[:2], alone)

    @pytest.mark.parametrize("huge", [1e200, 1.7e308])
    def test_means_of_huge_numbers(self, huge):
        values = torch.tensor([[huge], [huge], [-huge]], dtype=torch.float64)
        assert torch.equal(Persons(torch.tensor([0, 0, 1]), known=True).means(values), values[1:])

    @pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
    def test_a_value_that_is_no_number_is_an_error(self, bad):
        values = torch.ones(5, 2)
        values[3, 1] = bad
        with pytest.raises(EntrantError, match="1 of 5 images is not finite, the first of image 3"):
            Persons(torch.tensor([0, 0, 1, 1, 2]), known=True).means(values)

    @pytest.mark.parametrize(
        ("of_image", "known", "words"),
        [
            ([0, 1, 2], False, "nothing is promised about persons, as a group may hold one person alone"),
            ([0, 1, 2], True, "one photograph per person"),
            ([0, 0, 1, 1], True, "mean embedding of 2 photographs each; all photographs of a person are in one group"),
            ([0, 1, 1, 1], True, "mean embedding of 1 to 3 photographs each"),
        ],
    )
    def test_are_described(self, of_image, known, words):
        assert words in described(Persons(torch.tensor(of_image), known))

    def test_twins(self):
        assert twins(torch.tensor([[1.0, 2], [3, 4], [1, 2], [1, 2], [3, 4.5]])) == 3
        assert twins(torch.rand(5, 2)) == 0

    def test_attribute_is_the_most_frequent_value(self, make_set):
        images = dataclasses.replace(
            make_set(6, persons=2),
            attributes={
                "age": Labels(torch.tensor([0, 1, 1, 1, 1, 0]), ("old", "young")),
                "glasses": Labels(torch.tensor([2, 0, 2, 0, 0, 1]), ("no", "round", "square")),
            },
        )
        persons = persons_of(images)
        values, classes = attribute_of(persons, images, ("age", "glasses"))
        assert [classes[value] for value in values.tolist()] == [
            "age=young, glasses=square",
            "age=young, glasses=no",
        ]
        with pytest.raises(EntrantError, match="no attribute 'height'; they have: age, glasses"):
            attribute_of(persons, images, ("age", "height"))

    def test_names_of_values_that_run_into_each_other_stay_apart(self, make_set):
        images = dataclasses.replace(
            make_set(2, persons=2),
            attributes={
                "x": Labels(torch.tensor([0, 1]), ("a", "a b")),
                "y": Labels(torch.tensor([0, 1]), ("b c", "c")),
            },
        )
        values, classes = attribute_of(persons_of(images), images, ("x", "y"))
        assert len(set(classes)) == 4
        assert values[0] != values[1]


class TestEmbeddings:
    def test_pca_distances_are_those_of_scikit_learn(self, people):
        space = embeddings.embedding("pca", people, Controller())
        found = persons_of(people).means(space.describe(people))
        pixels, who = people.images.flatten(1).double().numpy(), people.identity.values.numpy()
        means = np.stack([pixels[who == person].mean(axis=0) for person in range(11)])
        wanted = PCA(embeddings.VARIANCE, svd_solver="full").fit_transform(means)
        assert found.shape == wanted.shape
        first = [int(who[row]) for row in np.argsort(people.keys)]
        order = list(dict.fromkeys(first))
        assert torch.allclose(torch.pdist(found), torch.pdist(torch.from_numpy(wanted[order])), rtol=1e-6)
        assert space.threshold is None

    def test_an_image_is_described_by_itself(self, people):
        for space in (
            embeddings.embedding("pca", people, Controller()),
            embeddings.embedding("recogniser", people, Controller(recogniser=recogniser())),
        ):
            whole = space.describe(people)
            assert whole.dtype == torch.float64
            assert torch.allclose(space.describe(people[4:5])[0], whole[4], atol=1e-5)

    def test_recogniser_gives_the_features_before_its_last_layer(self, people, make_kanon):
        given = recogniser()
        points = embeddings.embedding("recogniser", people, Controller(recogniser=given)).describe(people)
        linear = [part for part in given.network.modules() if isinstance(part, nn.Linear)][-1]
        with torch.no_grad():
            logits = linear(points.float())
        assert torch.allclose(logits, given.logits(people.images), atol=1e-4)
        made = release(make_kanon(k=3, embedding="recogniser"), people, recogniser=given)
        assert made.notes["divided"] == "by best, on recogniser"

    def test_plug_ins_are_known_by_source_threshold_and_weights(self, monkeypatch):
        plain = embeddings.found("dlib")
        assert plain["embedder"] == source_hash(type(load("embedders", "dlib")))
        assert embeddings.found("pca") == embeddings.found("recogniser") == {}
        other = dataclasses.replace(load("embedders", "dlib"), threshold=0.5)
        monkeypatch.setattr(embeddings, "load", lambda kind, name: other)
        assert {name for name in plain if embeddings.found("dlib")[name] != plain[name]} == {"threshold"}

    def test_recogniser_that_is_not_handed_out(self, people, make_kanon):
        built = make_kanon(embedding="recogniser")
        assert "recogniser" in built.facts.uses
        with pytest.raises(EntrantError, match=r"embedding=recogniser needs a recogniser.*: use pca"):
            release(built, people)

    def test_recogniser_that_gives_no_numbers(self, people, make_kanon):
        with pytest.raises(EntrantError, match=r"embedding=recogniser: .* not finite") as caught:
            release(make_kanon(embedding="recogniser"), people, recogniser=recogniser(broken=True))
        assert "\n" not in str(caught.value)
