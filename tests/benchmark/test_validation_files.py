"""Files that may not lie in a result, tables that are none or of other images, and how problems are told."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmark.submission.pictures import whole
from benchmark.submission.problems import Problem, Report, as_markdown, quoted
from benchmark.submission.tables import BadTable, read_table
from benchmark.submission.validating import validate
from tests.benchmark.test_validation import BLUR, SUITE, lines, make_result, retable, rewrite, rules, set_in

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def made(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_result(cache, tmp_path_factory.mktemp("made") / SUITE, "identity", "black", "blur(kernel=15)")


@pytest.fixture
def result(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / SUITE))


def huge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(11_000_000)


def picture(path: Path, size: tuple[int, int], form: str = "PNG") -> None:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, form)
    path.write_bytes(buffer.getvalue())


def appended(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def with_text(path: Path) -> None:
    text = PngInfo()
    text.add_text("Comment", "buy this")
    Image.open(io.BytesIO(path.read_bytes())).save(path, pnginfo=text)


def linked(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/hostname")


FILES: list[tuple[str, Callable[[Path], object], str, str]] = [
    ("extra file", lambda f: (f / "notes.txt").write_text("hello"), "schema", "notes.txt"),
    ("program", lambda f: (f / "examples" / "run.py").write_text("print()"), "schema", "examples/run.py"),
    ("hidden file", lambda f: (f / ".part-xyz").write_text(""), "schema", ".part-xyz"),
    ("pickle", lambda f: (f / "model.pkl").write_bytes(pickle.dumps({})), "schema", "model.pkl"),
    ("picture nobody names", lambda f: picture(f / "examples" / "7-released.png", (64, 64)), "schema", "7-released.png"),
    ("link", lambda f: linked(f / "environment.txt"), "schema", "environment.txt"),
    ("link to a picture", lambda f: linked(f / "examples" / "0-released.png"), "schema", "0-released.png"),
    ("link to a folder", lambda f: (f / "rounds").symlink_to("/etc"), "schema", "rounds"),
    ("pipe", lambda f: os.mkfifo(f / "pipe"), "schema", "pipe"),
    ("huge record", lambda f: huge(f / "record.json"), "schema", "record.json"),
    ("huge table", lambda f: huge(f / "per_image.parquet"), "schema", "per_image.parquet"),
    ("huge picture", lambda f: huge(f / "examples" / "0-released.png"), "schema", "0-released.png"),
    ("no table", lambda f: (f / "per_image.parquet").unlink(), "schema", "per_image.parquet"),
    ("no packages", lambda f: (f / "environment.txt").unlink(), "schema", "environment.txt"),
    ("packages with colours", lambda f: (f / "environment.txt").write_text("a\x1b[31m"), "text", "environment.txt"),
    ("packages in bytes", lambda f: (f / "environment.txt").write_bytes(b"\xff\xfe"), "text", "environment.txt"),
    ("text as a picture", lambda f: (f / "examples" / "0-released.png").write_text("<script>"), "pictures", "0-released"),
    ("large picture", lambda f: picture(f / "examples" / "0-released.png", (4000, 64)), "pictures", "4000 x 64"),
    ("picture of another kind", lambda f: picture(f / "examples" / "0-released.png", (64, 64), "GIF"), "pictures",
     "is no PNG"),
    ("another original", lambda f: [picture(one, (64, 64)) for one in (f / "../../../originals").glob("*.png")], "pictures",
     "another content"),
    ("bytes behind the end", lambda f: appended(f / "examples" / "0-released.png", b"<script>"), "pictures",
     "has bytes behind its end"),
    ("a text in a picture", lambda f: with_text(f / "examples" / "0-released.png"), "pictures", "no picture ('tEXt')"),
    ("no originals", lambda f: shutil.rmtree(f / "../../../originals"), "pictures", "is missing"),
    ("stray file", lambda f: (f / "../../loose.json").write_text("{}"), "path", "loose.json"),
    ("stray link", lambda f: (f / "../../other").symlink_to("/etc"), "path", "other"),
    ("moved", lambda f: f.rename(f.parent / "seed-3"), "path", "seed-3"),
    ("renamed", lambda f: f.parent.rename(f.parent.parent / "mine"), "path", "mine"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "rule", "words"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_a_file_that_may_not_be_there_is_named(
    result: Path, change: Callable[[Path], object], rule: str, words: str
) -> None:
    change(result / BLUR)
    report = validate([result], result)
    assert any(problem.rule == rule and words in problem.line for problem in report.problems), lines(report)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@given(extra=st.binary(min_size=1, max_size=20), cut=st.integers(1, 60))
def test_pictures_end_where_they_end(form: str, extra: bytes, cut: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 200, 30)).save(buffer, form)
    data = buffer.getvalue()
    assert whole(data) == ""
    assert whole(data + extra)
    assert whole(data[:-cut])


def repeated(frame: pd.DataFrame) -> pd.DataFrame:
    """The first image in place of the second, everywhere."""
    first, second = frame.image_id.unique()[:2]
    return frame.assign(image_id=frame.image_id.where(frame.image_id != second, first))


def lower(metric: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.assign(value=frame.value.where(frame.metric != metric, 0.0))


TABLES: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str, str]] = [
    ("attacker's hits taken out", lower("adaptive"), "consistency", "adaptive is"),
    ("hits of all attackers taken out", lambda f: lower("risk")(lower("adaptive")(f)), "consistency", "risk is"),
    ("risk apart from its attacker", lower("risk"), "consistency", "not those of"),
    ("all answers right", lambda f: f.assign(value=f.value.where(f.metric != "f1(attribute=gender)", 1.0)), "consistency",
     "f1(attribute=gender) is"),
    ("one image missing", lambda f: f[f.image_id != f.image_id.iloc[0]], "values", "191 rows for 192"),
    ("one image of one metric missing", lambda f: f.drop(index=f.index[f.metric == "ssim"][0]), "values", "ssim has 191"),
    ("an image twice", repeated, "values", "an image occurs twice"),
    ("images in another order in one metric", lambda f: pd.concat([f[f.metric != "mse"], f[f.metric == "mse"][::-1]]),
     "values", "mse is of other images"),
    ("other images", lambda f: f.assign(image_id="x" + f.image_id), "values", "than the control identity"),
    ("people exchanged in one metric", lambda f: f.assign(
        identity_id=f.identity_id.where(f.metric != "mse", f.identity_id[::-1].to_numpy())),
     "values", "mse is of other images, or other people"),
    ("other people", lambda f: f.assign(identity_id="nobody"), "values", "shows 1 people"),
    ("names of others exchanged", lambda f: f.assign(identity_id=f.identity_id.map(
        lambda name: "evaluated-0001" if name == "evaluated-0000" else
        "evaluated-0000" if name == "evaluated-0001" else name)), "values", "than the control identity"),
    ("another seed", lambda f: f.assign(seed=7), "values", "seeds [7]"),
    ("attacker without values", lambda f: f[f.metric != "static"], "values", "no values of static"),
    ("metric without values", lambda f: f[f.metric != "ssim"], "values", "no values of ssim"),
    ("values of no metric", lambda f: f.assign(metric=f.metric.where(f.metric != "ssim", "<b>x")), "values", "<b>x"),
    ("a value infinite", lambda f: f.assign(value=f.value.where(f.metric != "mse", np.inf)), "values", "mse has a status"),
    ("values gone, status ok", lambda f: f.assign(value=f.value.where(f.metric != "mse", np.nan)), "values",
     "mse has a status"),
    ("values there, status bad", lambda f: f.assign(status="not-applicable"), "values", "has a status"),
    ("no rows", lambda f: f[:0], "values", "column 'image_id' has the type"),
    ("name turned round", lambda f: f.assign(image_id=f.image_id + "\u202e"), "text", "cannot be printed"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "rule", "words"), [case[1:] for case in TABLES], ids=[case[0] for case in TABLES])
def test_a_tampered_table_is_caught(
    result: Path, change: Callable[[pd.DataFrame], pd.DataFrame], rule: str, words: str
) -> None:
    retable(result / BLUR, change)
    report = validate([result / BLUR])
    assert any(problem.rule == rule and words in problem.text for problem in report.problems), lines(report)


def test_a_table_written_anew_is_the_same_table(result: Path) -> None:
    """The tables above are caught for what was changed, not for how they were written."""
    retable(result / BLUR, lambda frame: frame)
    assert not validate([result / BLUR]).problems


ROWS = {
    "image_id": ["a", "b"], "identity_id": ["p", ""], "metric": ["m", "m"], "value": [1.0, None],
    "status": ["ok", "not-applicable"], "seed": [0, 0],
}  # fmt: skip


def written(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table({**ROWS, **columns}), path)
    return path


def test_a_table_is_read(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "t"))
    assert table.keys("m") == [("a", "p"), ("b", "")]
    assert table.metrics["m"].finite.tolist() == [1.0]
    assert table.metrics["m"].scored.tolist() == [True, False]
    assert table.seeds == {0}


def test_people_nobody_names_count_one_by_one(tmp_path: Path) -> None:
    path = written(tmp_path / "t", identity_id=["", ""], value=[1.0, 2.0])
    assert read_table(path).metrics["m"].people == 2


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"value": ["1", "2"]}, "column 'value' has the type string"),
        ({"seed": [0.0, 0.0]}, "column 'seed' has the type double"),
        ({"image_id": [b"a", b"b"]}, "column 'image_id' has the type binary"),
        ({"metric": [["m"], ["m"]]}, "column 'metric' has the type list"),
        ({"status": ["ok", None]}, "column 'status' has rows without a text"),
        ({"seed": pa.array([0, None], pa.int64())}, "column 'seed' has rows without a seed"),
        ({"more": [1, 2]}, "has the columns"),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, columns: dict[str, object], words: str) -> None:
    with pytest.raises(BadTable, match="column") as caught:
        read_table(written(tmp_path / "t", **columns))
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"PAR1", pickle.dumps([1, 2]), b"PAR1" + b"\xff" * 200 + b"PAR1"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(BadTable, match="cannot be read as Parquet"):
        read_table(tmp_path / "t")


def test_a_small_file_that_unpacks_to_many_rows_is_refused(tmp_path: Path) -> None:
    rows = 6_000_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["x"]))
    texts = dict.fromkeys(("image_id", "identity_id", "metric"), text)
    columns = {**texts, "value": np.zeros(rows), "status": text, "seed": np.zeros(rows, np.int64)}
    pq.write_table(pa.table(columns), tmp_path / "t", compression="zstd")
    assert (tmp_path / "t").stat().st_size < 1e6
    with pytest.raises(BadTable, match="unpacks to 6000000 rows"):
        read_table(tmp_path / "t")


def test_a_link_into_another_result_is_not_followed(result: Path) -> None:
    shutil.move(result / "records/black", result.parent / "elsewhere")
    (result / "records/black").symlink_to(result.parent / "elsewhere")
    report = validate([result])
    assert report.records == 2
    assert {"path", "controls"} <= rules(report)


def test_the_command_counts_and_ends_with_two(invoke: Invoke, result: Path) -> None:
    fine = invoke("validate", result)
    assert (fine.exit_code, fine.output) == (0, "3 records, 0 problems, 0 notes\n")
    (result / BLUR / "notes.txt").write_text("hello")
    wrong = invoke("validate", SUITE, "--root", result.parent)
    assert wrong.exit_code == 2
    assert wrong.output.splitlines() == [
        f"{SUITE}/{BLUR}/notes.txt: schema: is no file of a record. Remove it; a record's folder holds what "
        "`anonbench run` wrote and nothing else",
        "3 records, 1 problems, 0 notes",
    ]


def test_the_command_without_results(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("validate", tmp_path / "none").exit_code == 2
    empty = invoke("validate", tmp_path)
    assert empty.exit_code == 5
    assert "anonbench run" in empty.output


def test_problems_as_json(invoke: Invoke, result: Path) -> None:
    rewrite(result / BLUR, set_in("entry", authors="<script>\u202e"))
    told = json.loads(invoke("validate", result, "--format", "json").output)
    assert told["records"] == 3
    assert [problem["rule"] for problem in told["problems"]] == ["text"]


EVIL = (
    "@everyone | `x` <script>alert(1)</script> [a](javascript:b) #1 ![](http://x.y) \u202e\n| a |",
    "</code>",
    "|",
    "\\|",
)


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_of_a_record_is_markdown(evil: str) -> None:
    report = Report(1, (Problem(evil, "text", evil, evil),), (evil,))
    table = as_markdown(report)
    assert len(table.splitlines()) == len(
        as_markdown(Report(1, (Problem("a", "text", "a", "a"),), ("a",))).splitlines()
    )
    for line in table.splitlines()[1:]:
        plain = line.replace("<code>", "").replace("</code>", "")
        assert not set(plain) & set("@`<>[]()!\\/.\u202e"), line
        assert plain.count("|") in (0, 5)


@given(st.text())
def test_quoted_text_reads_as_it_was_written(text: str) -> None:
    """Undone by the standard library's own reader of entities; what cannot be printed is spelled out."""
    import html
    import re

    code = quoted(text[:100])
    assert re.fullmatch(r"<code>([A-Za-z0-9 ]|&#\d+;)*</code>", code)
    shown = html.unescape(code.removeprefix("<code>").removesuffix("</code>"))
    assert shown == "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:100])


def test_a_long_report_fits_a_comment() -> None:
    told = as_markdown(Report(1, tuple(Problem("p" * 999, "text", "<" * 999, "n") for _ in range(500))))
    assert "450 more" in told
    assert told.count("\n") < 60
