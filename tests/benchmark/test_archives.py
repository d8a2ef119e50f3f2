"""Archives of strangers: what may not be unpacked is refused as a whole, and nothing lands anywhere."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.entrants import archives
from benchmark.entrants.archives import LIMITS, Limits, parts_of, unpacked
from benchmark.entrants.members import HEADERS, Refused
from benchmark.errors import EnvironmentProblem, UsageError

TOML = b'name = "x"\nkind = "precomputed"\n'
FILES = {"entrant.toml": TOML, "probe/a.png": b"one", "enrol/b.png": os.urandom(200_000), "probe/empty.png": b""}
SMALL = Limits(members=50, member_bytes=3_000_000, total_bytes=8_000_000)
Write = Callable[[Path, dict[str, bytes]], None]


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def tar_bytes(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tar_of(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    return tar_bytes(*((tarfile.TarInfo(name), data) for name, data in files.items()), form=form)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".tar": bytes, ".tar.gz": gzip.compress, ".tgz": gzip.compress, ".tar.bz2": bz2.compress, ".tar.xz": lzma.compress,
}  # fmt: skip


def write_any(path: Path, files: dict[str, bytes]) -> None:
    suffix = archives.suffix_of(path)
    if suffix == ".zip":
        write_zip(path, files)
    else:
        path.write_bytes(PACKERS[suffix](tar_of(files)))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive: Path, into: Path, *words: str, limits: Limits = SMALL) -> str:
    """The archive is refused in one line that says all ``words``; nothing was written outside or is left inside."""
    beside = {path for path in into.parent.rglob("*") if into not in path.parents and path != into}
    with pytest.raises(UsageError) as caught:
        unpacked(archive, into, limits)
    message = str(caught.value)
    for word in (archive.name, "anonbench pack", *words):
        assert word in message, message
    assert message.isprintable()
    assert len(message) < 600 + len(str(archive))
    assert not [path for path in into.rglob("*") if path.suffix != ".lock"]
    assert {path for path in into.parent.rglob("*") if into not in path.parents and path != into} == beside
    return message


@pytest.mark.parametrize("suffix", archives.SUFFIXES)
@pytest.mark.parametrize("top", ["", "my-release/", "./"])
def test_every_kind_of_archive_gives_its_files(suffix: str, top: str, tmp_path: Path) -> None:
    archive = tmp_path / f"a{suffix}"
    write_any(archive, {top + name: data for name, data in FILES.items()})
    folder = unpacked(archive, tmp_path / "cache", SMALL)
    assert contents(folder) == FILES
    assert not [
        path for path in folder.rglob("*") if path.is_symlink() or (path.is_file() and path.stat().st_mode & 0o111)
    ]


def test_only_one_folder_is_taken_off(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"x/entrant.toml": TOML, "y/probe.png": b"1"})
    refused(tmp_path / "a.zip", tmp_path / "cache", "entrant.toml")
    write_zip(tmp_path / "b.zip", {"x/y/entrant.toml": TOML})
    refused(tmp_path / "b.zip", tmp_path / "cache", "entrant.toml")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_all_formats_with_folders_and_long_names(form: int, tmp_path: Path) -> None:
    long = f"{'d' * 90}/{'e' * 95}.png"  # beyond the 100 bytes of an old header
    folder = tarfile.TarInfo("d" * 90)
    folder.type = tarfile.DIRTYPE
    times = tarfile.TarInfo("entrant.toml")
    times.mtime = 1.5  # a fraction needs a further header
    data = tar_bytes((times, TOML), (folder, b""), (tarfile.TarInfo(long), b"x"), form=form)
    (tmp_path / "a.tar").write_bytes(data)
    assert contents(unpacked(tmp_path / "a.tar", tmp_path / "cache")) == {"entrant.toml": TOML, long: b"x"}


NAMES = {
    "../evil.png": "'..'",
    "probe/../../evil.png": "'..'",
    "/etc/evil.png": "absolute",
    "..\\evil.png": "backslash",
    "C:evil.png": "drive letter",
    "probe/c:/evil.png": "drive letter",
    "probe/a\u202egnp.exe": "cannot be printed",
    "probe/a\u200f.png": "cannot be printed",
    "probe/a\u2066.png": "cannot be printed",
    "probe/a\nb.png": "cannot be printed",
    "probe/\x1b[31m.png": "cannot be printed",
    "probe/" + "a" * 200: "200 bytes",
    "probe/" + "ä" * 100: "200 bytes",
    "a/b/c/d.png": "deeper",
    "PROBE/A.png": "twice",
    "probe/a.png": "twice",
    "probe//./a.png": "twice",
    "probe/\uff41.png": "twice",  # a wide a, which some systems take for an a
    "probe/a.png/b": "as its folder",
    "probe": "twice",
}


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_may_not_be(name: str, suffix: str, tmp_path: Path) -> None:
    archive = tmp_path / f"a{suffix}"
    members = [("entrant.toml", TOML), ("probe/a.png", b"1"), (name, b"evil")]
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for member, data in members:
                file.writestr(member, data)
    else:
        archive.write_bytes(gzip.compress(tar_bytes(*((tarfile.TarInfo(member), data) for member, data in members))))
    refused(archive, tmp_path / "cache", NAMES[name])


def test_nul_in_the_name_of_a_zip_member(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"entrant.toml": TOML, "probe/aX.png": b"1"})
    data = (tmp_path / "a.zip").read_bytes().replace(b"probe/aX.png", b"probe/a\0.png")
    (tmp_path / "a.zip").write_bytes(data)
    refused(tmp_path / "a.zip", tmp_path / "cache", r"probe/a\x00.png", "cannot be printed")


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    data = tar_bytes(
        (tarfile.TarInfo("entrant.toml"), TOML), (tarfile.TarInfo("probeXa"), b""), form=tarfile.GNU_FORMAT
    )
    header = bytearray(data)
    at = data.index(b"probeXa")
    header[at + 5] = 0xFF
    header[at + 148 : at + 156] = b" " * 8
    header[at + 148 : at + 156] = b"%06o\0 " % sum(header[at : at + 512])
    (tmp_path / "a.tar").write_bytes(bytes(header))
    refused(tmp_path / "a.tar", tmp_path / "cache", "cannot be printed")
    write_zip(tmp_path / "b.zip", {"entrant.toml": TOML, "probe/ä": b""})
    (tmp_path / "b.zip").write_bytes((tmp_path / "b.zip").read_bytes().replace("ä".encode(), b"\xff\xfe"))
    refused(tmp_path / "b.zip", tmp_path / "cache")


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["..", ".", "", "a", "b\\c", "C:", "\0", "\u202e", "ä"])).map("/".join)
)
def test_a_name_is_refused_or_stays_inside(name: str) -> None:
    try:
        parts = parts_of(name)
    except Refused:
        return
    inside = Path("/root/of/all")
    path = Path(os.path.normpath(inside.joinpath(*parts)))
    assert path == inside or inside in path.parents
    assert len(parts) <= LIMITS.depth
    assert not {"", ".", ".."} & set(parts)
    assert "/".join(parts).isprintable()
    assert parts == tuple(part for part in PurePosixPath(name).parts)


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo("probe/a.png")
    info.type, info.linkname, info.devmajor, info.devminor = kind, target, 1, 3
    return info


@pytest.mark.parametrize(
    ("kind", "word"),
    [(tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "link"), (tarfile.CHRTYPE, "device"), (tarfile.BLKTYPE, "device"),
     (tarfile.FIFOTYPE, "pipe"), (tarfile.CONTTYPE, "ordinary"), (tarfile.GNUTYPE_SPARSE, "ordinary")],
)  # fmt: skip
def test_tar_members_that_are_no_files(kind: bytes, word: str, tmp_path: Path) -> None:
    data = tar_bytes((tarfile.TarInfo("entrant.toml"), TOML), (special(kind, "/etc/passwd"), b""))
    (tmp_path / "a.tar").write_bytes(data)
    refused(tmp_path / "a.tar", tmp_path / "cache", "probe/a.png", word)


@pytest.mark.parametrize("mode", [0o120777, 0o020644, 0o010644], ids=["link", "device", "pipe"])
def test_zip_members_that_are_no_files(mode: int, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("probe/a.png")
    info.external_attr = mode << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("entrant.toml", TOML)
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path / "cache", "probe/a.png", "link or device")


def spoiled_central(path: Path, offset: int, form: str, value: int) -> None:
    """Overwrites a field of the last member's entry in the list at the end of a zip."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2")
    struct.pack_into(form, data, at + offset, value)
    path.write_bytes(bytes(data))


