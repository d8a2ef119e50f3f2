"""k-Same against a version written out person by person, and against scikit-learn's PCA."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from anonymizers.conventional.ksame import KSameEigen, KSamePixel
from benchmark.errors import EntrantError
from benchmark.protocols import Controller

ENTRANTS = [KSamePixel, KSameEigen]


def people(images):
    """Mean image by label, persons in the order of their first key."""
    labels = images.identity.values.tolist()
    order = list(dict.fromkeys(labels[row] for row in np.argsort(images.keys)))
    pixels = images.images.flatten(1).numpy().astype(float)
    return {label: pixels[np.array(labels) == label].mean(axis=0) for label in order}


def greedy(points, k):
    """Groups of labels: the first one left and its nearest, fewer than 2 k together."""
    left, groups = list(points), []
    while len(left) >= 2 * k:
        first = points[left[0]]
        group = sorted(left, key=lambda label: np.sum((points[label] - first) ** 2))[:k]
        groups.append(group)
        left = [label for label in left if label not in group]
    return [*groups, left]


def expected(images, k, components=None):
    """Surrogate by label, and the groups."""
    points = people(images)
    pca = None
    if components is not None:
        pca = PCA(components, svd_solver="full").fit(np.stack(list(points.values())))
        points = {label: pca.transform(point[None])[0] for label, point in points.items()}
    surrogates = {}
    for group in greedy(points, k):
        mean = np.mean([points[label] for label in group], axis=0)
        image = mean if pca is None else pca.inverse_transform(mean[None])[0]
        surrogates |= dict.fromkeys(group, np.clip(image, 0, 255))
    return surrogates


def run(entrant, images):
    return entrant.anonymize(images, Controller(batch_size=7))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("components", [None, 0.5, 0.95, 1, 4])
def test_equals_the_written_out_version(make_set, k, components):
    images = make_set(41, 9, 11, persons=13)
    shuffled = images.select(torch.randperm(41, generator=torch.Generator().manual_seed(1)))
    entrant = KSamePixel(k) if components is None else KSameEigen(k, components)
    surrogates = expected(shuffled, k, components)
    released = run(entrant, shuffled).images.flatten(1).numpy()
    for label, image in zip(shuffled.identity.values.tolist(), released, strict=True):
        assert np.abs(image - surrogates[label]).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("family", ENTRANTS)
@settings(max_examples=25, deadline=None)
@given(persons=st.integers(2, 23), photographs=st.integers(1, 3), k=st.integers(2, 6))
def test_every_image_is_shared_by_at_least_k_persons(make_set, family, persons, photographs, k):
    k = min(k, persons)
    images = make_set(persons * photographs, 5, 6, persons=persons)
    released = run(family(k), images)
    group = released.notes["group"]
    assert group.dtype == torch.int64
    for number in group.unique():
        rows = group == number
        assert k <= len(images.identity.values[rows].unique()) < 2 * k
        assert (released.images[rows] == released.images[rows][:1]).all()
    for person in range(persons):
        assert len(group[images.identity.values == person].unique()) == 1


@pytest.mark.parametrize("family", ENTRANTS)
def test_order_of_the_images_does_not_matter(make_set, family):
    images = make_set(30, persons=11)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    assert torch.equal(run(family(3), images).images[order], run(family(3), images.select(order)).images)


@pytest.mark.parametrize("family", ENTRANTS)
def test_without_identities_every_image_is_a_person(make_set, family):
    released = run(family(4), make_set(9))
    assert released.notes["group"].bincount().tolist() == [4, 5]


@pytest.mark.parametrize("family", ENTRANTS)
def test_too_few_persons_is_an_error_that_names_a_k(make_set, family):
    with pytest.raises(EntrantError, match=r"\(k=5\) needs at least 5 persons, and the set has 3: use k=3 or less"):
        run(family(5), make_set(9, persons=3))
    with pytest.raises(EntrantError, match="use a set with at least 2 persons"):
        run(family(2), make_set(9, persons=1))


@pytest.mark.parametrize("family", ENTRANTS)
def test_equal_images_stay_what_they_are(make_set, family):
    images = make_set(6, persons=6)
    same = dataclasses.replace(images, images=images.images[:1].expand(6, -1, -1, -1).contiguous())
    assert torch.equal(run(family(2), same).images, same.images)
