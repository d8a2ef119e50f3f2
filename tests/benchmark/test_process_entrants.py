"""A command as an anonymizer: placeholders, what is read back, errors, logs and the hash."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.entrants.described import parse_description
from benchmark.entrants.outputs import read_outputs
from benchmark.entrants.placeholders import fill
from benchmark.entrants.process import LOGS, NOTE, ProcessEntrant
from benchmark.entrants.scratch import clear_abandoned, scratch_folder
from benchmark.errors import EntrantError, EnvironmentProblem, UsageError
from benchmark.images import ImageSet, check_released
from benchmark.protocols import Controller
from benchmark.sandbox import at_most
from benchmark.sandbox.isolation import TIERS, VARIABLE, isolation, probed

Make = Callable[..., ProcessEntrant]
INVERT = """
import sys, os
from PIL import Image, ImageChops
given, wanted = sys.argv[1:3]
for name in os.listdir(given):
    ImageChops.invert(Image.open(os.path.join(given, name))).save(os.path.join(wanted, name))
print(*sys.argv[3:])
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(code: str, more: str = "", words: str = "", **values: object) -> ProcessEntrant:
        here = tmp_path / "tool"
        here.mkdir(exist_ok=True)
        (here / "tool.py").write_text(code)
        text = f"""name = "tool"\nkind = "process"
command = ["{{python}}", "{{here}}/tool.py", "{{input}}", "{{output}}"{words}]\n{more}"""
        (here / "entrant.toml").write_text(text)
        return ProcessEntrant(parse_description(text.encode(), "entrant.toml"), here, values)  # type: ignore[arg-type]

    return build


