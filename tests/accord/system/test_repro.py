"""The pipeline of examples/digits as a user runs it, below the root of its repository."""

import shutil

from tests.projects import Project

STAGES = ["compose", "prepare", "train@sgd", "train@mlp", "evaluate"]


def test_repro_again_skips_every_stage(project: Project) -> None:
    assert project.succeed("dvc", "repro").stages_skipped == STAGES


def test_edit_of_one_model_spares_the_other(project: Project) -> None:
    project.edit("conf/model/mlp.yaml", "alpha: 0.0001", "alpha: 0.001")
    result = project.succeed("dvc", "repro")
    assert result.stages_run == ["compose", "train@mlp", "evaluate"]
    assert result.stages_skipped == ["prepare", "train@sgd"]
    assert "params.yaml: models.mlp.alpha 0.0001 -> 0.001" in result.output


def test_deleted_outputs_come_back_from_the_run_cache(project: Project) -> None:
    before = project.output_hashes()
    (project.root / "dvc.lock").unlink()
    for folder in ("data", "models", "reports"):
        shutil.rmtree(project.root / folder)
    result = project.succeed("dvc", "repro")
    assert result.stages_run == ["compose"]
    assert result.stages_restored == STAGES[1:]
    assert project.output_hashes() == before
    assert set(project.metrics()) == {"sgd", "mlp"}
