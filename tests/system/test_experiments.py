"""DVC's experiments: a queued grid, its runs in MLflow by name, applied, and dropped by an edit of conf/."""

import json
from typing import Any

import mlflow
import pytest

UNITS = ("3", "4")
MOST_LOOKS = 300


@pytest.fixture(scope="module")
def queued(reproduced: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A clone in which a grid of two experiments was queued, and has run, both at a time."""
    project = reproduced.copy(tmp_path_factory.mktemp("queued") / "clone")
    project.succeed("dvc", "exp", "run", "--queue", "-S", f"cells.rnn.units={','.join(UNITS)}")
    assert project.succeed("dvc", "queue", "status").output.count("Queued") == len(UNITS)
    project.succeed("dvc", "queue", "start", "--jobs", str(len(UNITS)))
    for _ in range(MOST_LOOKS):  # the queue's workers are in the background; a look takes DVC a second or more
        status = project.succeed("dvc", "queue", "status").output
        if status.count("Success") == len(UNITS):
            return project
        failed = [line.split()[0] for line in status.splitlines() if "Failed" in line]
        assert not failed, "\n".join([status, *(project.run("dvc", "queue", "logs", name).output for name in failed)])
    raise AssertionError(status)


@pytest.fixture(scope="module")
def names(queued: Any) -> dict[str, str]:
    """The name that DVC gave each experiment, by its units."""
    table = json.loads(queued.succeed("dvc", "exp", "show", "--json").output)
    (baseline,) = [row for row in table if row["rev"] != "workspace"]
    names = {}
    for experiment in baseline["experiments"]:
        (revision,) = experiment["revs"]
        units = revision["data"]["params"]["params.yaml"]["data"]["cells"]["rnn"]["units"]
        names[str(units)] = experiment["name"]
    assert set(names) == set(UNITS)
    return names


def test_runs_of_a_queued_grid_have_the_names_of_their_experiments(queued: Any, names: dict[str, str]) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{queued.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("seqmnist")
    assert experiment is not None
    for units, name in names.items():
        runs = client.search_runs([experiment.experiment_id], f"tags.`dvc.experiment` = '{name}'")
        by_stage = {run.info.run_name: run for run in runs}
        assert {"train@rnn", "evaluate"} <= set(by_stage)
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert by_stage["train@rnn"].data.params["cell.units"] == units


def test_an_edit_of_conf_after_exp_apply_says_which_values_change(queued: Any, names: dict[str, str]) -> None:
    queued.succeed("dvc", "exp", "apply", names["3"])
    assert "rnn:\n    type: rnn\n    units: 3\n" in (queued.root / "params.yaml").read_text()
    assert "compose" in queued.succeed("dvc", "repro").stages_skipped, "what was applied stays until conf/ is edited"

    queued.edit("conf/train/default.yaml", "batch_size: 20", "batch_size: 30")
    result = queued.succeed("dvc", "repro", "compose")

    changes = [line for line in result.output.splitlines() if line.startswith("params.yaml: ")]
    assert changes == ["params.yaml: train.batch_size 20 -> 30", "params.yaml: cells.rnn.units 3 -> 8"]