def test_encrypted_zip_members(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", FILES)
    spoiled_central(tmp_path / "a.zip", 8, "<H", 1)
    refused(tmp_path / "a.zip", tmp_path / "cache", "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_of_zip(method: int, tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", FILES, method)
    refused(tmp_path / "a.zip", tmp_path / "cache", "deflate")


@pytest.mark.parametrize("size", [2, 100_000], ids=["fewer", "more"])
def test_lying_sizes_in_a_zip(size: int, tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"entrant.toml": TOML, "probe/a.png": b"0123456789"})
    spoiled_central(tmp_path / "a.zip", 24, "<I", size)
    refused(tmp_path / "a.zip", tmp_path / "cache")


def test_a_lying_size_with_a_check_sum_to_match(tmp_path: Path) -> None:
    """More bytes come out of the member than it says; those it says have the right check sum."""
    write_zip(tmp_path / "a.zip", {"entrant.toml": TOML, "probe/a.png": b"0123456789" * 1000})
    spoiled_central(tmp_path / "a.zip", 24, "<I", 10)
    spoiled_central(tmp_path / "a.zip", 16, "<I", zlib.crc32(b"0123456789"))
    folder = unpacked(tmp_path / "a.zip", tmp_path / "cache")
    assert (folder / "probe/a.png").read_bytes() == b"0123456789"