@pytest.fixture
def images() -> ImageSet:
    pixels = torch.randint(0, 256, (4, 3, 6, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return ImageSet(pixels, tuple(f"{n:016x}" for n in (7, 3, 9, 1)))


def save(pixels: torch.Tensor, path: Path, **options: object) -> None:
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("tier", [tier for tier in TIERS if probed(tier) is not None])
def test_a_command_releases_images(tier: str, make: Make, images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, tier)
    told: list[int] = []
    entrant = make(INVERT)
    released = check_released(entrant.anonymize(images, Controller(progress=told.append)), images)
    assert torch.equal(released.images, 255 - images.images)
    assert released.missing is None
    assert released.notes == {}
    assert entrant.isolation == isolation().sentence
    assert told == [4]


def test_it_says_what_its_description_says(make: Make) -> None:
    entrant = make("", 'shardable = true\nlicence = "MIT"\ntraining_data = ["faces"]\ndeterministic = false')
    assert (entrant.kind, entrant.uses, entrant.shardable) == ("process", frozenset(), True)
    assert (entrant.licence, entrant.training_data, entrant.deterministic) == ("MIT", ("faces",), False)


def test_values_reach_the_command(make: Make, images: ImageSet, own_cache: Path) -> None:
    words = ', "{strength}", "{{x}}", "{seed}", "{device}", "--on={fast}"'
    make(INVERT, "[parameters]\nstrength = 3\nfast = false", words, strength=5).anonymize(images, Controller(seed=8))
    (log,) = (own_cache / "logs" / "tool").iterdir()
    assert "5 {x} 8 cpu --on=false" in log.read_text()


def test_files_do_not_tell_their_order_by_time(make: Make, images: ImageSet, own_cache: Path) -> None:
    code = INVERT + "print({os.stat(os.path.join(given, name)).st_mtime for name in os.listdir(given)})"
    make(code).anonymize(images, Controller())
    (log,) = (own_cache / "logs" / "tool").iterdir()
    assert "{0.0}" in log.read_text()


@given(st.text(alphabet=st.characters(exclude_characters="{}\0", exclude_categories=["Cs"])), st.integers())
def test_text_without_braces_stays_and_doubled_braces_become_single(text: str, value: int) -> None:
    assert fill(text, {}) == text
    assert fill(f"{{{{{text}}}}}", {}) == f"{{{text}}}"
    assert fill(f"{text}{{a}}{text}", {"a": value}) == f"{text}{value}{text}"


@given(st.text(alphabet="{}ab", max_size=12))
def test_braces_are_read_like_those_of_python_or_refused(text: str) -> None:
    values = {"a": "{b}", "b": "1"}
    try:
        expected = text.format(**values)
    except (ValueError, KeyError, IndexError, AttributeError):
        with pytest.raises(UsageError):
            fill(text, values)
    else:
        assert fill(text, values) == expected


def test_an_unknown_placeholder_names_the_known_ones(make: Make) -> None:
    with pytest.raises(UsageError, match=r"\{inptu\}.*Known: device, here, input, output, python, seed, strength"):
        make("", "[parameters]\nstrength = 1", ', "{inptu}"')
    with pytest.raises(UsageError, match="single brace"):
        make("", "", ', "{"')
    with pytest.raises(UsageError, match="NUL"):
        fill("{a}", {"a": "x\0y"})


def test_a_parameter_nobody_declared_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="no parameter 'strenght'"):
        make("", "[parameters]\nstrength = 1", strenght=2)


@pytest.mark.parametrize("name", ["isolation", "uses", "shardable", "anonymize"])
def test_a_parameter_cannot_pretend_to_be_something_else(name: str, make: Make) -> None:
    with pytest.raises(UsageError, match=f"cannot be called '{name}'"):
        make("", f"[parameters]\n{name} = 1")


def test_a_parameter_is_no_attribute(make: Make) -> None:
    assert not hasattr(make("", "[parameters]\ncontrol = true"), "control")


def test_the_hash_covers_description_and_files_beside_it(make: Make, tmp_path: Path) -> None:
    def hashed(code: str, more: str = "") -> str:
        return make(code, more).entry_hash

    first = hashed("a")
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert hashed("a") == first
    assert len({first, hashed("b"), hashed("a", 'version = "2"')}) == 3
    (tmp_path / "tool" / "helper.py").write_text("1")
    helped = hashed("a")
    (tmp_path / "tool" / "helper.py").write_text("2")
    assert len({first, helped, hashed("a")}) == 3
    (tmp_path / "tool" / "helper.py").rename(tmp_path / "tool" / "other.py")
    assert hashed("a") not in (first, helped)
    (tmp_path / "tool" / "other.py").unlink()
    assert hashed("a") == first


SKIPPED = ("__pycache__/a.pyc", "a.pyc", ".git/x", ".cache/helper.py", "node_modules/x.js", "venv/bin/x", "a/b/env/x")


@pytest.mark.parametrize("name", SKIPPED)
def test_what_comes_and_goes_by_itself_is_not_in_the_hash(name: str, make: Make, tmp_path: Path) -> None:
    first, path = make("a").entry_hash, tmp_path / "tool" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in ("venv", "a/b/env"):
        if name.startswith(folder):
            (tmp_path / "tool" / folder / "pyvenv.cfg").touch()
    path.write_text("1")
    assert make("a").entry_hash == first
    named = make("a", f'files = ["{name}"]').entry_hash
    path.write_text("2")
    assert make("a", f'files = ["{name}"]').entry_hash not in (first, named)


def test_results_of_a_run_in_its_own_folder_do_not_make_it_another_method(make: Make, tmp_path: Path) -> None:
    first = make("a").entry_hash
    for name in ("records/tool/seed-0/record.json", "board/index.html", "originals/x.png"):
        (tmp_path / "tool" / name).parent.mkdir(parents=True)
        (tmp_path / "tool" / name).write_text(name)
    assert make("a").entry_hash == first
    (tmp_path / "tool" / "records" / "tool" / "seed-0" / "record.json").unlink()
    assert make("a").entry_hash != first


@pytest.mark.parametrize(("limit", "value"), [("MOST_FILES", 6), ("MOST_BYTES", 40)])
def test_too_much_beside_it_is_not_in_the_hash_but_counted(
    limit: str, value: int, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"benchmark.entrants.content.{limit}", value)
    assert make("a").not_hashed == 0
    for number in range(6):
        (tmp_path / "tool" / f"{number}.bin").write_bytes(bytes(7))
    made = make("a", 'files = ["5.bin"]')
    assert made.not_hashed == 5
    (tmp_path / "tool" / "0.bin").write_bytes(b"1" * 7)
    assert make("a", 'files = ["5.bin"]').entry_hash == made.entry_hash
    (tmp_path / "tool" / "5.bin").write_bytes(b"1" * 7)
    assert make("a", 'files = ["5.bin"]').entry_hash != made.entry_hash


def test_the_hash_is_that_of_the_description_that_is_used(make: Make, tmp_path: Path) -> None:
    """Another file that happens to be called entrant.toml says nothing about it."""
    make("a")
    here, text = tmp_path / "tool", 'name = "tool"\nkind = "process"\ncommand = ["x"]\n'

    def hashed(used: str) -> str:
        return ProcessEntrant(parse_description(used.encode(), "other.toml"), here, {}).entry_hash  # type: ignore[arg-type]

    assert hashed(text) != hashed(text + 'version = "2"')
    assert hashed(text) == hashed("# a remark\n" + text)


def test_a_large_file_is_read_once_unless_it_changes(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "tool" / "model.bin"
    first = make("a").entry_hash
    path.write_bytes(bytes(3_000_000))
    large = make("a").entry_hash
    path.chmod(0o600)
    assert make("a").entry_hash == large != first
    path.write_bytes(b"1" + bytes(2_999_999))
    assert make("a").entry_hash not in (large, first)


def test_a_file_that_cannot_be_read_is_named(make: Make, tmp_path: Path) -> None:
    make("a")
    (tmp_path / "tool" / "closed.py").write_text("x")
    (tmp_path / "tool" / "closed.py").chmod(0)
    if os.geteuid():
        with pytest.raises(EnvironmentProblem, match=r"closed\.py"):
            make("a")


def test_the_record_says_what_it_may_read_as_it_is_written(
    make: Make, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    entrant = make(INVERT, 'reads = ["~/models"]')
    entrant.anonymize(images, Controller())
    assert entrant.isolation == f"{isolation().sentence}; may read ~/models"
    entrant = make(INVERT, f"reads = {['~/models' + '/.' * 200]!r}")
    entrant.anonymize(images, Controller())
    assert len(entrant.isolation) == len(isolation().sentence) + 200


def test_a_person_nobody_knows_is_an_error_of_typing(make: Make, images: ImageSet) -> None:
    with pytest.raises(UsageError, match=r"tool: '~nosuchuser/x' in 'reads' of entrant\.toml"):
        make("", 'reads = ["~nosuchuser/x"]').anonymize(images, Controller())


def test_programs_are_read_unchecked_and_unsaid(make: Make, images: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "program").mkdir()
    plain = make(INVERT + "os.listdir(sys.argv[3])", "", f', "{tmp_path}/program"')
    entrant = ProcessEntrant(plain._described, plain._here, {}, programs=(tmp_path / "program",))
    entrant.anonymize(images, Controller())
    assert entrant.isolation == isolation().sentence


def test_data_are_hidden_wherever_they_are(make: Make, images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    entrant = make(INVERT)
    monkeypatch.setenv("ANONBENCH_DATA", str(entrant._here.parent))
    with pytest.raises(UsageError, match=r"tool: .*data that the command may not see"):
        entrant.anonymize(images, Controller())


def test_a_limit_of_whoever_runs_it_is_said_to_be_one(make: Make, images: ImageSet) -> None:
    entrant = make("import time; time.sleep(9)", "[limits]\nseconds = 50")
    with (
        at_most(0.4),
        pytest.raises(EntrantError, match=r"longer than its 0\.4 seconds, all that .* while it is checked"),
    ):
        entrant.anonymize(images, Controller())


def test_folders_of_dead_processes_are_cleared_away_and_no_others(
    make: Make, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with scratch_folder() as own:
        kind, pid = own.name.split("-")[1], own.name.split("-")[2]
        assert pid == str(os.getpid())
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    dead, made = gone.pid, tmp_path / "tmp"
    left = [f"anonbench-{kind}-{pid}-abcdefgh", f"anonbench-{kind}-{dead}-abc", f"anonbench-00000000-{dead}-abcdefgh"]
    left += [f"anonbench-{dead}-abcdefgh", f"anonbench-{kind}-{dead}-abcdefgh.txt", f"anonbench-{kind}-1-abcdefgh"]
    for name in [*left, f"anonbench-{kind}-{dead}-abcdefgh"]:
        (made / name / "input").mkdir(parents=True)
        (made / name / "input" / "x.png").touch()
    (made / f"anonbench-{kind}-{dead}-linklink").symlink_to(tmp_path)
    clear_abandoned.cache_clear()
    make(INVERT).anonymize(images, Controller())
    assert {path.name for path in made.iterdir()} == {*left, f"anonbench-{kind}-{dead}-linklink"}


@pytest.mark.parametrize("pattern", ["../*", "/etc/*", "no-such-*"])
def test_patterns_that_leave_the_folder_or_match_nothing_are_refused(pattern: str, make: Make) -> None:
    with pytest.raises(UsageError, match=re.escape(pattern)):
        make("", f'files = ["{pattern}"]')


def test_a_program_that_is_not_there_is_named(tmp_path: Path, images: ImageSet) -> None:
    text = b'name = "tool"\nkind = "process"\ncommand = ["no-such-program"]'
    entrant = ProcessEntrant(parse_description(text, "x"), tmp_path, {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"tool: .*no-such-program.*entrant\.toml"):
        entrant.anonymize(images, Controller())


def test_the_newest_logs_are_kept(make: Make, images: ImageSet, own_cache: Path) -> None:
    folder = own_cache / "logs" / "tool"
    folder.mkdir(parents=True)
    for number in range(LOGS + 5):
        (folder / f"20000101T0000{number:02d}.000000Z.txt").write_text("old")
    make(INVERT).anonymize(images, Controller())
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == LOGS
    assert names[0].startswith("20000101T000006")
    assert not names[-1].startswith("2000")


def test_a_failure_says_what_happened(make: Make, images: ImageSet, tmp_path: Path) -> None:
    code = "import sys, os\nsys.stderr.buffer.write(b'\\xff' + os.getcwd().encode() + b'/x <script>\\x1b\\n\\n')\nsys.exit(3)"
    with pytest.raises(EntrantError) as raised:
        make(code).anonymize(images, Controller())
    said = str(raised.value)
    assert said.startswith(
        "tool: the command ended with exit code 3; it said: \N{REPLACEMENT CHARACTER}/x <script>\\x1b. "
    )
    assert said.endswith("logs/tool in the cache folder")
    assert said.isprintable()
    assert str(tmp_path) not in said
    with pytest.raises(EntrantError) as again:
        make(code).anonymize(images, Controller())
    assert str(again.value) == said


def test_a_failing_command_releases_nothing_whatever_it_wrote(make: Make, images: ImageSet) -> None:
    with pytest.raises(EntrantError, match="exit code 1"):
        make(INVERT + "sys.exit(1)").anonymize(images, Controller())


def test_a_command_without_any_image_fails(make: Make, images: ImageSet) -> None:
    with pytest.raises(EntrantError, match=r"released no image \(4 of 4: 4 absent\)"):
        make("").anonymize(images, Controller())


def test_missing_images_are_black_and_counted(make: Make, images: ImageSet) -> None:
    code = INVERT + "os.remove(os.path.join(wanted, '0000000000000003.png'))\n"
    code += "Image.new('RGB', (6, 9)).save(os.path.join(wanted, '0000000000000009.png'))\n"
    code += "Image.new('RGB', (9, 6)).save(os.path.join(wanted, 'abcdef0123456789.png'))"
    released = check_released(make(code).anonymize(images, Controller()), images)
    assert released.missing is not None
    assert released.missing.tolist() == [False, True, True, False]
    assert released.notes == {NOTE: "2 of 4: 1 absent, 1 of another size"}
    assert torch.equal(released.images[::3], 255 - images.images[::3])
    assert not released.images[1:3].any()


PIXELS = torch.arange(6 * 9 * 3, dtype=torch.uint8).reshape(3, 6, 9)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "tif", "PNG"])
def test_lossless_formats_come_back_as_they_are(suffix: str, tmp_path: Path) -> None:
    save(PIXELS, tmp_path / f"k.{suffix}")
    found = read_outputs(tmp_path, ["k"], (6, 9))
    assert torch.equal(found.images[0], PIXELS)
    assert found.note == ""


@pytest.mark.parametrize(("suffix", "options"), [("jpg", {}), ("jpeg", {}), ("webp", {"lossless": True})])
def test_other_formats_are_read(suffix: str, options: dict[str, object], tmp_path: Path) -> None:
    save(PIXELS, tmp_path / f"k.{suffix}", **options)
    assert not read_outputs(tmp_path, ["k"], (6, 9)).missing.any()


def test_what_is_no_image_is_missing(tmp_path: Path) -> None:
    outside = tmp_path / "secret.png"
    save(PIXELS, outside)
    folder = tmp_path / "output"
    folder.mkdir()
    save(PIXELS, folder / "twice.png")
    save(PIXELS, folder / "twice.bmp")
    save(PIXELS[:, :, :8], folder / "small.png")
    (folder / "link.png").symlink_to(outside)
    (folder / "folder.png").mkdir()
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no image")
    buffer = BytesIO()
    Image.fromarray(PIXELS.permute(1, 2, 0).numpy()).save(buffer, "PNG")
    (folder / "cut.png").write_bytes(buffer.getvalue()[:-30])
    (folder / "padded.png").write_bytes(buffer.getvalue() + bytes(3_000_000))
    Image.new("RGB", (9, 6)).save(folder / "gif.png", "GIF")
    Image.new("L", (12_000, 12_000)).save(folder / "bomb.png")
    Image.new("F", (9, 6)).save(folder / "float.tiff")
    (folder / "wrong.suffix").write_bytes(buffer.getvalue())
    keys = [
        "twice",
        "small",
        "link",
        "folder",
        "empty",
        "text",
        "cut",
        "padded",
        "gif",
        "bomb",
        "float",
        "wrong",
        "gone",
    ]
    found = read_outputs(folder, keys, (6, 9))
    assert found.missing.all()
    assert not found.images.any()
    assert found.note == "13 of 13: 2 absent, 6 damaged, 2 no ordinary file, 2 of another size, 1 with two files"


def test_a_pipe_is_not_waited_for_and_an_output_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    import os

    folder = tmp_path / "output"
    folder.mkdir()
    os.mkfifo(folder / "k.png")
    assert read_outputs(folder, ["k"], (6, 9)).note == "1 of 1: 1 no ordinary file"
    save(PIXELS, tmp_path / "k.png")
    (tmp_path / "link").symlink_to(tmp_path)
    assert read_outputs(tmp_path / "link", ["k"], (6, 9)).note == "1 of 1: 1 absent"


def test_python_of_the_harness_can_be_named(make: Make, images: ImageSet, own_cache: Path) -> None:
    make(INVERT, "", ', "{python}"').anonymize(images, Controller())
    (log,) = (own_cache / "logs" / "tool").iterdir()
    assert sys.executable in log.read_text()
