"""The commands that train a generator and measure it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from anonymizers.kanonymity.generator.files import load_generator, training_of
from benchmark.cli import cli
from tests.anonymizers.tiny_generators import smooth_people, write_tiny


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def invoke(cache, monkeypatch):
    monkeypatch.setenv("ANONBENCH_CACHE", str(cache))
    return lambda *words: CliRunner().invoke(cli, ["generator", *map(str, words), "--threads", "1"])


def expect(result, code, *words):
    assert result.exit_code == code, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.output
    assert all(word in errors[0] for word in words), errors[0]


class TestCommands:
    @pytest.fixture
    def photographs(self, tmp_path) -> Path:
        """24 people, half of whom are background."""
        people, root, lines = smooth_people(24, 4, (24, 24), seed=2), tmp_path / "photographs", ["path,kind"]
        for row, picture in enumerate(people.images):
            path = root / f"p{int(people.identity.values[row]):02}" / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
            lines.append(f"{path.relative_to(root)},{'ab'[row % 2]}")
        (root / "attributes.csv").write_text("\n".join(lines) + "\n")
        return root

    def test_train_on_a_folder(self, invoke, photographs, tmp_path):
        out = tmp_path / "made" / "g.safetensors"
        command = ["train", "folder", "--data", photographs, "--size", 24, "--out", out, "--steps", 6]
        result = invoke(*command)
        assert result.exit_code == 0, result.output
        loaded = load_generator(str(out))
        assert loaded.facts["steps"] == 6
        assert loaded.network.design.size == 32
        assert f"{out}: " in result.stdout
        assert f"{loaded.facts['held_out_psnr']:.2f} dB" in result.stdout
        assert loaded.facts["photographs"] == 44
        assert loaded.facts["trained_on"] == "Photographs in photographs: background photographs"
        assert "referee" not in result.output + result.stderr
        assert "recogniser" not in result.stderr
        expect(invoke(*command[:-1], 7), 2, "g.checkpoint", "delete it first")

    def test_the_file_says_when_it_learned_the_evaluated_people(self, invoke, photographs, tmp_path):
        out = tmp_path / "g.safetensors"
        command = ["train", "folder", "--data", photographs, "--size", 24, "--out", out, "--steps", 1]
        for splits, told in {
            ("enrol", "spare", "enrol"): "photographs of the evaluated people (enrol)",
            ("background", "enrol"): "background photographs and photographs of the evaluated people (enrol)",
        }.items():
            result = invoke(*command, *(word for split in splits for word in ("--split", split)))
            assert result.exit_code == 0, result.output
            assert load_generator(str(out)).facts["trained_on"] == f"Photographs in photographs: {told}"
            assert training_of(str(out)).endswith(told)
            out.with_suffix(".checkpoint").unlink()

    def test_another_suffix_is_refused(self, invoke, photographs, tmp_path):
        expect(invoke("train", "folder", "--data", photographs, "--out", tmp_path / "g.pt"), 2, "ends in .safetensors")

    def test_too_few_photographs_are_refused(self, invoke, photographs, tmp_path):
        (photographs / "attributes.csv").unlink()
        for folder in sorted(photographs.glob("p*"))[4:]:
            shutil.rmtree(folder)
        out = tmp_path / "g.safetensors"
        command = ["train", "folder", "--data", photographs, "--size", 24, "--out", out]
        expect(invoke(*command), 2, "no background photographs", "--split")
        expect(invoke(*command, "--split", "enrol"), 2, "too few")
        assert not list(tmp_path.glob("g.*"))

    @pytest.mark.parametrize("form", ["csv", "json"])
    def test_project_prints_rows(self, form, invoke, tmp_path):
        file = write_tiny(tmp_path / "g.safetensors")
        result = invoke("project", "portraits-smoke", "--generator", file, "--images", 6, "--format", form)
        assert result.exit_code == 0, result.output
        rows = json.loads(result.stdout) if form == "json" else list(csv.DictReader(result.stdout.splitlines()))
        found = {row["metric"]: row for row in rows}
        assert set(found) == {
            "psnr", *(f"f1(attribute={name})" for name in ("gender", "age", "skin_tone", "expression", "glasses"))
        }  # fmt: skip
        assert 3 < float(found["psnr"]["projected"]) < 30
        assert found["psnr"]["original"] == ""
        for name in found.keys() - {"psnr"}:
            assert 0 <= float(found[name]["projected"]) <= 1
            assert 0 < float(found[name]["original"]) <= 1

    def test_project_with_a_missing_generator(self, invoke, tmp_path):
        result = invoke("project", "portraits-smoke", "--generator", tmp_path / "gone.safetensors")
        assert result.exit_code in (3, 4)
        assert "there is no file" in result.output