ZEROS = bytes(2_000_000)
"""Shrinks to a thousandth."""


def test_zip_bomb(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"entrant.toml": TOML, "probe/a.png": ZEROS})
    assert (tmp_path / "a.zip").stat().st_size < len(ZEROS) / 500
    refused(tmp_path / "a.zip", tmp_path / "cache", "200 times")


def test_a_bomb_among_honest_files(tmp_path: Path) -> None:
    """The whole archive grows little; the one member a lot."""
    write_zip(tmp_path / "a.zip", {"entrant.toml": TOML, "probe/a.png": os.urandom(500_000), "probe/b.png": ZEROS})
    refused(tmp_path / "a.zip", tmp_path / "cache", "probe/b.png", "200 times")


def test_a_bomb_of_many_little_members(tmp_path: Path) -> None:
    """None of them is large enough to be looked at alone."""
    files = {f"probe/{number}.png": ZEROS[:900_000] for number in range(6)}
    write_zip(tmp_path / "a.zip", {"entrant.toml": TOML, **files})
    refused(tmp_path / "a.zip", tmp_path / "cache", "200 times")


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_tar_bombs(suffix: str, tmp_path: Path) -> None:
    archive = tmp_path / f"a{suffix}"
    write_any(archive, {"entrant.toml": TOML, "probe/a.png": ZEROS})
    refused(archive, tmp_path / "cache", "200 times")


def test_a_bomb_behind_the_end_of_a_tar(tmp_path: Path) -> None:
    """Zeros follow the last member, more than any blocking needs, in an archive large enough to hide their ratio."""
    data = tar_of({"entrant.toml": TOML, "probe/a.png": os.urandom(500_000)}) + bytes(4_000_000)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(data))
    refused(tmp_path / "a.tar.gz", tmp_path / "cache", "behind its last member")


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_a_bomb_in_the_header_of_a_tar(kind: bytes, tmp_path: Path) -> None:
    """Names and further headers are read into memory by the library."""
    info = tarfile.TarInfo("h")
    info.type = kind
    long = tar_bytes((info, b"9" * (HEADERS + 20_000)), form=tarfile.GNU_FORMAT).rstrip(b"\0")
    padding = bytes(-len(long) % 512)
    (tmp_path / "a.tar").write_bytes(long + padding + tar_of({"entrant.toml": TOML}))
    refused(tmp_path / "a.tar", tmp_path / "cache", "headers")


