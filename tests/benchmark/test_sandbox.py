"""The sandbox with planted commands: what they see, what they may use, and that nothing of them is left."""

from __future__ import annotations

import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmark.entrants.described import Limits
from benchmark.errors import EnvironmentProblem, UsageError
from benchmark.sandbox import Outcome, at_most, run_contained, watching
from benchmark.sandbox.ending import clear
from benchmark.sandbox.isolation import TIERS, VARIABLE, isolation, probed
from benchmark.sandbox.programs import needed
from benchmark.sandbox.watching import written

Contained = Callable[..., Outcome]
bubblewrap = pytest.mark.skipif(probed("bubblewrap") is None, reason="bubblewrap does not work on this system")
WORKING = [tier for tier in TIERS if probed(tier) is not None]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's home in the folder of the test: what lies under /tmp otherwise is not for strangers to read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    for name in ("input", "output"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "outer" / "tool"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def contained(scratch: Path, here: Path) -> Contained:
    def run(code: str, *words: str | Path, **more: object) -> Outcome:
        (here / "tool.py").write_text(code)
        limits = Limits(**{"seconds": 10.0, "memory_mb": 500.0, **more.pop("limits", {})})  # type: ignore[dict-item]
        command = [sys.executable, str(here / "tool.py"), *map(str, words)]
        given = {"env": {}, "here": here, "scratch": scratch, **more}
        return run_contained(command, limits=limits, **given)  # type: ignore[arg-type]

    return run


@pytest.mark.parametrize("tier", WORKING)
def test_a_command_sees_only_its_own_variables(
    tier: str, contained: Contained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, tier)
    monkeypatch.setenv("SECRET_TOKEN", "x")
    ended = contained("import os, json; print(json.dumps(dict(os.environ)))", env={"MODE": "a=b c"})
    seen = json.loads(ended.stdout.text)
    assert set(seen) - {"LC_CTYPE"} == {"PATH", "LANG", "HOME", "TMPDIR", "MODE"}
    assert seen["MODE"] == "a=b c"
    assert ended.isolation == isolation().sentence


@pytest.mark.parametrize("tier", WORKING)
def test_a_command_stays_its_user_and_has_no_rights(
    tier: str, contained: Contained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, tier)
    code = (
        "import os\nprint(os.getuid(), os.getgid(), 'CapEff:\\t0000000000000000' in open('/proc/self/status').read())"
    )
    said = contained(code).stdout.text.split()
    assert said[:2] == [str(os.getuid()), str(os.getgid())]
    if tier == "bubblewrap" or os.getuid():
        assert said[2] == "True"


