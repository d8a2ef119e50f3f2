"""Tables of a study, whole and broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.errors import UsageError
from metrics.perceptanon.table import read_table

One = Callable[..., Path]


def test_reads_a_study(study: Path) -> None:
    table = read_table(study, "HA2")
    assert len(table) == 64
    assert len(set(table.photographs.tolist())) == 16
    assert set(table.datasets.tolist()) == {"coco", "voc", "celeba", "lfw"}
    assert table.released[0] == study / "data/coco/global_mask/0.png"
    assert table.scores.min() >= 1
    assert table.content == read_table(study, "HA1").content


def test_paths_are_found_by_position_and_the_rest_by_name(one_row: One) -> None:
    folder = one_row()
    file = folder / "HA1.csv"
    file.write_text("first,second,score_mean,method,dataset\no.png,r.png,2,mask,coco\n", encoding="utf-8-sig")
    table = read_table(folder, "HA1")
    assert table.originals == [folder / "o.png"]
    assert table.released == [folder / "r.png"]
    assert table.scores.tolist() == [2]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"score_mean": "10.5"}, r"HA1\.csv row 1: the score is 10\.5"),
        ({"score_mean": "0.99999999"}, r"the score is 0\.99999999"),
        ({"score_mean": "nan"}, r"HA1\.csv row 1: the score is nan"),
        ({"score_mean": "much"}, r"HA1\.csv row 1: score_mean is 'much'; write a number"),
        ({"score_mean": ""}, r"HA1\.csv row 1: score_mean is ''"),
        ({"img2": "gone.png"}, r"HA1\.csv row 1: .*gone\.png does not exist"),
        ({"img2": "../r.png"}, r"HA1\.csv row 1: path '\.\./r\.png' leads out of the data folder"),
        ({"img1": "/etc/hostname"}, r"HA1\.csv row 1: path '/etc/hostname' leads out of"),
        ({"img2": ""}, r"HA1\.csv row 1: path '' leads out of"),
        ({"dataset": "../up"}, r"HA1\.csv row 1: dataset is '\.\./up'; write a plain name"),
        ({"method": ""}, r"HA1\.csv row 1: method is ''; write a plain name"),
        ({"img2": "C:r.png"}, r"HA1\.csv row 1: path 'C:r.png' leads out of"),
    ],
)
def test_broken_cells_are_named(one_row: One, cells: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_table(one_row(**cells), "HA1")
    assert "\n" not in str(caught.value)


def test_only_ha2_needs_the_originals(one_row: One) -> None:
    folder = one_row(img1="gone.png")
    assert len(read_table(folder, "HA1")) == 1
    with pytest.raises(UsageError, match=r"gone\.png does not exist"):
        read_table(folder, "HA2")
    with pytest.raises(UsageError, match=r"gone\.png does not exist"):
        read_table(folder, "HA1", originals=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"img1,img2,dataset,method,score_mean\n", "has no rows"),
        (b"img1,img2,dataset,score_mean\no,r,coco,3\n", "lacks the column method"),
        (b"a,b,dataset,method,score_mean,score_mean\no,r,coco,mask,3,4\n", "has the column score_mean twice"),
        (b"img1\no.png\n", "lacks the column dataset, method, score_mean"),
        (b'a,b,dataset,method,score_mean\n"o,r\n', "is not a table"),
        (b"a,b,dataset,method,score_mean\no,r,coco,mask,3,4,5\n", "is not a table"),
        (b"a,b,dataset,method,score_mean\no,r,coco\n", "row 1: method is ''"),
        (b"\xff\xfe\x00,b\n\xff,\xfe\n", "is not a table"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "."),
    ],
)
def test_broken_files_are_named(one_row: One, content: bytes, message: str) -> None:
    folder = one_row()
    (folder / "HA1.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        read_table(folder, "HA1")
    assert "HA1.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_not_a_study(one_row: One) -> None:
    with pytest.raises(UsageError, match=r"HA1\.csv is a file; name the folder"):
        read_table(one_row() / "HA1.csv", "HA1")


def test_a_missing_table_and_an_unknown_study(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"HA2\.csv does not exist; name the folder"):
        read_table(tmp_path, "HA2")
    with pytest.raises(UsageError, match="no study is called 'HA3'"):
        read_table(tmp_path, "HA3")
    (tmp_path / "HA1.csv").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        read_table(tmp_path, "HA1")