def test_further_headers_nested_without_end(tmp_path: Path) -> None:
    info = tarfile.TarInfo("h")
    info.type = tarfile.XHDTYPE
    nested = tar_bytes((info, b"9 path=a\n"), form=tarfile.USTAR_FORMAT)[:1024]
    (tmp_path / "a.tar").write_bytes(nested * 5000 + tar_of({"entrant.toml": TOML}))
    refused(tmp_path / "a.tar", tmp_path / "cache")


def test_a_folder_with_a_size(tmp_path: Path) -> None:
    """Readers do not agree whether something follows it: what one takes for contents is a member to another."""
    data = bytearray(tar_bytes((special(tarfile.DIRTYPE), b""), (tarfile.TarInfo("entrant.toml"), TOML)))
    data[124:136] = b"%011o\0" % 512
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    (tmp_path / "a.tar").write_bytes(bytes(data))
    refused(tmp_path / "a.tar", tmp_path / "cache", "size that cannot be")


def test_xz_that_takes_gigabytes_of_memory(tmp_path: Path) -> None:
    """The head of a block says how large a window it needs: here the largest there is."""
    data = bytearray(lzma.compress(tar_of(FILES)))
    size = 4 * (data[12] + 1)
    assert data[14:16] == b"\x21\x01"  # LZMA2 with one byte of properties, the window
    data[16] = 40
    data[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(data[12 : 12 + size - 4]))
    (tmp_path / "a.tar.xz").write_bytes(bytes(data))
    refused(tmp_path / "a.tar.xz", tmp_path / "cache", "emory")


def overlapping(path: Path, copies: int) -> None:
    """Many entries of the list at the end that point to the same bytes."""
    write_zip(path, {"entrant.toml": TOML, "probe/0000.png": os.urandom(1000)})
    data = path.read_bytes()
    at, end = data.rindex(b"PK\1\2"), data.rindex(b"PK\5\6")
    first = data.index(b"PK\1\2")
    entry = data[at:end]
    entries = data[first:at] + b"".join(entry.replace(b"0000", b"%04d" % number) for number in range(copies))
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, copies + 1, copies + 1, len(entries), first, 0)
    path.write_bytes(data[:first] + entries + tail)


def test_overlapping_members(tmp_path: Path) -> None:
    overlapping(tmp_path / "a.zip", 20)
    refused(tmp_path / "a.zip", tmp_path / "cache", "shares bytes")
    overlapping(tmp_path / "b.zip", 1)  # the same by hand, without overlap: the test builds good archives
    assert len(contents(unpacked(tmp_path / "b.zip", tmp_path / "cache"))) == 2


def test_a_list_of_members_without_end(tmp_path: Path) -> None:
    overlapping(tmp_path / "a.zip", 9000)
    refused(tmp_path / "a.zip", tmp_path / "cache", "list of members")


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
@pytest.mark.parametrize(
    ("limits", "word"),
    [(Limits(members=3), "more than 3 members"), (Limits(member_bytes=199_999), "more than 199999 bytes"),
     (Limits(total_bytes=200_000), "200000 bytes")],
    ids=["members", "member", "total"],
)  # fmt: skip
def test_limits(limits: Limits, word: str, suffix: str, tmp_path: Path) -> None:
    archive = tmp_path / f"a{suffix}"
    write_any(archive, FILES)
    refused(archive, tmp_path / "cache", word, limits=limits)
    allowed = Limits(members=4, member_bytes=200_000, total_bytes=250_000)
    assert contents(unpacked(archive, tmp_path / "cache", allowed)) == FILES


