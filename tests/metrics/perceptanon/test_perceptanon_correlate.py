"""Metrics against the scores of a study, and PerceptAnon as a metric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import kendalltau, spearmanr
from skimage.metrics import structural_similarity

from benchmark.cli import cli
from benchmark.correlations import read_correlations
from benchmark.decode import encode_png
from benchmark.errors import UsageError
from benchmark.images import ImageSet, Labels
from benchmark.protocols import Referees, Scores
from benchmark.registry import build_metric
from metrics.perceptanon.checkpoint import Settings, load, save
from metrics.perceptanon.correlate import correlation_table, parts_of
from metrics.perceptanon.metric import CHECKPOINT, PerceptAnon
from metrics.perceptanon.networks import Judge
from metrics.perceptanon.pairs import per_image_values
from metrics.perceptanon.table import read_table
from suites.definition import read_definition, weights_folder

SHIFTS = (1, 3, 7, 15, 31, 63)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 photographs of two sizes, three released versions each; the scores are synthetic."""
    root, generator = tmp_path_factory.mktemp("study"), torch.Generator().manual_seed(4)
    rows = []
    for number in range(24):
        side = 16 if number % 2 else 20
        original = torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)
        (root / f"o{number}.png").write_bytes(encode_png(original))
        for method in ("noise", "fade", "same"):
            strength = SHIFTS[int(torch.randint(len(SHIFTS), (1,), generator=generator))]
            noise = torch.randint(-strength, strength + 1, original.shape, generator=generator)
            changed = {
                "noise": (original.int() + noise).clamp(0, 255),
                "fade": (original.int() * (100 - strength)) // 100,
                "same": original,
            }[method].to(torch.uint8)
            (root / f"{method}{number}.png").write_bytes(encode_png(changed))
            score = 1.0 if method == "same" else 1 + 9 * strength / 64 * float(torch.rand(1, generator=generator))
            rows.append([f"o{number}.png", f"{method}{number}.png", "lfw", "global", method, round(score, 3)])
    names = ["img1", "img2", "dataset", "scope", "method", "score_mean"]
    pd.DataFrame(rows, columns=names).to_csv(root / "HA2.csv", index=False)
    return root


def test_rows_equal_scipy_on_values_computed_by_another_package(study: Path) -> None:
    from PIL import Image

    table = read_table(study, "HA2", originals=True)
    found = correlation_table(study, "HA2", ["ssim", "mse"], ["whole", "only-noise"])
    files = zip(table.originals, table.released, strict=True)
    loaded = [[np.asarray(Image.open(path)).astype(float) for path in pair] for pair in files]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    values = {
        "mse": np.array([np.mean((a - b) ** 2) for a, b in loaded]),
        "ssim": np.array([structural_similarity(a, b, channel_axis=2, **settings) for a, b in loaded]),
    }
    for part, rows in (("whole", slice(None)), ("only-noise", table.methods == "noise")):
        for name, column in values.items():
            row = found.row(name, part)
            assert row is not None
            assert row.n == len(column[rows])
            assert row.spearman == pytest.approx(spearmanr(column[rows], table.scores[rows]).statistic, abs=1e-9)
            assert row.kendall == pytest.approx(kendalltau(column[rows], table.scores[rows]).statistic, abs=1e-9)


def test_psnr_is_mse_with_the_sign_turned_exactly(study: Path) -> None:
    found = correlation_table(study, "HA2", ["psnr", "mse"])
    assert found.splits == ("whole", "only-fade", "only-noise", "only-same")
    for part in found.splits:
        psnr, mse = found.row("psnr", part), found.row("mse", part)
        assert psnr is not None
        assert mse is not None
        if part == "only-same":
            assert psnr.spearman is None
            assert "equal" in psnr.reason
        else:
            assert psnr.spearman == -mse.spearman
            assert psnr.kendall == -mse.kendall