@bubblewrap
def test_variables_of_the_command_do_not_reach_what_keeps_it_apart(contained: Contained, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'escaped')!r}, 'w')")
    assert contained("", env={"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "x"}).returncode == 0
    assert not (tmp_path / "escaped").exists()


@bubblewrap
def test_only_what_was_named_is_there(contained: Contained, scratch: Path, here: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "model").mkdir()
    code = """
import os, sys
print([name for name in sys.argv[1:] if os.path.lexists(name)])
print(sorted(os.listdir(os.path.dirname(sys.argv[1]))))
"""
    names = [tmp_path / "secret", tmp_path / "model", here / "tool.py", scratch / "input", "/root/.ssh", "/etc/shadow"]
    said = contained(code, *names, reads=[tmp_path / "model"]).stdout.text.splitlines()
    assert said[0] == str([str(path) for path in names[1:4]])
    assert "secret" not in said[1]


@bubblewrap
def test_nothing_but_the_scratch_folder_can_be_written(contained: Contained, scratch: Path, here: Path) -> None:
    code = """
import os, sys
for folder in sys.argv[1:]:
    try:
        open(os.path.join(folder, "planted"), "w").write("x"); print("wrote", folder)
    except OSError as error:
        print("refused", folder)
for name in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/pid_max", "/proc/sysrq-trigger"):
    print("open" if os.access(name, os.W_OK) else "closed")
"""
    outside = [here, here.parent, Path("/"), Path("/dev"), Path("/usr"), Path("/etc"), Path("/root"), scratch / "input"]
    said = contained(code, *outside, scratch / "output", "/tmp", "/dev/shm").stdout.text.splitlines()
    assert said[0] == f"refused {here}"
    assert said[2 : len(outside)] == [f"refused {folder}" for folder in outside[2:]]
    assert not [folder for folder in outside if (folder / "planted").exists()]
    assert said[len(outside) : -3] == [f"wrote {scratch / 'output'}", "wrote /tmp", "wrote /dev/shm"]
    assert said[-3:] == ["closed"] * 3
    assert (scratch / "tmp" / "planted").exists()
    assert (scratch / "shm" / "planted").exists()
    assert not Path("/tmp/planted").exists()
    assert not Path("/dev/shm/planted").exists()


@bubblewrap
@pytest.mark.parametrize("place", ["inside here", "inside what it reads", "a file"])
def test_what_is_private_is_never_seen(place: str, contained: Contained, here: Path, tmp_path: Path) -> None:
    read = tmp_path / "models"
    read.mkdir()
    folders = {"inside here": here / "data", "inside what it reads": read / "cache"}
    private = folders.get(place, here / "labels.csv")
    if place != "a file":
        private.mkdir(exist_ok=True)
    labels = private if place == "a file" else private / "labels.csv"
    labels.write_text("who is who")
    code = """
import os, sys
try: print(open(sys.argv[1]).read())
except OSError: print("hidden")
try: open(os.path.join(os.path.dirname(sys.argv[1]), "new"), "w"); print("wrote")
except OSError: print("refused")
"""
    said = contained(code, labels, private=[private], reads=[read])
    assert "who" not in said.stdout.text
    assert said.returncode == 0
    assert labels.read_text() == "who is who"
    assert not (labels.parent / "new").exists()


@bubblewrap
def test_results_around_the_description_are_covered_and_it_is_not(contained: Contained, here: Path) -> None:
    for name in ("records", "other"):
        (here.parent / name).mkdir()
    code = "import os, sys; print(*sorted(os.listdir(sys.argv[1])), os.path.exists(sys.argv[2]))"
    said = contained(code, here.parent, here / "tool.py", covered=[here.parent])
    assert said.stdout.text.split() == ["tool", "True"]
    (here / "records").mkdir()
    (here / "records" / "row").write_text("x")
    said = contained("import os; print(os.listdir(os.path.dirname(__file__) + '/records'))", covered=[here])
    assert said.stdout.text.strip() == "[]"


def test_folders_that_would_show_too_much_are_refused(contained: Contained, here: Path, tmp_path: Path) -> None:
    for private in (here, here.parent):
        with pytest.raises(UsageError, match=r"move entrant\.toml and what belongs to it into a folder elsewhere"):
            contained("", private=[private])
    (tmp_path / "data" / "person").mkdir(parents=True)
    with pytest.raises(UsageError, match="may not be read: it lies in the data"):
        contained("", private=[tmp_path / "data"], reads=[tmp_path / "data" / "person"])
    with pytest.raises(UsageError, match="may not be read"):
        contained("", reads=[Path.home()])
    with pytest.raises(UsageError, match="does not exist"):
        contained("", reads=[tmp_path / "gone"])
    (here.parent / "board").mkdir()
    with pytest.raises(UsageError, match="may not be read"):
        contained("", reads=[here.parent / "board"], covered=[here.parent])


CLOSED = ("/", "/proc", "/proc/1", "/proc/sys", "/sys/kernel", "/dev", "/dev/shm", "/dev/null", "/etc", "/etc/passwd")
MORE = ("/run", "/var", "/tmp", "/var/tmp", "/home", "/root")


@pytest.mark.parametrize("place", [*CLOSED, *MORE])
def test_the_machine_is_not_for_strangers_to_read(place: str, contained: Contained) -> None:
    if Path(place).exists():
        with pytest.raises(UsageError, match="may not be read"):
            contained("", reads=[Path(place)])


def test_folders_of_other_people_are_closed(contained: Contained, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "ann").mkdir()
    (home / "models").mkdir()
    monkeypatch.setenv("HOME", str(home / "ann"))
    with pytest.raises(UsageError, match="may not be read: it lies in /tmp"):
        contained("", reads=[home / "models"])


@pytest.mark.parametrize("name", [".ssh", ".config/gh", ".local/share/keyrings", ".netrc", ".cache", ".local"])
def test_what_is_hidden_in_a_home_is_closed(name: str, contained: Contained, home: Path) -> None:
    (home / name).mkdir(parents=True)
    with pytest.raises(UsageError, match=r"hidden in your home folder.*\.pyenv, .*\.cache/torch"):
        contained("", reads=[home / name])


@bubblewrap
@pytest.mark.parametrize("name", [".cache/torch/hub", ".pyenv/versions/3", ".local/share/uv/python", "models"])
def test_tools_and_plain_folders_of_a_home_are_open(name: str, contained: Contained, home: Path) -> None:
    (home / name).mkdir(parents=True)
    assert contained("import os, sys; os.listdir(sys.argv[1])", home / name, reads=[home / name]).returncode == 0


def test_an_environment_may_be_read_wherever_it_is(
    contained: Contained, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "ann").mkdir()
    (home / "env").mkdir()
    monkeypatch.setenv("HOME", str(home / "ann"))
    with pytest.raises(UsageError, match="may not be read"):
        contained("", reads=[home / "env"])
    (home / "env" / "pyvenv.cfg").touch()
    assert contained("", reads=[home / "env"]).returncode == 0
    with pytest.raises(UsageError, match="may not be read"):
        contained("", reads=[home / "env"], private=[home / "env"])


def test_programs_of_the_caller_are_not_checked(
    contained: Contained, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "ann").mkdir()
    (home / "tool").mkdir()
    monkeypatch.setenv("HOME", str(home / "ann"))
    said = contained("import os, sys; os.listdir(sys.argv[1])", home / "tool", programs=[home / "tool"])
    assert said.returncode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_what_is_closed_to_us_is_an_error_of_typing(contained: Contained, home: Path) -> None:
    (home / "closed" / "inner").mkdir(parents=True)
    (home / "closed").chmod(0)
    try:
        with pytest.raises(UsageError, match="you may not look at it"):
            contained("", reads=[home / "closed" / "inner"])
    finally:
        (home / "closed").chmod(0o700)


def test_sockets_and_pipes_are_not_read(contained: Contained, home: Path) -> None:
    os.mkfifo(home / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(home / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(UsageError, match="a socket, a pipe or a device"):
                contained("", reads=[home / name])


@bubblewrap
@pytest.mark.parametrize("place", ["reads", "here", "programs"])
@pytest.mark.parametrize("inner", ["", "deeper"])
def test_nobody_answers_at_a_socket_in_a_folder_that_is_shown(
    place: str, inner: str, contained: Contained, here: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = here if place == "here" else home / "shown"
    (shown / inner).mkdir(parents=True, exist_ok=True)
    (shown / "plain").write_text("x")
    monkeypatch.chdir(shown / inner)  # the whole path may be too long for a socket
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        server.listen()
        code = """
import os, socket, sys
assert os.path.exists(sys.argv[2])
os.chdir(sys.argv[1])
try: socket.socket(socket.AF_UNIX).connect("s"); print("connected")
except OSError: print("refused")
"""
        more = {} if place == "here" else {place: [shown]}
        said = contained(code, shown / inner, shown / "plain", **more)
    assert said.stdout.text.strip() == "refused", said.stderr.text


@bubblewrap
def test_a_program_brings_no_project_along(contained: Contained, here: Path, home: Path, scratch: Path) -> None:
    program = home / "project" / "bin" / "x"
    program.parent.mkdir(parents=True)
    (home / "project" / "secret").write_text("who is who")
    program.write_text(f"#!/bin/sh\ncat {home}/project/secret && exit 5\nexit 0\n")
    program.chmod(0o755)
    ended = run_contained([str(program)], scratch=scratch, env={}, limits=Limits(seconds=9), here=here)
    assert ended.returncode == 0
    assert ended.stdout.text == ""


@bubblewrap
def test_a_home_folder_is_no_folder_of_a_tool(
    here: Path, contained: Contained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here / "person"))
    with pytest.raises(UsageError, match="is or holds your home folder"):
        contained("")


@pytest.mark.parametrize("tier", [tier for tier in WORKING if tier != "none"])
def test_there_is_no_network(tier: str, contained: Contained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, tier)
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        ended = contained(code)
    assert ended.returncode == 1
    assert "OSError" in ended.stderr.text or "ConnectionRefusedError" in ended.stderr.text


@pytest.mark.parametrize("tier", WORKING)
def test_an_endless_loop_ends_at_its_time(tier: str, contained: Contained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, tier)
    ended = contained("while True: pass", limits={"seconds": 0.5})
    assert ended.stopped_by == "time"
    assert ended.returncode != 0
    assert 0.5 <= ended.seconds < 2.5


BOMB = """
import os
while True:
    try: os.fork()
    except OSError: pass
"""


@pytest.mark.skipif(not isolation().bounded, reason="a fork bomb is set off only where the kernel bounds it")
def test_a_fork_bomb_is_bounded_and_ended(contained: Contained, here: Path) -> None:
    before = len(psutil.pids())
    ended = contained(BOMB, limits={"processes": 16, "seconds": 3.0})
    assert ended.stopped_by == "processes"
    assert ended.seconds < 3
    assert not left(here)
    assert len(psutil.pids()) < before + 100


@pytest.mark.skipif(not isolation().bounded, reason="only where the kernel bounds it")
def test_the_kernel_bounds_processes_without_the_watchdog(contained: Contained) -> None:
    code = """
import os, time
count = 0
try:
    while count < 2000:
        if os.fork() == 0:
            time.sleep(5); os._exit(0)
        count += 1
except OSError: pass
print(count, flush=True)
os._exit(0)
"""
    from benchmark.sandbox.isolation import _bound

    words = [*_bound(10), sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, timeout=20, check=True)
    assert 10 < int(done.stdout) <= 320


def left(here: Path) -> list[psutil.Process]:
    """Processes that run a script of ``here``."""

    def mine(process: psutil.Process) -> bool:
        try:
            return process.pid != os.getpid() and any(str(here) in word for word in process.cmdline())
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if mine(process)]


DAEMON = """
import os, sys, time
for _ in range(2):
    if os.fork(): os._exit(0) if _ else time.sleep(float(sys.argv[1])) or sys.exit(0)
    os.setsid()
time.sleep(60)
"""


@pytest.mark.parametrize("tier", WORKING)
def test_no_daemon_survives(tier: str, contained: Contained, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, tier)
    ended = contained(DAEMON, "0.3")
    assert ended.returncode == 0
    assert not left(here)


ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", sys.argv[2]], {})
    os._exit(0)
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="orphans come back on Linux alone")
@pytest.mark.parametrize("wait", ["0", "0.3"])
@pytest.mark.parametrize("tier", WORKING)
def test_no_daemon_survives_that_forgot_where_it_came_from(
    tier: str, wait: str, contained: Contained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, tier)
    marker = f"77.{os.getpid()}{time.monotonic_ns()}"
    with subprocess.Popen(["sleep", "30"], start_new_session=True) as ours:
        assert contained(ESCAPE, wait, marker).returncode == 0
        assert not [
            process for process in psutil.process_iter(["cmdline"]) if marker in (process.info["cmdline"] or [])
        ]
        assert ours.poll() is None
        ours.kill()
    assert not [child for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE]


@pytest.mark.skipif(sys.platform != "linux", reason="orphans come back on Linux alone")
def test_orphans_count_and_come_back_to_nobody_afterwards(
    contained: Contained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "none")
    hog = "kept = b'x' * 200_000_000; time.sleep(9)"
    code = ESCAPE.replace('os.execve("/bin/sleep", ["sleep", sys.argv[2]], {})', hog)
    assert contained(code, "9", "9", limits={"memory_mb": 120.0, "seconds": 6.0}).stopped_by == "memory"
    value = ctypes.c_int(7)
    ctypes.CDLL(None).prctl(37, ctypes.byref(value), 0, 0, 0)
    assert value.value == 0


@pytest.mark.parametrize("tier", [tier for tier in WORKING if tier != "none"])
def test_killing_everybody_harms_nobody_else(tier: str, contained: Contained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, tier)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]) as bystander:
        code = """
import os, signal, sys
for pid in [int(sys.argv[1]), os.getppid(), *(int(name) for name in os.listdir("/proc") if name.isdigit())]:
    if pid not in (os.getpid(), 0):
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass
"""
        contained(code, str(bystander.pid))
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize(("spread", "limit"), [(1, 150.0), (4, 200.0)])
def test_memory_is_bounded(spread: int, limit: float, contained: Contained) -> None:
    code = """
import os, sys, time
for _ in range(int(sys.argv[1]) - 1):
    if not os.fork(): break
kept = []
for _ in range(100 if sys.argv[1] == "4" else 100000):
    kept.append(b"x" * 1_000_000)
    time.sleep(0.001)
time.sleep(5)
"""
    ended = contained(code, str(spread), limits={"memory_mb": limit, "seconds": 6.0})
    assert ended.stopped_by == "memory"
    assert limit < ended.peak_memory_mb < 3 * limit


