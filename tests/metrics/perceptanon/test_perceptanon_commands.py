"""The commands, from a made study with SYNTHETIC scores to pictures."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmark.cli import cli
from metrics.perceptanon import commands, networks
from metrics.perceptanon.checkpoint import load


def anonbench(*words: object) -> Result:
    return CliRunner().invoke(cli, ["perceptanon", *map(str, words)], catch_exceptions=False)


def done(*words: object) -> str:
    result = anonbench(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(code: int, *words: object) -> str:
    result = anonbench(*words)
    assert result.exit_code == code, result.output
    assert result.stderr.count("Error: ") == 1
    return result.stderr


TRAIN = ("--backbone", "small-resnet", "--width", 4, "--size", 24, "--epochs", 2, "--batch", 16, "--threads", 1)


@pytest.fixture(scope="module")
def trained(study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint per study."""
    out = tmp_path_factory.mktemp("trained")
    for name in ("HA1", "HA2"):
        done("train", study, "--study", name, *TRAIN, "--out", out, "--seed", 3, "--panel", "simulated")
    return {
        name: out / f"simulated-{name}-all-mean-regression-small-resnet-seed3.safetensors" for name in ("HA1", "HA2")
    }


def test_splits_are_written_and_counted(study: Path, tmp_path: Path) -> None:
    rows = json.loads(done("splits", study, "--out", tmp_path, "--format", "json"))
    counts = {row["split"]: (row["train"], row["val"], row["test"]) for row in rows}
    assert counts["loov-lfw"][2] == 16
    assert sum(counts["all"]) == 64
    assert set(counts) >= {"all", "loov-coco", "anon-mask"}
    assert (tmp_path / "dataset_splits/HA1/all/test.csv").is_file()
    few = next(row for row in rows if row["split"] == "task-face")
    assert few["test"] or "too few rows" in few["written"]
    rows = json.loads(done("splits", study, "--out", tmp_path, "--split", "all", "--paper-splits", "--format", "json"))
    assert [row["split"] for row in rows] == ["all"]


def test_training_writes_checkpoint_settings_and_history(trained: dict[str, Path]) -> None:
    path = trained["HA2"]
    settings = load(path).settings
    assert (settings.study, settings.panel, settings.split, settings.start) == ("HA2", "simulated", "all", "none")
    history = list(csv.DictReader(path.with_suffix(".csv").read_text().splitlines()))
    assert [row["epoch"] for row in history] == ["1", "2"]
    assert settings.val_loss == min(float(row["val_loss"]) for row in history)
    assert not list(path.parent.glob("*.unfinished"))


