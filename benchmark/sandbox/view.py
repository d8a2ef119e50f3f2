"""The files a command sees under bubblewrap: a list of what is there; everything else is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.sandbox.allowed import check_here, check_read, endpoints
from benchmark.sandbox.programs import SYSTEM

# Of /etc only what libraries look up: a harness run by root would show passwords and keys with the whole folder.
_ETC = (
    "alternatives", "ca-certificates", "fonts", "glvnd", "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "locale.alias", "localtime", "magic", "magic.mime", "mime.types", "nsswitch.conf", "OpenCL",
    "os-release", "passwd", "pki/tls/certs", "ssl/certs", "ssl/openssl.cnf", "timezone", "vulkan",
)  # fmt: skip
_SYS = ("/sys/devices/system/cpu", "/sys/devices/system/node", "/var/cache/fontconfig")
RESULTS = ("records", "originals", "board")
"""What a run writes into the folder of its results."""
_GPU = ("nvidia*", "dri", "kfd")


@dataclass(frozen=True)
class Places:
    """Which folders a command has to do with, all absolute and without links.

    Attributes:
        here: folder of its description, read-only.
        scratch: its working folder, writable, but for ``input`` in it.
        reads: further folders and files it asks to read; they are checked.
        programs: what its program needs; it is not checked.
        private: what it must never see, wherever that lies, because it holds labels.
        covered: what it does not see, unless something that it may see lies in it.
        gpu: whether it may use the graphics processors.
    """

    here: Path
    scratch: Path
    reads: tuple[Path, ...] = ()
    programs: tuple[Path, ...] = ()
    private: tuple[Path, ...] = ()
    covered: tuple[Path, ...] = ()
    gpu: bool = False

    @property
    def secret(self) -> tuple[Path, ...]:
        """What is private, and the results in what is covered."""
        return (*self.private, *(folder / name for folder in self.covered for name in RESULTS))


def check_places(places: Places) -> None:
    """Refuses folders that would show what must stay hidden.

    Raises:
        UsageError: see ``check_here`` and ``check_read``.
    """
    check_here(places.here, places.secret)
    for read in places.reads:
        check_read(read, places.here, places.scratch, places.secret)


def view(places: Places) -> list[str]:
    """The view of the files as options of bubblewrap.

    What lies deeper is mounted later and wins. Everything in memory is read-only at last: what a command writes goes
    to the scratch folder, where it is counted.
    """
    tmp, shm = str(places.scratch / "tmp"), str(places.scratch / "shm")
    words = [*_system(), "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"]
    words += ["--bind", shm, "/dev/shm", "--bind", tmp, "/tmp", "--bind", tmp, "/var/tmp"]  # noqa: S108
    words += [word for device in (_devices() if places.gpu else ()) for word in ("--dev-bind", device, device)]
    covers = list(_covers(places))
    mounts = {**_shown(places), **{path: _cover(path) for path in covers}}
    for path in sorted(mounts, key=lambda path: len(path.parts)):
        words += mounts[path]
    folders = [str(path) for path in covers if path.is_dir()]
    return words + [word for folder in [*folders, "/dev", "/"] for word in ("--remount-ro", folder)]


def _system() -> Iterator[str]:
    for folder in SYSTEM:
        if folder.is_symlink():
            yield from ("--symlink", str(folder.readlink()), str(folder))
        elif folder.is_dir():
            yield from ("--ro-bind", str(folder), str(folder))
    for name in [*(f"/etc/{name}" for name in _ETC), *_SYS]:
        if Path(name).exists():
            yield from ("--ro-bind", name, name)


def _devices() -> list[str]:
    return sorted(str(path) for pattern in _GPU for path in Path("/dev").glob(pattern))


def _shown(places: Places) -> dict[Path, list[str]]:
    """Options by the path they show; what is named last wins where two are the same."""
    read_only = [*places.programs, *places.reads, places.here, places.scratch / "input"]
    shown = {path: ["--ro-bind", str(path), str(path)] for path in read_only if path.exists()}
    return {**shown, places.scratch: ["--bind", str(places.scratch), str(places.scratch)]}


def _covers(places: Places) -> Iterator[Path]:
    """Paths that would be seen because they lie in something that is shown: what is private, and sockets."""
    shown = list(_shown(places))
    open_ones = {*places.reads, places.here}
    for path in dict.fromkeys([*places.secret, *(path for path in places.covered if path not in open_ones)]):
        if path.exists() and any(path.is_relative_to(root) for root in (*SYSTEM, *shown)):
            yield path
    for folder in shown:
        if folder != places.scratch:
            yield from endpoints(folder)


def _cover(path: Path) -> list[str]:
    return ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
