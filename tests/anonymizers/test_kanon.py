"""The entrant: persons, embeddings, groups, and what is released, for every surrogate that needs no download."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import nn

from anonymizers.kanonymity import Kanon, embeddings, entrant
from anonymizers.kanonymity.generator.files import hash_of
from anonymizers.kanonymity.partition import METHODS
from anonymizers.kanonymity.persons import Persons, attribute_of, described, persons_of, twins
from anonymizers.kanonymity.surrogates import UpConv
from anonymizers.kanonymity.surrogates.proxies import Recipe
from benchmark.cli import cli
from benchmark.errors import EntrantError, UsageError
from benchmark.images import ImageSet, Labels, check_released
from benchmark.learning.classifier import Architecture, Classifier
from benchmark.protocols import USES, Controller, KAnonymityClaim, Referees
from benchmark.records import Weights
from benchmark.registry import build_entrant, build_metric
from metrics.kanonymity import BROKEN
from tests.anonymizers.tiny_generators import smooth_people, write_tiny

SURROGATES = ["pixels", "eigenfaces", "appearance", "upconv", "style"]
RECOGNISER = "small-resnet"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of its own, and an up-convolutional network that is trained in no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANONBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(entrant, "UpConv", partial(UpConv, Recipe(people=8, steps=3, batch=4, width=0.1)))
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return str(write_tiny(tmp_path_factory.mktemp("generator") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def others():
    return smooth_people(10, 2, (48, 40), seed=9, name="other")


@pytest.fixture(scope="module")
def people():
    """26 photographs of 11 persons."""
    return smooth_people(11, 3, (48, 40)).select(torch.arange(26))


@pytest.fixture(scope="module")
def make(file):
    """Builds an entrant from a spec; style draws with the tiny generator."""

    def build(**parameters):
        parameters = {"surrogate": "pixels", **parameters}
        if parameters["surrogate"] == "style":
            parameters["generator"] = file
        inside = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        return build_entrant(f"kanon({inside})")

    return build


def release(built, images, **controller):
    return check_released(built.anonymizer.anonymize(images, Controller(**controller)), images)


def recogniser(classes=11, broken=False):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        architecture = Architecture(RECOGNISER, tuple(map(str, range(classes))), {"width": 4})
        network = architecture.build().eval().requires_grad_(False)
    if broken:
        next(network.parameters()).fill_(torch.nan)
    return Classifier("recogniser", architecture, network, f"{broken} made here")


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
        """And right to 40 bits of the largest number."""
        generator = torch.Generator().manual_seed(seed)
        who = torch.cat([torch.arange(4), torch.randint(4, (30,), generator=generator)])
        values = torch.randn(34, 3, generator=generator, dtype=torch.float64) * scale
        order = torch.randperm(34, generator=generator)
        means = Persons(who, known=True).means(values)
        assert torch.equal(Persons(who[order], known=True).means(values[order]), means)
        for person in range(4):
            assert (means[person] - values[who == person].mean(dim=0)).abs().max() <= 2.0**-40 * max(
                1, values.abs().max()
            )

    @pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
    def test_a_value_that_is_no_number_is_an_error(self, bad):
        values = torch.ones(5, 2)
        values[3, 1] = bad
        with pytest.raises(EntrantError, match="1 of 5 images is not finite, the first of image 3"):
            Persons(torch.tensor([0, 0, 1, 1, 2]), known=True).means(values)

    @pytest.mark.parametrize(
        ("of_image", "known", "words"),
        [
            ([0, 1, 2], False, "every image counted as a person of its own: without labels"),
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

    def test_recogniser_gives_the_features_before_its_last_layer(self, people, make):
        given = recogniser()
        points = embeddings.embedding("recogniser", people, Controller(recogniser=given)).describe(people)
        linear = [part for part in given.network.modules() if isinstance(part, nn.Linear)][-1]
        with torch.no_grad():
            logits = linear(points.float())
        assert torch.allclose(logits, given.logits(people.images), atol=1e-4)
        made = release(make(k=3, embedding="recogniser"), people, recogniser=given)
        assert made.notes["divided"] == "by best, on recogniser"

    def test_recogniser_that_is_not_handed_out(self, people, make):
        built = make(embedding="recogniser")
        assert "recogniser" in built.facts.uses
        with pytest.raises(EntrantError, match=r"embedding=recogniser needs a recogniser.*: use pca"):
            release(built, people)

    def test_recogniser_that_gives_no_numbers(self, people, make):
        with pytest.raises(EntrantError, match=r"embedding=recogniser: .* not finite") as caught:
            release(make(embedding="recogniser"), people, recogniser=recogniser(broken=True))
        assert "\n" not in str(caught.value)


class TestParameters:
    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ("kanon(k=1)", "k: "), ("kanon(k=0)", "k: "), ("kanon(k=2.5)", "k: "), ("kanon(psi=0)", "psi: "),
            ("kanon(steps=-1)", "steps: "), ("kanon(groups=3)", "no parameter 'groups'"),
            ("kanon(embedding=pcaa)", "no embedding is called 'pcaa'. Did you mean 'pca'?"),
            ("kanon(partition=hpp)", "Did you mean 'hp'?"), ("kanon(partition=best+exchang)", "best+exchang"),
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
    def test_every_partition_can_be_named(self, method, people, make):
        built = make(k=2, partition=method)
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
    def test_uses_what_it_needs(self, parameters, uses, make):
        built = make(**parameters)
        assert set(built.facts.uses) == set(uses) <= USES
        assert built.facts.k_anonymity == 5
        assert len(built.facts.source) > 10

    def test_measures_of_groups_come_along(self, make):
        assert set(make().anonymizer.measures) >= {"information-loss", "re-identification", "homogeneity", "silhouette"}


class TestReleased:
    """What must hold whichever face is drawn."""

    @pytest.fixture(params=SURROGATES)
    def surrogate(self, request):
        return request.param

    def test_the_claim_holds_by_the_metric(self, surrogate, people, others, make):
        for k in (2, 4):
            built = make(k=k, surrogate=surrogate)
            made = release(built, people, train=others)
            group = made.notes["group"]
            assert group.dtype == torch.int64
            claim = KAnonymityClaim(built.facts.k_anonymity, group)
            score = (
                build_metric("k-anonymity").score(people, people.with_images(made.images), Referees(claim=claim)).score
            )
            assert BROKEN not in score.flags
            assert k <= score.value < 2 * k
            assert score.details["people with several surrogates"] == 0
            for number in group.unique():
                rows = group == number
                assert (made.images[rows] == made.images[rows][:1]).all()
            assert len({bytes(image.numpy()) for image in made.images}) == len(group.unique()) > 1
            assert made.notes["grouped"] == described(persons_of(people))

    def test_neither_batches_nor_order_change_a_byte(self, surrogate, people, others, make):
        plain = release(make(k=3, surrogate=surrogate), people, train=others, batch_size=64)
        order = torch.randperm(26, generator=torch.Generator().manual_seed(3))
        again = release(make(k=3, surrogate=surrogate), people.select(order), train=others, batch_size=3)
        assert torch.equal(again.images, plain.images[order])
        assert torch.equal(again.notes["group"], plain.notes["group"][order])

    def test_sees_only_what_it_declares(self, surrogate, people, others, make):
        """No landmarks, attributes or other people beyond ``uses`` have a part in it."""
        built = make(k=3, surrogate=surrogate)
        uses = built.facts.uses
        bare = people.without(attributes=True, landmarks="landmarks" not in uses)
        train = {"train": others} if "train" in uses else {}
        plain = release(built, people, train=others)
        assert torch.equal(release(built, bare, **train).images, plain.images)

    def test_the_nearest_original_names_a_kth_at_most(self, surrogate, people, others, make):
        k = 3
        made = release(make(k=k, surrogate=surrogate), people, train=others)
        pixels, released = (images.flatten(1).double() for images in (people.images, made.images))
        guess = people.identity.values[torch.cdist(released, pixels).argmin(dim=1)]
        right = (guess == people.identity.values).double()
        persons = torch.stack([right[people.identity.values == person].mean() for person in range(11)])
        groups = len(made.notes["group"].unique())
        assert float(persons.mean()) <= groups / 11 + 1e-9
        assert groups / 11 <= 1 / k

    def test_progress_ends_at_all_images(self, surrogate, people, others, make):
        done = []
        release(make(surrogate=surrogate), people, train=others, progress=done.append)
        assert sum(done) == 26


class TestGroups:
    def test_pixels_are_the_plain_mean(self, people, make):
        made = release(make(k=4, partition="random"), people, seed=2)
        who = people.identity.values
        for number in made.notes["group"].unique():
            rows = made.notes["group"] == number
            members = [people.images[who == person].double().mean(dim=0) for person in who[rows].unique()]
            wanted = torch.stack(members).mean(dim=0)
            assert (made.images[rows].double() - wanted).abs().max() <= 0.5 + 1e-4

    def test_random_groups_follow_the_seed(self, people, make):
        one, same, other = (release(make(partition="random"), people, seed=seed).notes["group"] for seed in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_the_persons_who_look_alike_share_a_face(self, make):
        """Four planted kinds of people with three of each, two photographs of everybody."""
        kinds = smooth_people(4, 1, (48, 40), seed=3).images
        kind = torch.arange(12) % 4
        noise = torch.randint(0, 8, (24, 3, 48, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        who = torch.arange(12).repeat_interleave(2)
        images = ImageSet(
            (kinds[kind[who]] // 2 + noise),
            tuple(f"{row:02}" for row in range(24)),
            Labels(who, tuple(map(str, range(12)))),
        )
        group = release(make(k=3), images).notes["group"]
        assert len(group.unique()) == 4
        for number in group.unique():
            assert len(kind[who[group == number]].unique()) == 1

    def test_several_photographs_of_a_person_are_in_one_group(self, people, make):
        group = release(make(k=2), people).notes["group"]
        for person in range(11):
            assert len(group[people.identity.values == person].unique()) == 1

    def test_without_labels_every_image_is_a_person(self, make_set, make):
        made = release(make(k=4), make_set(9))
        assert sorted(made.notes["group"].bincount().tolist()) == [4, 5]
        assert made.notes["grouped"].startswith("every image counted as a person of its own")
        assert made.notes["groups"] == "2 of 4 to 5 persons"

    def test_too_few_persons(self, people, make):
        with pytest.raises(EntrantError, match="11 persons are too few for groups of k=12: use k=11 or less"):
            release(make(k=12), people)
        alone = people.select((people.identity.values == 0).nonzero().flatten())
        with pytest.raises(EntrantError, match="1 persons are too few for groups of k=5: give at least 2 persons"):
            release(make(), alone)

    @pytest.mark.parametrize("surrogate", ["pixels", "style"])
    @pytest.mark.parametrize("k", [2, 3])
    def test_duplicated_photographs_are_grouped_and_reported(self, surrogate, k, people, make):
        """Everybody looks the same; then two persons do."""
        same = people.with_images(people.images[:1].expand(26, -1, -1, -1).contiguous())
        made = release(make(k=k, surrogate=surrogate), same)
        assert made.notes["group"].bincount().min() >= k
        assert made.notes["same embedding"].startswith("11 persons have exactly the embedding of another")
        if surrogate == "pixels":
            assert torch.equal(made.images, same.images)
        single = smooth_people(8, 1, (48, 40))
        pixels = single.images.clone()
        pixels[5] = pixels[2]
        pair = release(make(k=k, surrogate=surrogate), single.with_images(pixels))
        assert pair.notes["same embedding"].startswith("2 persons")
        assert pair.notes["group"][5] == pair.notes["group"][2]
        assert "same embedding" not in release(make(k=k, surrogate=surrogate), single).notes

    @settings(max_examples=20, deadline=None)
    @given(persons=st.integers(2, 20), photographs=st.integers(1, 3), k=st.integers(2, 6))
    def test_no_group_is_smaller_than_k(self, persons, photographs, k, make, make_set):
        k = min(k, persons)
        images = make_set(persons * photographs, 5, 6, persons=persons)
        group = release(make(k=k), images).notes["group"]
        assert group.unique().tolist() == list(range(int(group.max()) + 1))
        for number in group.unique():
            assert len(images.identity.values[group == number].unique()) >= k


class TestSelect:
    def test_no_group_mixes_values(self, people, make):
        made = release(make(k=2, select="kind"), people)
        for number in made.notes["group"].unique():
            assert len(people.attributes["kind"].values[made.notes["group"] == number].unique()) == 1
        assert made.notes["selected"] == "no group mixes kind"
        plain = release(make(k=2), people).notes["group"]
        kinds = people.attributes["kind"].values
        assert any(len(kinds[plain == number].unique()) > 1 for number in plain.unique())

    def test_several_attributes(self, make):
        images = smooth_people(16, 1, (48, 40))
        values = torch.arange(16) // 8
        images = dataclasses.replace(
            images, attributes={**images.attributes, "half": Labels(values, ("first", "second"))}
        )
        group = release(make(k=2, select="kind+half"), images).notes["group"]
        joint = images.attributes["kind"].values * 2 + values
        for number in group.unique():
            assert len(joint[group == number].unique()) == 1

    def test_a_value_with_too_few_persons_is_named(self, people, make):
        """Six persons are even, five are odd."""
        with pytest.raises(EntrantError) as caught:
            release(make(k=6, select="kind"), people)
        text = str(caught.value)
        assert re.search(r"only 5 of 11 persons .*'kind=odd'.* k=6 .*use k=5 or less", text), text
        assert "\n" not in text

    def test_an_attribute_that_is_not_there_is_named(self, people, make):
        with pytest.raises(EntrantError, match="no attribute 'kid'; they have: kind, photograph"):
            release(make(select="kid"), people)
        with pytest.raises(EntrantError, match="no attribute 'kind'; they have: none"):
            release(make(select="kind"), people.without(attributes=True))


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

    def test_other_surrogates_have_no_weights(self, make):
        assert make().facts.weights == ()
        assert make().facts.training_data == ()
        assert set(make().anonymizer.found()) == {"conventional"}

    def test_a_missing_file_is_said_at_once(self, tmp_path):
        with pytest.raises(EntrantError, match=r"there is no file .*anonbench generator train"):
            build_entrant(f"kanon(generator={str(tmp_path / 'gone.safetensors')!r})")

    def test_parameters_reach_the_generator(self, people, make):
        plain = release(make(surrogate="style"), people).images
        for more in ({"psi": 0.5}, {"layers": "coarse"}, {"mix": "random"}, {"steps": 2}):
            assert not torch.equal(release(make(surrogate="style", **more), people).images, plain), more
        adjusted = release(make(surrogate="style", mix="adjusted", k=2), people)
        assert adjusted.notes["group"].bincount().min() >= 2

    def test_is_the_default(self):
        assert Kanon.__dataclass_fields__["surrogate"].default == "style"


class TestCompat:
    def test_groups_depend_on_the_order_of_persons_as_published(self, make):
        """Hierarchical groups keep their first members by number."""
        images = smooth_people(23, 1, (48, 40), seed=4)
        groups = []
        for keys in (images.keys, tuple(reversed(images.keys))):
            made = release(make(k=5, partition="hp", compat=True), dataclasses.replace(images, keys=keys))
            groups.append({frozenset((made.notes["group"] == g).nonzero().flatten().tolist()) for g in range(4)})
            assert made.notes["group"].bincount().min() >= 5
        assert groups[0] != groups[1]