def test_metrics_without_values_say_why(study: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("ANONBENCH_WEIGHTS", raising=False)
    specs = [
        "static",
        "perceptual(features=recogniser)",
        "lpips(net=vgg)",
        "perceptanon(panel=simulated)",
        "perceptanon",
    ]
    found = correlation_table(study, "HA2", specs, ["whole"])
    reasons = {row.metric: row.reason for row in found.rows}
    assert "no identities" in reasons["static"]
    assert "recogniser" in reasons["perceptual(features=recogniser)"]
    assert "anonbench weights fetch vgg16" in reasons["lpips(net=vgg)"]
    assert "simulated panel" in reasons["perceptanon(panel=simulated)"]
    assert "ANONBENCH_WEIGHTS" in reasons["perceptanon(panel=human)"]
    assert all(row.spearman is None for row in found.rows)


def test_a_metric_that_fails_does_not_take_the_others_along(study: Path) -> None:
    class Broken:
        card = build_metric("mse").card.model_copy(update={"name": "broken"})

        def score(self, *_: object) -> Scores:
            raise ZeroDivisionError("on\ntwo lines")

    class Short(Broken):
        card = build_metric("mse").card.model_copy(update={"name": "short"})

        def score(self, *arguments: Any) -> Scores:
            found = build_metric("mse").score(*arguments)
            return Scores(found.score, {"short": torch.zeros(1)})

    metrics: list[Any] = [Broken(), Short(), build_metric("mse")]
    values, reasons = per_image_values(read_table(study, "HA2"), metrics, Referees())
    assert set(values) == {"mse"}
    assert reasons["broken"] == "failed: ZeroDivisionError: on two lines"
    assert "values of shape (1,)" in reasons["short"]


def test_parts(study: Path) -> None:
    table = read_table(study, "HA2")
    parts = parts_of(table, ["whole", "only-fade", "all", "anon-noise"])
    assert len(parts["whole"]) == 72
    assert set(table.methods[parts["only-fade"]].tolist()) == {"fade"}
    assert set(table.methods[parts["anon-noise"]].tolist()) == {"noise"}
    assert 0 < len(parts["all"]) < 36
    with pytest.raises(UsageError, match="Did you mean 'noise'"):
        parts_of(table, ["only-noize"])


def test_a_pair_of_two_sizes_is_refused(study: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(study / "HA2.csv").iloc[:1]
    (tmp_path / "o0.png").write_bytes(encode_png(torch.zeros(3, 8, 8, dtype=torch.uint8)))
    (tmp_path / frame.img2[0]).write_bytes(encode_png(torch.zeros(3, 8, 9, dtype=torch.uint8)))
    frame.to_csv(tmp_path / "HA2.csv", index=False)
    with pytest.raises(UsageError, match="9 x 8 px and its original 8 x 8"):
        correlation_table(tmp_path, "HA2", ["mse"], ["whole"])


def test_command_prints_and_keeps_a_table(study: Path, tmp_path: Path) -> None:
    words = [
        "perceptanon",
        "correlate",
        str(study),
        "-m",
        "mse",
        "--part",
        "whole",
        "--format",
        "csv",
        "--threads",
        "1",
    ]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    header, row = done.stdout.strip().splitlines()
    assert header == "metric,part,n,spearman,kendall,reason"
    assert row.startswith("mse,whole,72,0.")
    failed = CliRunner().invoke(cli, ["perceptanon", "correlate", str(tmp_path), "-m", "mse"])
    assert failed.exit_code == 2
    assert "HA2.csv" in failed.stderr


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(2)
    network = Judge("HA2", "small-resnet", "mean", "regression", {"width": 4}).eval()
    settings = Settings(
        study="HA2", backbone="small-resnet", params={"width": 4}, granularity="mean", task="regression", size=16,
        trained_on="made", panel="simulated", split="all", paper_splits=False, start="none", seed=2, epochs=0,
        val_loss=None,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("checkpoint") / CHECKPOINT
    save(path, network, settings)
    return path


def image_set(count: int) -> ImageSet:
    images = torch.randint(0, 256, (count, 3, 20, 20), generator=torch.Generator().manual_seed(8), dtype=torch.uint8)
    who = Labels(torch.arange(count) // 2, tuple(f"p{number}" for number in range((count + 1) // 2)))
    return ImageSet(images, tuple(f"k{number}" for number in range(count)), who)


def test_the_suites_network_is_used_and_the_score_is_a_mean(checkpoint: Path) -> None:
    original = image_set(70)
    released = original.with_images(255 - original.images)
    metric = build_metric("perceptanon(panel=simulated)")
    found = metric.score(original, released, Referees(files={CHECKPOINT: checkpoint}))
    expected = load(checkpoint).scores(original.images, released.images)
    values = found.per_image["perceptanon(panel=simulated)"]
    assert np.array_equal(values.numpy(), expected)
    assert found.score.value == pytest.approx(expected.mean())
    assert found.score.interval is not None
    assert 1 <= float(values.min()) <= float(values.max()) <= 10
    assert metric.card.referees == (CHECKPOINT,)
    alone = metric.score(original[3:4], released[3:4], Referees(files={CHECKPOINT: checkpoint}))
    assert alone.score.value == pytest.approx(float(values[3]), abs=1e-6)


@pytest.mark.parametrize("suite", ["portraits-smoke", "portraits-v1"])
def test_order_batch_and_threads_change_no_score(suite: str) -> None:
    files = {name: weights_folder(suite) / name for name in read_definition(suite).files}
    metric, referees, name = PerceptAnon(panel="simulated"), Referees(files=files), "perceptanon(panel=simulated)"
    original = image_set(90)
    released = original.with_images(original.images // 3)
    values = metric.score(original, released, referees).per_image[name]
    order = torch.randperm(90, generator=torch.Generator().manual_seed(1))
    shuffled = metric.score(original.select(order), released.select(order), referees).per_image[name]
    assert shuffled.numpy() == pytest.approx(values[order].numpy(), abs=1e-6)
    part = metric.score(original[70:77], released[70:77], referees).per_image[name]
    assert part.numpy() == pytest.approx(values[70:77].numpy(), abs=1e-6)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        parallel = metric.score(original, released, referees).per_image[name]
    finally:
        torch.set_num_threads(threads)
    assert parallel.numpy() == pytest.approx(values.numpy(), abs=1e-6)
    assert float(values.std()) > 1e-3, "images differ, so a mix-up would show"


def test_no_suite_file_no_human_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANONBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("ANONBENCH_WEIGHTS", raising=False)
    simulated = PerceptAnon(panel="simulated")
    assert simulated.missing() is None
    assert simulated.score(image_set(2), image_set(2), Referees()).score.status == "not-applicable"
    missing = PerceptAnon().missing()
    assert missing is not None
    assert "ANONBENCH_WEIGHTS" in missing.remedy
    with pytest.raises(UsageError, match="leave labels out"):
        build_metric("perceptanon(panel=simulated, labels=labels10)")


def test_panels_never_share_a_column() -> None:
    names = [
        build_metric(f"perceptanon({words})").card.name
        for words in ("panel=human", "panel=simulated", "labels=labels10")
    ]
    assert len(set(names)) == 3


def test_kept_table_is_read_back(study: Path, tmp_path: Path) -> None:
    table = correlation_table(study, "HA2", ["mse", "psnr"], ["whole"])
    path = tmp_path / "table.json"
    path.write_text(table.model_dump_json())
    assert read_correlations(path) == table


def test_a_study_of_another_suite_version_is_refused(study: Path, tmp_path: Path) -> None:
    made = {"panel": "simulated", "suite": "portraits-smoke", "suite_hash": "0" * 64}
    (tmp_path / "study.json").write_text(json.dumps(made))
    (tmp_path / "HA2.csv").write_bytes((study / "HA2.csv").read_bytes())
    for image in study.glob("*.png"):
        (tmp_path / image.name).write_bytes(image.read_bytes())
    done = CliRunner().invoke(
        cli, ["perceptanon", "correlate", str(tmp_path), "--suite", "portraits-smoke", "-m", "mse"]
    )
    assert done.exit_code == 2
    assert "anonbench perceptanon panel portraits-smoke" in done.stderr
    alone = CliRunner().invoke(cli, ["perceptanon", "correlate", str(tmp_path), "-m", "mse", "--part", "whole"])
    assert alone.exit_code == 0