@pytest.mark.parametrize("suffix", archives.SUFFIXES)
def test_archives_cut_off_anywhere(suffix: str, tmp_path: Path) -> None:
    whole, archive = tmp_path / f"whole{suffix}", tmp_path / f"a{suffix}"
    write_any(whole, FILES)
    data = whole.read_bytes()
    ends = [0, 1, 100, 511, 512, 1024, 1536, len(data) // 2, len(data) - 20_000]
    for end in [*ends, *([] if suffix == ".tar" else [len(data) - 1])]:
        archive.write_bytes(data[:end])
        refused(archive, tmp_path / "cache")


@pytest.mark.parametrize("suffix", [suffix for suffix in archives.SUFFIXES if suffix != ".tar"])
def test_a_flipped_bit(suffix: str, tmp_path: Path) -> None:
    archive = tmp_path / f"a{suffix}"
    write_any(archive, FILES)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 4
    archive.write_bytes(bytes(data))
    refused(archive, tmp_path / "cache")


def test_what_follows_an_archive(tmp_path: Path) -> None:
    """Bytes behind the end might be read by other tools."""
    for suffix in (".tar", ".tar.xz"):
        archive = tmp_path / f"a{suffix}"
        archive.write_bytes(PACKERS[suffix](tar_of(FILES)) + PACKERS[suffix](tar_of({"more": b"1"})))
        refused(archive, tmp_path / "cache")


@pytest.mark.parametrize(
    "text", [b"", b"PK", b"<html>not found</html>", b"\x80\x04."], ids=["empty", "head", "page", "pickle"]
)
@pytest.mark.parametrize("suffix", archives.SUFFIXES)
def test_files_that_are_no_archives(text: bytes, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").write_bytes(text)
    refused(tmp_path / f"a{suffix}", tmp_path / "cache")


def test_what_is_called_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    (tmp_path / "a.zip").mkdir()
    for path in (tmp_path / "a.rar", tmp_path / "a.zip"):
        with pytest.raises(UsageError, match="is no archive"):
            unpacked(path, tmp_path / "cache")
    with pytest.raises(UsageError, match=r"none\.zip does not exist"):
        unpacked(tmp_path / "none.zip", tmp_path / "out")


def test_an_archive_is_unpacked_once(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    write_zip(archive, FILES)
    first = unpacked(archive, tmp_path / "cache")
    (first / "mark").touch()
    archive = archive.rename(tmp_path / "b.zip")
    assert unpacked(archive, tmp_path / "cache") == first
    assert (first / "mark").exists()
    write_zip(archive, {**FILES, "more": b"1"})
    assert unpacked(archive, tmp_path / "cache") != first


@pytest.mark.parametrize("killed", [True, False])
def test_nothing_half_is_left(killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, cache, taken = tmp_path / "a.zip", tmp_path / "cache", []
    write_zip(archive, FILES)
    take = archives._Unpacking.take

    def interrupted(self: archives._Unpacking, member: archives.Member) -> None:
        take(self, member)
        taken.append(member.name)
        if len(taken) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archives._Unpacking, "take", interrupted)
        if killed:  # nobody tidies up
            patch.setattr(archives.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            unpacked(archive, cache)
    left = [path.name for path in cache.iterdir() if path.is_dir()]
    assert [name[:5] for name in left] == ([".part"] if killed else [])
    (cache / left[0] / "stale").touch() if killed else None
    assert contents(unpacked(archive, cache)) == FILES
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1


def test_a_full_disk_is_the_machines_fault(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", FILES)
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match=r"a\.zip"):
        unpacked(tmp_path / "a.zip", tmp_path / "cache")


@given(st.binary(max_size=300), st.integers(0, 400), st.sampled_from(archives.SUFFIXES))
def test_damage_never_raises_anything_else(noise: bytes, at: int, suffix: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / f"a{suffix}"
        write_any(archive, {"entrant.toml": TOML, "probe/a.png": b"1"})
        data = bytearray(archive.read_bytes())
        at = min(at, len(data))
        data[at : at + len(noise)] = noise
        archive.write_bytes(bytes(data))
        try:
            folder = unpacked(archive, Path(name) / "cache", SMALL)
        except UsageError:
            return
        assert (folder / "entrant.toml").is_file()
