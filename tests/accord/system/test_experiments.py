"""DVC's experiments: a queued grid, its runs in MLflow, `dvc exp apply`, and a later edit of conf/."""

import json

import pytest

from tests.mlflow_store import runs
from tests.projects import Project

pytestmark = pytest.mark.slow

ALPHAS = ("0.002", "0.003")
MOST_LOOKS = 300


@pytest.fixture(scope="module")
def queued(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project in which a queued grid of two experiments has run, both in parallel."""
    project = reproduced.copy(tmp_path_factory.mktemp("queued") / "clone")
    project.succeed("dvc", "exp", "run", "--queue", "-S", f"models.sgd.alpha={','.join(ALPHAS)}")
    assert project.succeed("dvc", "queue", "status").output.count("Queued") == len(ALPHAS)
    project.succeed("dvc", "queue", "start", "--jobs", str(len(ALPHAS)))
    for _ in range(MOST_LOOKS):  # workers run in the background; each poll takes a second or more
        status = project.succeed("dvc", "queue", "status").output
        if status.count("Success") == len(ALPHAS):
            return project
        failed = [line.split()[0] for line in status.splitlines() if "Failed" in line]
        assert not failed, "\n".join([status, *(project.run("dvc", "queue", "logs", name).output for name in failed)])
    raise AssertionError(status)


@pytest.fixture(scope="module")
def names(queued: Project) -> dict[str, str]:
    """Return the name that DVC gave each experiment, by its alpha."""
    table = json.loads(queued.succeed("dvc", "exp", "show", "--json").output)
    (baseline,) = [row for row in table if row["rev"] != "workspace"]
    names = {}
    for experiment in baseline["experiments"]:
        (revision,) = experiment["revs"]
        (params,) = revision["data"]["params"].values()
        names[str(params["data"]["models"]["sgd"]["alpha"])] = experiment["name"]
    assert set(names) == set(ALPHAS)
    return names


def test_runs_of_a_queued_grid_have_the_names_of_their_experiments(queued: Project, names: dict[str, str]) -> None:
    for alpha, name in names.items():
        found = runs(queued, "digits", f"tags.`dvc.experiment` = '{name}'")
        by_stage = {run.info.run_name: run for run in found}
        assert {"train@sgd", "evaluate"} <= set(by_stage)
        assert {run.info.status for run in found} == {"FINISHED"}
        assert by_stage["train@sgd"].data.params["model.alpha"] == alpha


def test_an_edit_of_conf_after_exp_apply_says_which_values_change(queued: Project, names: dict[str, str]) -> None:
    queued.succeed("dvc", "exp", "apply", names["0.002"])
    text = (queued.root / "params.yaml").read_text()
    assert "sgd:\n    type: sgd\n    learning_rate: 0.1\n    alpha: 0.002\n" in text
    assert "compose" in queued.succeed("dvc", "repro").stages_skipped, "what was applied stays until conf/ is edited"

    queued.edit("conf/train/default.yaml", "batch_size: 64", "batch_size: 30")
    result = queued.succeed("dvc", "repro", "compose")

    changes = [line for line in result.output.splitlines() if line.startswith("params.yaml: ")]
    assert changes == ["params.yaml: train.batch_size 64 -> 30", "params.yaml: models.sgd.alpha 0.002 -> 0.0001"]
