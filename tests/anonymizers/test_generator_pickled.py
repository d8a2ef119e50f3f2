"""The restricted unpickler: what hostile pickles ask for is refused by name, and nothing happens."""

from __future__ import annotations

import copyreg
import os
import pickle
import struct
import sys
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.kanonymity.generator import pickled
from anonymizers.kanonymity.generator.nvlabs import read_nvlabs
from anonymizers.kanonymity.generator.pickled import ALLOWED, read_pickle
from benchmark.errors import AnonbenchError, EntrantError, EnvironmentProblem
from tests.anonymizers.generator_files import Persistent, nvlabs_state, stub_modules, write_nvlabs

WATCHED = (
    "os.system",
    "os.mkdir",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "exec",
    "import",
    "shutil",
    "socket.connect",
)
SEEN: list[str] = []
LISTENING = []


def _listen(event, args):
    if LISTENING and event.startswith(WATCHED):
        SEEN.append(f"{event} {args!r}"[:200])


sys.addaudithook(_listen)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "network.pkl"


@pytest.fixture
def watched():
    """Fails the test if Python reports a command, a program, an import or a new folder while it reads."""
    SEEN.clear()
    before = dict(ALLOWED)
    LISTENING.append(True)
    yield
    LISTENING.clear()
    assert not SEEN
    assert before == ALLOWED


def unicode(text):
    return b"\x8c" + bytes([len(text)]) + text.encode()


def stack_global(module, name):
    return unicode(module) + unicode(name) + b"\x93"


def call(module, name, *texts):
    return f"c{module}\n{name}\n(".encode() + b"".join(unicode(text) for text in texts) + b"tR"