def test_training_twice_gives_the_same_file(study: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    line = done("train", study, *TRAIN, "--out", tmp_path, "--seed", 3, "--panel", "simulated")
    assert "epoch" in line
    assert (tmp_path / trained["HA1"].name).read_bytes() == trained["HA1"].read_bytes()


def test_training_on_saved_splits_is_the_same(study: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    done("splits", study, "--out", tmp_path, "--split", "all")
    done("train", study, *TRAIN, "--out", tmp_path, "--seed", 3, "--panel", "simulated", "--splits", tmp_path)
    assert (tmp_path / trained["HA1"].name).read_bytes() == trained["HA1"].read_bytes()


def test_published_splits_are_remembered_even_if_they_were_saved(study: Path, tmp_path: Path) -> None:
    done("splits", study, "--out", tmp_path, "--split", "all", "--paper-splits")
    done("train", study, *TRAIN, "--out", tmp_path / "saved", "--splits", tmp_path)
    done("train", study, *TRAIN, "--out", tmp_path / "drawn", "--paper-splits")
    (saved,), (drawn,) = (list((tmp_path / name).glob("*.safetensors")) for name in ("saved", "drawn"))
    assert saved.read_bytes() == drawn.read_bytes()
    assert "variants of test photographs were seen in training" in " ".join(done("evaluate", saved, study).split())


def test_classification_and_regression_do_not_overwrite_each_other(study: Path, tmp_path: Path) -> None:
    for task in ("classification", "regression"):
        done("train", study, *TRAIN, "--out", tmp_path, "--labels", "labels5", "--task", task)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) == 2
    rows = {row["measure"]: row["value"] for row in json.loads(done("evaluate", files[0], study, "--format", "json"))}
    assert {"accuracy", "precision", "recall"} <= set(rows)
    assert rows["task"] == "classification"


def test_a_simulated_study_never_passes_for_people(study: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for entry in study.iterdir():
        (data / entry.name).symlink_to(entry)
    (data / "study.json").write_text(json.dumps({"panel": "simulated", "suite": "made"}))
    words = refused(2, "train", data, *TRAIN, "--out", tmp_path, "--panel", "human")
    assert "come from a simulated panel" in words
    done("train", data, *TRAIN, "--out", tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    assert (load(path).settings.panel, load(path).settings.trained_on) == ("simulated", "made")


def test_a_test_against_a_simulated_panel_says_so(study: Path, tmp_path: Path) -> None:
    done("train", study, *(word for word in TRAIN if word not in ("--panel", "simulated")), "--out", tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    data = tmp_path / "data"
    data.mkdir()
    for entry in study.iterdir():
        (data / entry.name).symlink_to(entry)
    for content, said in (({}, "human"), ({"panel": "simulated"}, "simulated")):
        (data / "study.json").write_text(json.dumps(content))
        rows = {row["measure"]: row for row in json.loads(done("evaluate", path, data, "--format", "json"))}
        assert (rows["panel"]["value"], rows["scores"]["value"]) == ("human", said)
        assert ("not against people" in rows["scores"]["note"]) == (said == "simulated")


@pytest.mark.parametrize("name", ["HA1", "HA2"])
def test_evaluation(study: Path, trained: dict[str, Path], name: str) -> None:
    rows = json.loads(done("evaluate", trained[name], study, "--format", "json"))
    found = {row["measure"]: row["value"] for row in rows}
    assert found["n"] > 8
    assert -1 <= found["spearman"] <= 1
    assert found["mse"] >= 0
    assert "simulated panel, not of people" in next(row["note"] for row in rows if row["measure"] == "panel")
    assert found["scores"] == "unknown", "the study says nothing, and the network learned a simulated panel"
    table = done("evaluate", trained[name], study, "--split", "loov-lfw")
    assert "may have seen test images" in " ".join(table.split())
    assert done("evaluate", trained[name], study, "--format", "csv").startswith("measure,value,note")


def test_scores_of_files_and_folders(study: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    folder = study / "data/coco/global_mask"
    rows = list(csv.DictReader(io.StringIO(done("score", trained["HA1"], folder))))
    assert [row["path"] for row in rows] == [str(file) for file in sorted(folder.iterdir())]
    assert all(1 <= float(row["score"]) <= 10 for row in rows)
    one = list(csv.DictReader(io.StringIO(done("score", trained["HA1"], folder / "0.png"))))
    assert float(one[0]["score"]) == pytest.approx(float(rows[0]["score"]), abs=1e-3)
    original = study / "data/coco/original"
    done("score", trained["HA2"], folder, "--original", original, "--out", tmp_path / "scores.csv")
    assert len(list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))) == len(rows)


def test_pairs_that_cannot_be_made(study: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    folder = study / "data/coco/global_mask"
    assert "--original DIR" in refused(2, "score", trained["HA2"], folder)
    words = refused(2, "score", trained["HA2"], folder, "--original", study / "data/voc/original")
    assert "there is no original of 0.png" in words
    assert "there are no images" in refused(2, "score", trained["HA1"], tmp_path)
    assert "does not exist" in refused(2, "score", trained["HA1"], tmp_path / "gone")


def test_explanations(study: Path, trained: dict[str, Path], tmp_path: Path) -> None:
    folder = study / "data/coco/global_mask"
    assert "2 pictures" in done("explain", trained["HA1"], folder / "0.png", folder / "4.png", "--out", tmp_path)
    done("explain", trained["HA2"], folder, "--original", study / "data/coco/original", "--out", tmp_path / "all")
    assert sorted(file.name for file in (tmp_path / "all").iterdir()) == ["0.png", "12.png", "4.png", "8.png"]
    assert "holds the images themselves" in refused(2, "explain", trained["HA1"], folder, "--out", folder)
    twice = (folder / "0.png", study / "data/coco/original/0.png")
    assert "two images would become" in refused(2, "explain", trained["HA1"], *twice, "--out", tmp_path)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--labels", "mean", "--task", "classification"), 2, "the mean score has no classes"),
        (("--class-weights",), 2, "class weights go with classes only"),
        (("--split", "loov-flickr"), 2, "has no rows for a split 'loov-flickr'"),
        (("--start", "imagenet"), 2, "small-resnet has no ImageNet weights"),
        (("--backbone", "resnet18", "--start", "none"), 2, "has no parameters {'width': 4}"),
        (("--device", "tpu"), 2, "no such device"),
        (("--backbone", "vit_b_16"), 2, "vit_b_16 takes images of 224 pixels a side, not 24; mend --size"),
        (("--backbone", "alexnet"), 2, "alexnet takes images of 63 to 1024 pixels a side"),
    ],
)
def test_mistakes_are_one_line(study: Path, tmp_path: Path, words: tuple[str, ...], code: int, message: str) -> None:
    assert message in " ".join(refused(code, "train", study, *TRAIN, *words, "--out", tmp_path).split())


def test_a_missing_study(tmp_path: Path) -> None:
    assert "HA1.csv does not exist" in refused(2, "splits", tmp_path)


def test_the_group_is_listed_without_heavy_imports() -> None:
    code = (
        "import sys, metrics.perceptanon.commands as c; "
        "heavy = {'torch', 'pandas', 'sklearn', 'scipy', 'captum', 'torchvision'} & set(sys.modules); "
        "assert not heavy, heavy; assert {'splits', 'train', 'evaluate', 'score', 'explain'} <= set(c.perceptanon.commands)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "PerceptAnon: a learned score" in CliRunner().invoke(cli, ["perceptanon", "--help"]).output


def test_the_command_offers_every_backbone() -> None:
    assert set(commands.BACKBONES) == set(networks.BACKBONES)
