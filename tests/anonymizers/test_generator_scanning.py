"""The look at a pickle's instructions: short files whose tuples would take years to hash are refused at once."""

from __future__ import annotations

import pickle

import pytest

from anonymizers.kanonymity.generator.pickled import read_pickle
from benchmark.errors import EntrantError

START = b"\x80\x04"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "network.pkl"


TOWERS = {
    "of copies": b")" + b"2\x86" * 60,
    "of places in the memo": b")q\x000" + b"h\x00h\x00\x86q\x000" * 60 + b"h\x00",
    "of wide floors": b")q\x000" + (b"(" + b"h\x00" * 100 + b"tq\x000") * 9 + b"h\x00",
    "under an object": b"ctorch\nSize\n)" + b"2\x86" * 60 + b"\x85R",
    "changed by nothing": b")" + b"2\x86Nb(u" * 60,
    "of one column": b")" + b"\x85" * 10**6,
}
KEYS = {"key": b"}%bNs.", "of keys": b"}(%bNu.", "of old keys": b"(%bNd.", "element": b"\x8f(%b\x90."}


@pytest.mark.parametrize("use", KEYS)
@pytest.mark.parametrize("tower", TOWERS)
def test_tuples_that_take_years_to_hash_are_refused(use, tower, file) -> None:
    file.write_bytes(START + KEYS[use] % TOWERS[tower])
    with pytest.raises(EntrantError, match="asks for a tuple of more than 1000 values in all; nothing was executed"):
        read_pickle(file)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("shape", ["flat", "nested", "shared", "inside a dictionary"])
@pytest.mark.parametrize(("most", "passes"), [(1000, True), (1001, False)])
def test_tuples_count_with_all_they_hold(shape, most, passes, protocol, file) -> None:
    part = (1,) * 29
    whole = {
        "flat": lambda: (1,) * (most - 1),
        "nested": lambda: ((7,) * 499, (8,) * (most - 502)),
        "shared": lambda: (part,) * 33 + (1,) * (most - 991),
        "inside a dictionary": lambda: {"a": [(1,) * (most - 1)], "b": (2,) * 500},
    }[shape]()
    file.write_bytes(pickle.dumps(whole, protocol))
    if passes:
        assert read_pickle(file) == whole
    else:
        with pytest.raises(EntrantError, match="1000 values in all"):
            read_pickle(file)
