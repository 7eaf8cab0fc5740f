"""The pipeline as a user runs it: outputs, and stages that are run, skipped or restored from the cache."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

STAGES = ["compose", "download", "preprocess", "train@rnn", "train@lstm", "evaluate"]


def test_repro_makes_every_output(reproduced: Any) -> None:
    reports = reproduced.root / "reports"
    figures = {path.name for path in (reports / "figures").iterdir()}
    of_cells = {f"{name}_{cell}.png" for name in ("confusion", "wrong") for cell in ("rnn", "lstm")}
    assert figures == of_cells | {
        f"{name}.png" for name in ("learning_curves", "beliefs", "rows_after", "gradient_flow", "calibration")
    }
    assert (reports / "index.html").read_text().startswith("<!DOCTYPE html>")
    for cell in ("rnn", "lstm"):
        assert {path.name for path in (reproduced.root / "models" / cell).iterdir()} == {
            "model.json",
            "seed-42.sha256",
            "seed-42.weights.h5",
        }
        assert [row["epoch"] for row in reproduced.history(cell)] == ["0", "1"]
        assert len((reports / "predictions" / f"{cell}.csv").read_text().splitlines()) == 1 + 20


def test_metrics_json_has_the_documented_keys(reproduced: Any) -> None:
    metrics = reproduced.metrics()
    assert list(metrics) == ["rnn", "lstm", "claims"]
    for claim in metrics.pop("claims").values():
        assert set(claim) == {"verdict", "effect", "interval", "confidence", "test", "p", "n"}
    for cell, part in metrics.items():
        for figures in (part, part["seeds"]["42"]):
            assert set(figures) >= {"selected", "last", "convergence", "after", "flow"}
            for name in ("selected", "last"):
                assert set(figures[name]) == {"epoch", "val", "test"}
                assert set(figures[name]["test"]) == {"accuracy", "loss"}
        best = max(float(row["val.accuracy"]) for row in reproduced.history(cell))
        assert part["selected"]["val"]["accuracy"] == best


def test_evaluation_of_the_saved_weights_agrees_with_training(reproduced: Any) -> None:
    for cell in ("rnn", "lstm"):
        selected = reproduced.metrics()[cell]["seeds"]["42"]["selected"]
        row = reproduced.history(cell)[selected["epoch"]]
        assert float(row["test.accuracy"]) == selected["test"]["accuracy"]
        assert float(row["test.loss"]) == pytest.approx(selected["test"]["loss"], rel=1e-6)


@pytest.mark.slow
def test_an_edit_of_one_cell_does_not_train_the_other(project: Any) -> None:
    project.edit("conf/cell/lstm.yaml", "units: 8", "units: 9")
    result = project.succeed("dvc", "repro")
    assert result.stages_run == ["compose", "train@lstm", "evaluate"]
    assert result.stages_skipped == ["download", "preprocess", "train@rnn"]
    assert "params.yaml: cells.lstm.units 8 -> 9" in result.output


@pytest.mark.slow
def test_deleted_outputs_come_back_from_the_run_cache(project: Any) -> None:
    before = project.output_hashes()
    (project.root / "dvc.lock").unlink()
    for folder in ("data/raw", "data/processed", "models/rnn", "models/lstm", "reports"):
        shutil.rmtree(project.root / folder)
    result = project.succeed("dvc", "repro")
    # DVC keeps no run cache for stages with persistent outputs, so download runs; its source is on this machine.
    assert result.stages_run == ["compose", "download"]
    assert result.stages_restored == ["preprocess", "train@rnn", "train@lstm", "evaluate"]
    assert project.output_hashes() == before
    assert project.metrics()["lstm"]


@pytest.mark.slow
def test_an_experiment_can_override_the_recipe_of_one_cell(project: Any) -> None:
    result = project.succeed("dvc", "exp", "run", "-S", "+cells.rnn.train.epochs=1", "train")
    assert "train@lstm" in result.stages_skipped
    assert [len(project.history(cell)) for cell in ("rnn", "lstm")] == [1, 2]


@pytest.mark.slow
def test_a_third_cell_needs_one_line_in_conf_and_one_word_in_dvc_yaml(project: Any) -> None:
    project.edit("conf/config.yaml", "lstm: lstm\n", "lstm: lstm\n  - cell@cells.gru: gru\n")
    project.edit("dvc.yaml", "cell: [rnn, lstm]", "cell: [rnn, lstm, gru]")
    result = project.succeed("dvc", "repro")
    assert result.stages_run == ["compose", "train@gru", "evaluate"]
    assert list(project.metrics()) == ["rnn", "lstm", "gru", "claims"]
    assert len(project.history("gru")) == 2


@pytest.mark.slow
def test_two_clones_with_the_same_seed_give_the_same_bytes(reproduced: Any, fresh: Any, tmp_path: Path) -> None:
    other = fresh.copy(tmp_path / "other" / "folder")
    other.succeed("dvc", "repro", "--no-run-cache")
    assert other.output_hashes() == reproduced.output_hashes()
    assert {"models/rnn", "models/lstm", "reports/metrics.json"} <= set(other.output_hashes())


def test_outputs_hold_no_path_of_the_machine(reproduced: Any) -> None:
    texts = [path for path in (reproduced.root / "reports").rglob("*") if path.suffix in {".csv", ".json"}]
    texts += [*(reproduced.root / "models").rglob("*.json"), reproduced.root / "data/processed/splits.json"]
    assert len(texts) > 6
    for path in texts:
        assert str(reproduced.root) not in path.read_text(), path


def test_large_outputs_stay_out_of_git(reproduced: Any) -> None:
    tracked = reproduced.succeed("git", "ls-files").output.split()
    assert "dvc.lock" in tracked
    assert "params.yaml" in tracked
    outputs = [name for name in tracked if name.startswith(("data/", "models/", "reports/", "mlflow", "mlartifacts"))]
    assert outputs == ["data/.gitignore"]


@pytest.mark.slow
def test_make_repro_skips_all_stages_after_dvc_repro(project: Any) -> None:
    (project.root / ".venv").symlink_to(sys.prefix)
    result = project.succeed("make", "-o", "setup", "repro")
    assert result.stages_skipped == STAGES


@pytest.mark.slow
def test_a_stage_without_its_inputs_names_the_missing_file(unrun: Any) -> None:
    unrun.succeed("python", "-m", "seqmnist", "compose", PYTHONPATH="src")
    for stage, arguments, missing in [
        ("preprocess", [], "data/raw/train-images-idx3-ubyte"),
        ("train", ["rnn"], "data/processed/train.images.npy"),
        ("evaluate", [], "reports/train/rnn/history.csv"),
    ]:
        result = unrun.run("python", "-m", f"seqmnist.stages.{stage}", *arguments, PYTHONPATH="src")
        assert result.code == 1
        (line,) = result.output.splitlines()
        assert line.startswith(f"error: {missing} is missing: run `dvc repro`")


@pytest.mark.slow
def test_files_of_editors_and_systems_make_no_stage_stale(project: Any) -> None:
    outputs = ["data/raw", "data/processed", "models/rnn", "reports/train/lstm", "reports/figures"]
    folders = ["conf", "conf/train", "models", "reports/train", *outputs]
    sources = [f"src/seqmnist/{name}" for name in ("cells", "cells/types", "data", "measure", "report", "training")]
    for folder in (project.root / name for name in (*folders, *sources)):
        for name in (
            *(".DS_Store", "._default.yaml", ".graph.py.swo", ".graph.py.kate-swp", ".directory", ".fuse_hidden0001"),
            *("#graph.py#", "graph.py~", "graph.py.bak", "graph.py.1", "default.yaml.orig", "default.yaml.rej"),
            *(
                "Thumbs.db",
                "desktop.ini",
                "Icon\r",
                "~$table.xlsx",
                "4913",
                "nohup.out",
                "graph.py,cover",
                "graph.py_backup",
                ".~lock.table.csv#",
                "default.yaml___jb_tmp___",
            ),
            *("lstm.sync-conflict-20260101-120000-ABCDEFG.py", "table (Ann's conflicted copy 2026-01-01).csv"),
            *(".idea/workspace.xml", ".ipynb_checkpoints/graph-checkpoint.py", "__MACOSX/._graph.py", "@eaDir/index"),
        ):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"\0\x05\x16\x07")
        (folder / ".#graph.py").symlink_to("user@host.1234:5678")  # Emacs's lock file: a dangling link
    for folder in (project.root / name for name in sources):
        for name in ("graph copy.py", "graph (1).py", "graph-HOST.py"):
            (folder / name).write_text("no Python\n")
    assert "up to date" in project.succeed("dvc", "status").output
    checked = project.succeed("python", "-m", "seqmnist", "check", PYTHONPATH="src").output
    assert checked.endswith("nothing is damaged\n")
    assert project.succeed("dvc", "repro").stages_skipped == STAGES
    project.edit("conf/cell/rnn.yaml", "type: rnn", "type: none")
    assert (
        "it must be one of gru, lstm, rnn, the files in"
        in project.run("python", "-m", "seqmnist", "compose", PYTHONPATH="src").output
    )


def test_a_clone_made_with_crlf_settings_has_the_same_bytes(project: Any, tmp_path: Path) -> None:
    settings = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    project.succeed("git", *settings, "clone", "--quiet", str(project.root), str(tmp_path / "windows"))
    other = type(project)(tmp_path / "windows")
    for name in project.succeed("git", "ls-files", "-z").output.split("\0")[:-1]:
        assert (other.root / name).read_bytes() == (project.root / name).read_bytes(), name
    other.succeed("dvc", "cache", "dir", "--local", str(project.root / ".dvc/cache"))
    other.succeed("dvc", "checkout")
    assert "up to date" in other.succeed("dvc", "status").output