def test_shared_memory_counts_once(contained: Contained) -> None:
    code = """
import os, time
kept = b"x" * 100_000_000
for _ in range(5):
    if not os.fork(): break
time.sleep(0.5)
"""
    assert contained(code, limits={"memory_mb": 250.0}).stopped_by == ""


def test_the_output_is_bounded(contained: Contained, scratch: Path) -> None:
    code = """
block = b"x" * 1_000_000
for part in range(10):
    with open(f"output/{part}", "wb") as file:
        try:
            for _ in range(1000): file.write(block)
        except OSError: pass
"""
    ended = contained(code, limits={"output_mb": 20.0})
    assert ended.stopped_by == "output"
    assert written(scratch).size <= 10 * 20_000_000 + 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell which files are open")
def test_deleted_files_that_are_held_open_count(contained: Contained) -> None:
    code = """
import tempfile, time
held = []
for _ in range(6):
    held.append(tempfile.TemporaryFile()); held[-1].write(b"x" * 9_000_000); held[-1].flush()
time.sleep(8)
"""
    assert contained(code, limits={"output_mb": 10.0}).stopped_by == "output"
    assert contained(code.replace("8)", "1)"), limits={"output_mb": 100.0}).stopped_by == ""


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are no files in memory")
@pytest.mark.parametrize("mapped", [False, True])
def test_files_in_memory_count_once(mapped: bool, contained: Contained) -> None:
    code = f"""
import mmap, os, time
held = []
for _ in range(20):
    file = os.memfd_create("x"); os.write(file, b"x" * 9_900_000)
    held.append(file)
    if {mapped}: held.append(mmap.mmap(file, 9_900_000)); held[-1].read()
time.sleep(4)
"""
    assert contained(code, limits={"memory_mb": 120.0}).stopped_by == "memory"
    assert contained(code.replace("4)", "1)"), limits={"memory_mb": 330.0}).stopped_by == ""


