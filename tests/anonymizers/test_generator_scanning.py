"""The look at a pickle's instructions: short files whose tuples would take years to hash are refused at once."""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile

import pytest
import torch

from anonymizers.kanonymity.generator.pickled import read_pickle
from anonymizers.kanonymity.generator.rosinality import load_tensors
from benchmark.errors import EntrantError, EnvironmentProblem

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


COLLIDING = {
    "long numbers": b"".join(
        b"\x8a\x0a" + (place * (2**61 - 1)).to_bytes(10, "little") + b"N" for place in range(40_000)
    ),
    "tuples": b"".join(b"J" + place.to_bytes(4, "little") + b"\x85N" for place in range(40_000)),
}


@pytest.mark.parametrize("keys", COLLIDING.values(), ids=COLLIDING)
@pytest.mark.parametrize("frame", [b"}(%bu.", b"(%bd."])
def test_keys_that_may_fall_into_one_place_are_refused(keys, frame, file) -> None:
    """These long numbers have one hash: half a minute for 40,000 of them, and four times as long for twice as many."""
    file.write_bytes(START + frame % keys)
    with pytest.raises(EntrantError, match="asks for a key that is neither a text nor a short number"):
        read_pickle(file)


def saved(path, pickled, zipped):
    """A file of ``torch.save`` whose tensors are described by another pickle."""
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer, _use_new_zipfile_serialization=zipped)
    if not zipped:
        whole, ends = io.BytesIO(buffer.getvalue()), []
        for _ in range(4):
            list(pickletools.genops(whole))
            ends.append(whole.tell())
        path.write_bytes(buffer.getvalue()[: ends[2]] + pickled + buffer.getvalue()[ends[3] :])
        return
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for part in old.namelist():
            new.writestr(part, pickled if part.endswith("data.pkl") else old.read(part))


@pytest.mark.parametrize("zipped", [True, False])
def test_saved_tensors_are_looked_at_too(zipped, tmp_path) -> None:
    path = tmp_path / "g.pt"
    torch.save({"a": torch.ones(2), 7: [1.5, 2**63]}, path, _use_new_zipfile_serialization=zipped)
    assert load_tensors(path)["a"].tolist() == [1, 1]
    for hostile, words in {TOWERS["of copies"]: "a tuple of more than 1000", b")\x85": "a key that is neither"}.items():
        saved(path, b"\x80\x02" + KEYS["key"] % hostile, zipped)
        with pytest.raises(EnvironmentProblem, match=f"cannot be read as weights: it asks for {words}"):
            load_tensors(path)


def test_a_compressed_description_is_refused(tmp_path) -> None:
    path = tmp_path / "g.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}." + bytes(10**6))
    with pytest.raises(EnvironmentProblem, match="a compressed part"):
        load_tensors(path)