START = b"\x80\x04"
OBJECT = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n("
EXTENSION = 0xF1
HOSTILE = {
    "os.system": (call("os", "system", "touch executed") + b".", "os.system"),
    "posix.system": (call("posix", "system", "touch executed") + b".", "posix.system"),
    "builtins.eval": (call("builtins", "eval", "__import__('os')") + b".", "builtins.eval"),
    "builtins.getattr": (call("builtins", "getattr") + b".", "builtins.getattr"),
    "python 2": (call("__builtin__", "eval", "1") + b".", "__builtin__.eval"),
    "nested in a reduce": (
        OBJECT + b"}" + unicode("state") + call("os", "system", "touch executed") + b"stR.",
        "os.system",
    ),
    "in the arguments of a tensor": (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + call("os", "system", "x") + b"tR.",
        "os.system",
    ),
    "stack global": (stack_global("os", "system") + unicode("x") + b"\x85R.", "os.system"),
    "dotted name": (stack_global("torch._utils", "os.system") + unicode("x") + b"\x85R.", "torch._utils.os.system"),
    "dotted from a package": (
        stack_global("torch", "_utils.os.system") + unicode("x") + b"\x85R.",
        "torch._utils.os.system",
    ),
    "dotted behind an allowed name": (
        stack_global("torch._utils", "_rebuild_tensor_v2.__globals__") + b".",
        "_rebuild_tensor_v2.__globals__",
    ),
    "dunder of an allowed class": (stack_global("collections", "OrderedDict.__init__") + b".", "OrderedDict.__init__"),
    "a module that is not there": (call("anonbench_no_such_module", "f") + b".", "anonbench_no_such_module.f"),
    "an import with an effect": (stack_global("antigravity", "fly") + b".", "antigravity.fly"),
    "copyreg": (call("copyreg", "_reconstructor") + b".", "copyreg._reconstructor"),
    "copyreg extension": (b"\x82" + bytes([EXTENSION]) + b".", "EXT1"),
    "inst": (b"(" + unicode("touch executed") + b"ios\nsystem\n.", "INST"),
    "inst of an allowed class": (b"(icollections\nOrderedDict\n.", "INST"),
    "obj": (b"(cos\nsystem\n" + unicode("touch executed") + b"o.", "OBJ"),
    "persistent name": (unicode("x") + b"Q.", "BINPERSID"),
    "torch.load": (call("torch", "load", "x") + b".", "torch.load"),
    "torch.hub": (call("torch.hub", "load", "x") + b".", "torch.hub.load"),
    "numpy.load": (call("numpy", "load", "x") + b".", "numpy.load"),
    "numpy.f2py": (call("numpy.f2py", "compile", "x") + b".", "numpy.f2py.compile"),
    "codecs": (call("_codecs", "encode", "abc", "rot13") + b".", "_codecs.encode with another encoding"),
    "new": (b"cos\nsystem\n(t\x81.", "os.system"),
    "new with keywords": (b"cos\nsystem\n(t}\x92.", "os.system"),
    "memo far away": (b"Nr\xff\xff\xff\x7f.", "of the memo"),
    "class changed by build": (
        b"ccollections\nOrderedDict\nN}" + unicode("items") + b"Ns\x86b.",
        "change of the class",
    ),
    "dictionary with arguments": (b"ccollections\nOrderedDict\n(]tR.", "with arguments"),
    "many copies": (b"cbuiltins\nset\n(](" + b"N" * 40 + b"etR.", "copy of 40"),
    "a tensor of many dimensions": (
        b"ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\n(C\x01xtRK\x00("
        + b"K\x01" * 40
        + b"tK\x01\x85tR.",
        "copy of 40",
    ),
    "a frozen set": (b"(\x91.", "FROZENSET"),
    "a huge number": (b"\x8b\x00\x01\x00\x00" + bytes(256) + b".", "LONG4"),
    "object without a state": (OBJECT + b"}tR.", "where str should be"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_by_name(name, file, tmp_path, monkeypatch, watched) -> None:
    monkeypatch.chdir(tmp_path)
    content, asked = HOSTILE[name]
    file.write_bytes(START + content)
    with pytest.raises(EntrantError) as caught:
        read_pickle(file)
    assert asked in str(caught.value)
    assert "nothing was executed" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["network.pkl"]


def test_a_cached_extension_is_not_taken(file, watched) -> None:
    """Python's unpickler takes cached extensions without asking for the class."""
    copyreg.add_extension("posix", "system", EXTENSION)
    copyreg._extension_cache[EXTENSION] = os.system
    try:
        file.write_bytes(START + b"\x82" + bytes([EXTENSION]) + unicode("touch executed") + b"\x85R.")
        with pytest.raises(EntrantError, match="EXT1"):
            read_pickle(file)
    finally:
        copyreg.remove_extension("posix", "system", EXTENSION)
        copyreg._extension_cache.pop(EXTENSION, None)


TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n("
BLOCK = b"ctorch.storage\n_load_from_bytes\n(C\x01xtR"
BUILT = {
    "a function": b"ctorch._utils\n_rebuild_tensor_v2\n",
    "a block": BLOCK,
    "a tensor": TENSOR + BLOCK + b"K\x00K\x01\x85K\x01\x85\x89}tR",
    "an object": OBJECT + b"}" + unicode("class_name") + unicode("x") + b"s" + unicode("state") + b"}stR",
    "a dictionary": b"ccollections\nOrderedDict\n)R",
    "a class": b"ccollections\nOrderedDict\n",
    "a set": b"cbuiltins\nset\n(]tR",
}


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("attribute", ["function", "data", "name", "items", "__setstate__", "__class__", "__call__"])
@pytest.mark.parametrize("name", BUILT)
def test_build_changes_nothing(name, attribute, slots, file, watched) -> None:
    state = b"}" + unicode(attribute) + b"Ns"
    file.write_bytes(START + BUILT[name] + (b"N" + state + b"\x86" if slots else state) + b"b.")
    with pytest.raises(AnonbenchError):
        read_pickle(file)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_numbers_of_numpy_are_read(protocol, file, watched) -> None:
    numbers = {"b": np.float64(2.5), "c": np.int64(-4), "d": np.bool_(True), "e": np.float32(0.5)}
    file.write_bytes(pickle.dumps(numbers, protocol))
    assert read_pickle(file) == {"b": 2.5, "c": -4, "d": True, "e": 0.5}


def test_arrays_of_numpy_are_let_go(file, watched) -> None:
    file.write_bytes(pickle.dumps([np.arange(3), np.array([None])], 4))
    assert all(isinstance(value, pickled.StoredArray) for value in read_pickle(file))


class Command:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("place", ["beside", "in a setting", "as a module", "as a tensor"])
def test_a_whole_network_with_one_hostile_object(place, file, monkeypatch, tmp_path) -> None:
    command = Command(tmp_path / "executed")
    more = {
        "beside": {"more": command},
        "in a setting": {"D": Persistent("Discriminator", {"_init_args": (command,)})},
        "as a module": {"D": Persistent("Discriminator", {"_modules": OrderedDict(a=command)})},
        "as a tensor": {"D": Persistent("Discriminator", {"_parameters": OrderedDict(a=command)})},
    }[place]
    write_nvlabs(file, monkeypatch, **more)
    with pytest.raises(EntrantError, match=r"posix\.mkdir|nt\.mkdir"):
        read_nvlabs(file)
    assert not (tmp_path / "executed").exists()
    pickle.loads(pickle.dumps(command))  # the command itself works
    assert (tmp_path / "executed").exists()


def test_tensorflow_networks_say_how_to_convert_them(file) -> None:
    file.write_bytes(START + b"cdnnlib.tflib.network\nNetwork\n)R.")
    with pytest.raises(EntrantError, match=r"TensorFlow.*python legacy\.py --source=OLD\.pkl --dest=NEW\.pkl"):
        read_pickle(file)


def test_lengths_are_checked_against_the_file(file) -> None:
    for content in (
        b"\x8e" + struct.pack("<Q", 2**60) + b"x.",
        b"B\xff\xff\xff\x7fx.",
        b"\x8d" + struct.pack("<Q", 2**50) + b".",
    ):
        file.write_bytes(START + content)
        with pytest.raises(EnvironmentProblem, match="truncated"):
            read_pickle(file)


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """A whole pickle of a network."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        stub_modules(monkeypatch)
        path = tmp_path_factory.mktemp("valid") / "network.pkl"
        return write_nvlabs(path, monkeypatch, nvlabs_state((2,))).read_bytes()


def outcome(read, path):
    """The message of the error, or an empty text."""
    try:
        read(path)
    except AnonbenchError as error:
        return str(error)
    return ""


HARMLESS = {"encodings", "torch", "unicodedata", "stringprep"}


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_changed_bytes_give_values_or_an_error_and_import_nothing(data, valid, tmp_path_factory) -> None:
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.pkl"
    path.write_bytes(content)
    before = set(sys.modules)
    assert "\n" not in outcome(read_pickle, path) + outcome(read_nvlabs, path)
    came = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert came <= HARMLESS, "Python's alphabets, and what torch loads when it reads its first tensor"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_values_or_an_error(tmp_path_factory, content) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pkl"
    path.write_bytes(START + content)
    message = outcome(read_pickle, path)
    assert not message or str(path) in message
