"""Content addresses against hashlib, and what must and must not change them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.hashing import sha256_bytes, sha256_file, sha256_json, sha256_tensor

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary(max_size=500))
def test_bytes_and_file_have_the_sha256_of_hashlib(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path: Path = tmp_path_factory.mktemp("file") / "data"
    path.write_bytes(data)
    assert sha256_bytes(data) == sha256_file(path) == hashlib.sha256(data).hexdigest()


def test_canonical_json_is_pinned() -> None:
    expected = hashlib.sha256('{"a":[1,null,true],"b":"ä"}'.encode()).hexdigest()
    assert sha256_json({"b": "ä", "a": (1, None, True)}) == expected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=5))
def test_order_of_names_does_not_matter(value: dict[str, object]) -> None:
    assert sha256_json(dict(reversed(value.items()))) == sha256_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_have_no_address(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        sha256_json([value])


def test_tensor_hash_depends_on_type_shape_and_values() -> None:
    base = torch.arange(6, dtype=torch.uint8)
    others = [base.view(2, 3), base.view(3, 2), base.to(torch.int16), base.flip(0)]
    assert len({sha256_tensor(tensor) for tensor in [base, *others]}) == 5


def test_tensor_hash_does_not_depend_on_memory_layout() -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    assert sha256_tensor(images.contiguous(memory_format=torch.channels_last)) == sha256_tensor(images)
    assert sha256_tensor(images[:, :, ::2]) == sha256_tensor(images[:, :, ::2].clone())