@pytest.mark.parametrize(
    ("what", "said"), [("MEMORY", "memory of this machine is used up"), ("DISK", r"the disk of {} is full.*TMPDIR")]
)
def test_a_machine_that_others_fill_is_not_blamed_on_the_command(
    what: str, said: str, contained: Contained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What has to be left grows while the command sleeps, as if somebody else had taken the rest."""
    name = f"benchmark.sandbox.watching._SPARE_{what}"
    timer = threading.Timer(0.4, monkeypatch.setattr, [name, 10**18])
    timer.start()
    with pytest.raises(EnvironmentProblem, match=said.format(tmp_path)) as raised:
        contained("import time; time.sleep(5)")
    timer.join()
    assert re.search("the command (has only|wrote only) ", str(raised.value))
    with pytest.raises(EnvironmentProblem, match=said.format(tmp_path)) as raised:
        contained("")
    assert "the command" not in str(raised.value)


@pytest.mark.parametrize(
    ("taken", "gone", "blamed"),
    [(10**9, 10**9, True), (10**9, 3 * 10**9, False), (10**6, 10**6, False), (10**9, 0, True), (0, 0, False)],
)
def test_whoever_took_most_is_to_blame(taken: int, gone: int, blamed: bool) -> None:
    assert watching.to_blame(taken, gone, 256 * 10**6) is blamed


@given(st.floats(1, 10**6), st.floats(1, 10**6), st.integers(256 * 10**6, 10**12), st.integers(256 * 10**6, 10**12))
def test_a_command_gets_four_fifths_of_a_machine_at_most(memory: float, output: float, free: int, disk: int) -> None:
    limits = Limits(memory_mb=memory, output_mb=output)
    held = watching.affordable(limits, Path("/x/y"), watching.Room(disk, free, 0))
    assert held.memory_mb == pytest.approx(min(memory, 0.8 * free / 10**6))
    assert held.output_mb == pytest.approx(min(output, 0.8 * disk / 10**6))
    assert (held.seconds, held.processes) == (limits.seconds, limits.processes)


def test_no_command_takes_longer_than_whoever_runs_it_allows(contained: Contained) -> None:
    with at_most(0.5):
        ended = contained("import time; time.sleep(9)")
    assert (ended.stopped_by, ended.limits.seconds) == ("time", 0.5)
    assert ended.seconds < 3
    assert contained("").limits.seconds == 10


def test_one_large_file_is_cut_by_the_kernel(here: Path, scratch: Path) -> None:
    limits = Limits(output_mb=3.0, seconds=10)
    words = ["dd", "if=/dev/zero", "of=output/large", "bs=1000000", "count=10000"]
    ended = run_contained(words, scratch=scratch, env={}, limits=limits, here=here)
    assert ended.stopped_by == "output"
    assert (scratch / "output" / "large").stat().st_size <= 3_000_000


def test_many_files_are_bounded(contained: Contained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmark.sandbox.watching.MOST_FILES", 500)
    code = "import itertools\nfor n in itertools.count(): open(f'output/{n}', 'w').close()"
    assert contained(code).stopped_by == "output"


def test_folders_nested_without_end_are_bounded_and_cleared(contained: Contained, scratch: Path) -> None:
    code = "import os\nos.chdir('output')\nwhile True:\n    os.mkdir('d'); os.chdir('d')"
    assert contained(code).stopped_by == "output"
    clear(scratch)
    assert not scratch.exists()


def test_what_was_left_by_an_earlier_user_of_the_folder_does_not_count(contained: Contained, scratch: Path) -> None:
    (scratch / "input" / "large").write_bytes(b"x" * 3_000_000)
    assert contained("open('output/small', 'wb').write(b'x' * 500_000)", limits={"output_mb": 1.0}).stopped_by == ""


def test_clear_opens_closed_folders_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("x")
    mode = (tmp_path / "outside").stat().st_mode
    (tmp_path / "folder" / "closed").mkdir(parents=True)
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "folder" / "closed").chmod(0)
    clear(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert (tmp_path / "outside" / "file").read_text() == "x"
    assert (tmp_path / "outside").stat().st_mode == mode


def test_a_flood_of_output_is_counted_and_not_kept(contained: Contained) -> None:
    code = "import os\nos.write(1, b'first')\nfor _ in range(16384): os.write(1, b'x' * 65536)\nos.write(1, b'last')"
    before = psutil.Process().memory_info().rss
    ended = contained(code)
    assert ended.returncode == 0
    assert ended.stdout.count == 2**30 + 9
    assert ended.stdout.text.startswith("firstxx")
    assert ended.stdout.text.endswith("xxlast")
    assert len(ended.stdout.text) < 70_000
    assert psutil.Process().memory_info().rss < before + 100_000_000


def test_a_daemon_that_holds_the_pipe_keeps_nobody_waiting(contained: Contained) -> None:
    started = time.monotonic()
    assert contained(DAEMON, "0").returncode == 0
    assert time.monotonic() - started < 4


def test_a_tier_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "bubblewarp")
    with pytest.raises(UsageError, match="bubblewrap"):
        isolation()


def test_a_tier_that_does_not_work_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "bubblewrap")
    monkeypatch.setenv("PATH", str(tmp_path))
    probed.cache_clear()
    try:
        with pytest.raises(EnvironmentProblem, match="apt install bubblewrap"):
            isolation()
        monkeypatch.delenv(VARIABLE)
        assert isolation().tier == "none"
    finally:
        probed.cache_clear()


def test_programs_bring_their_environment(tmp_path: Path) -> None:
    for name in ("env/bin", "base/bin", "alone"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "base/bin/python3.11").write_text("")
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "base/lib/python3.11").mkdir(parents=True)
    (tmp_path / "env/bin/python").symlink_to(tmp_path / "base/bin/python3.11")
    script = tmp_path / "alone" / "run"
    script.write_text(f"#!{tmp_path}/env/bin/python -s\n")
    (tmp_path / "base/bin/python3.11").chmod(0o755)
    assert needed(script, "") == [script, tmp_path / "env", tmp_path / "base"]
    (tmp_path / "env/pyvenv.cfg").unlink()  # any folder of a person with a bin in it
    assert needed(script, "") == [script, tmp_path / "env/bin/python", tmp_path / "base"]


def test_a_home_is_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in (tmp_path / "bin", tmp_path / ".local" / "bin", tmp_path / ".local" / "lib"):
        folder.mkdir(parents=True)
    assert needed(tmp_path / "bin" / "tool", "") == [tmp_path / "bin" / "tool"]
    assert needed(tmp_path / ".local/bin/tool", "") == [tmp_path / ".local/bin/tool", tmp_path / ".local/lib"]
    assert needed(tmp_path / "x/bin/tool", "", (tmp_path / "x",)) == [tmp_path / "x/bin/tool"]


def test_a_program_that_is_not_there_is_named(here: Path, scratch: Path) -> None:
    for name in ("no-such-program", "./run.sh", "/no/such/program"):
        with pytest.raises(UsageError, match=r"program '.*entrant\.toml") as raised:
            run_contained([name], scratch=scratch, env={}, limits=Limits(), here=here)
        assert name in str(raised.value)
