"""The files a command sees under bubblewrap: a list of what is there; everything else is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmark.errors import UsageError
from benchmark.files import one_line
from benchmark.sandbox.programs import SYSTEM, is_home

# Of /etc only what libraries look up: a harness run by root would show passwords and keys with the whole folder.
_ETC = (
    "alternatives", "ca-certificates", "fonts", "glvnd", "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "locale.alias", "localtime", "magic", "magic.mime", "mime.types", "nsswitch.conf", "OpenCL",
    "os-release", "passwd", "pki/tls/certs", "ssl/certs", "ssl/openssl.cnf", "timezone", "vulkan",
)  # fmt: skip
_SYS = ("/sys/devices/system/cpu", "/sys/devices/system/node", "/var/cache/fontconfig")
_GPU = ("nvidia*", "dri", "kfd")


@dataclass(frozen=True)
class Places:
    """Which folders a command has to do with, all absolute and without links.

    Attributes:
        here: folder of its description, read-only.
        scratch: its working folder, writable, but for ``input`` in it.
        reads: further folders and files it may read.
        programs: what its program needs.
        private: what it must never see, wherever that lies.
        gpu: whether it may use the graphics processors.
    """

    here: Path
    scratch: Path
    reads: tuple[Path, ...] = ()
    programs: tuple[Path, ...] = ()
    private: tuple[Path, ...] = ()
    gpu: bool = False


def check_places(places: Places) -> None:
    """Refuses folders that would show what must stay hidden.

    Raises:
        UsageError: the folder of the description is a home or the data themselves, or a folder to read lies in
            what is private.
    """
    here = one_line(places.here)
    if is_home(places.here):
        raise UsageError(f"{here} is or holds your home folder; move entrant.toml into a folder of its own")
    if places.here in places.private:
        raise UsageError(f"{here} holds data that the command may not see; move entrant.toml into a folder of its own")
    for read in places.reads:
        _check_read(read, places.private)


def _check_read(read: Path, private: tuple[Path, ...]) -> None:
    if not read.exists():
        raise UsageError(f"{one_line(read)} does not exist; mend 'reads' in entrant.toml")
    if is_home(read) or any(read.is_relative_to(folder) for folder in private):
        raise UsageError(
            f"{one_line(read)} may not be read: it is or holds your home folder, or lies in the data or the cache; name "
            "the one folder that is needed under 'reads' in entrant.toml"
        )


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
    """Private paths that would be seen because they lie in something that is shown."""
    roots = [*SYSTEM, *_shown(places)]
    for path in dict.fromkeys(places.private):
        if path.exists() and any(path.is_relative_to(root) for root in roots):
            yield path


def _cover(path: Path) -> list[str]:
    return ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
