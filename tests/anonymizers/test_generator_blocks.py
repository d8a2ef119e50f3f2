"""Tensors inside pickles: whole ones come out as they went in, hostile blocks of numbers are refused."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections import OrderedDict

import pytest
import torch

from anonymizers.kanonymity.generator.blocks import tensor_in
from anonymizers.kanonymity.generator.pickled import StoredTensor, read_pickle
from benchmark.errors import EntrantError, EnvironmentProblem

START = b"\x80\x04"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n("


@pytest.fixture
def file(tmp_path):
    return tmp_path / "network.pkl"


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_values_and_tensors_come_out_as_they_went_in(protocol, file) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "whole": whole,
        "view": whole[1:3, ::2],
        "turned": whole.T,
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3),
        "half": whole.half(),
        "double": whole.double(),
        "integers": torch.arange(5),
        "parameter": torch.nn.Parameter(whole),
    }
    plain = [1, -2.5, "text", None, True, b"bytes", (1, 2), {3}, {"a": [1]}, 2**80]
    file.write_bytes(pickle.dumps({"plain": plain, "tensors": OrderedDict(tensors), "size": whole.shape}, protocol))
    found = read_pickle(file)
    assert found["plain"] == plain
    assert found["size"] == (4, 6)
    for name, value in tensors.items():
        stored = found["tensors"][name]
        assert isinstance(stored, StoredTensor)
        assert torch.equal(tensor_in(file, name, stored), value.detach().float())


def block_of(tensor):
    """The bytes that torch stores for a tensor's numbers."""
    typed = torch.storage.TypedStorage(wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True)
    stored = io.BytesIO()
    torch.save(typed, stored, _use_new_zipfile_serialization=False)
    return stored.getvalue()


def with_block(data, offset=0, shape=(2,), stride=(1,)):
    def number(value):
        return b"\x8a\x08" + struct.pack("<q", value)

    def numbers(values):
        return b"(" + b"".join(number(value) for value in values) + b"t"

    stored = b"ctorch.storage\n_load_from_bytes\n(B" + struct.pack("<I", len(data)) + data + b"tR"
    return START + TENSOR + stored + number(offset) + numbers(shape) + numbers(stride) + b"\x89}tR."


def read_tensor(file, content):
    file.write_bytes(content)
    return tensor_in(file, "weight", read_pickle(file))


def test_a_written_block_is_read(file) -> None:
    data = block_of(torch.tensor([1.0, 2.0, 3.0]))
    assert read_tensor(file, with_block(data, 1)).tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    "stated",
    [
        {"offset": 2},
        {"offset": -1},
        {"shape": (4,)},
        {"shape": (10**9, 10**9), "stride": (0, 0)},
        {"shape": (4,), "stride": (0,)},
        {"shape": (2,), "stride": (3,)},
        {"shape": (2,), "stride": (-1,), "offset": 1},
        {"shape": (-1,)},
        {"shape": (2**62, 2**62, 0, -1), "stride": (1, 1, 1, 1)},
    ],
)
def test_tensors_outside_their_block_are_refused(stated, file) -> None:
    with pytest.raises(EntrantError, match="weight"):
        read_tensor(file, with_block(block_of(torch.tensor([1.0, 2.0, 3.0])), **stated))


def test_hostile_bytes_inside_a_block_are_refused(file, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = block_of(torch.tensor([1.0, 2.0]))
    parts, stream = [], io.BytesIO(good)
    for _ in range(5):
        start = stream.tell()
        list(pickletools.genops(stream))
        parts.append(good[start : stream.tell()])
    rest = good[stream.tell() :]
    hostile = b"\x80\x02cos\nsystem\n(X\x0e\x00\x00\x00touch executedtR."
    read_tensor(file, with_block(b"".join(parts) + rest))
    for place in range(5):
        data = b"".join([*parts[:place], hostile, *parts[place + 1 :]]) + rest
        with pytest.raises(EntrantError, match=r"os\.system inside a block"):
            read_tensor(file, with_block(data))
    for data, message in {
        hostile: "os.system",
        b"".join(parts[:3]) + b"\x80\x02c__builtin__\neval\n." + parts[4] + rest: "eval",
        b"".join(parts[:3]) + parts[3].replace(b"K\x02", b"J\xff\xff\xff\x7f") + parts[4] + rest: "more numbers",
        b"".join(parts[:3]) + b"\x80\x02N." + parts[4] + rest: "truncated or damaged",
    }.items():
        with pytest.raises((EntrantError, EnvironmentProblem), match=message):
            read_tensor(file, with_block(data))
    with pytest.raises(EnvironmentProblem, match="weight is truncated or damaged"):
        read_tensor(file, with_block(good[:-4]))
    assert [path.name for path in tmp_path.iterdir()] == ["network.pkl"]
