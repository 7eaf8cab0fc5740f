import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Logged

from accord import history
from accord.errors import UserError
from accord.files import write_text
from accord.settings import Tracking
from accord.tracking.models import log_model
from accord.tracking.runs import Run, RunRequest
from accord.tracking.stages import Stage, TrainingStage, log_data_sets, log_history
from accord.tracking.store import open_store
from tests.accord.tracking.flavour import Flavour

EPOCHS = 4


class Counter:
    """A model that adds up the numbers of its epochs; `epoch` returns the metrics."""

    def __init__(self, fails_at: int = EPOCHS) -> None:
        self.total, self._fails_at = 0, fails_at

    def epoch(self, number: int) -> dict[str, float]:
        if number == self._fails_at:
            raise KeyboardInterrupt
        self.total += number
        return {"val.accuracy": self.total / 10, "train.loss": float(number)}

    def save(self, folder: Path) -> None:
        (folder / "total").write_text(str(self.total))

    def load(self, folder: Path) -> None:
        self.total = int((folder / "total").read_text())


@pytest.fixture
def folder(project: Path, tracking: Tracking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a working directory whose params.yaml names an experiment of this test in the store of `project`."""
    text = f"tracking: {{uri: 'sqlite:///{project}/mlflow.db', experiment: '{tracking.experiment}'}}\n"
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def runs(tracking: Tracking) -> tuple[MlflowClient, list[Logged]]:
    client, experiment = open_store(tracking)
    return client, list(client.search_runs([experiment]))


def described(name: str = "prepare", **params: Any) -> Stage:
    return Stage(RunRequest("prepare", name), params, (Path("data"), Path("note.txt")), log_all)


def log_all(run: Run) -> None:
    run.metrics({"rows": len(Path("data/a.txt").read_text(encoding="utf-8"))})
    log_data_sets(run, Path("data"))


def write_outputs(text: str = "abc") -> None:
    write_text(Path("data/a.txt"), text)
    write_text(Path("data/below/b.txt"), "b")
    write_text(Path("note.txt"), "a note")


def test_a_stage_logs_what_its_block_made(folder: Path, tracking: Tracking) -> None:
    del folder
    with described(rate=0.5).run() as run:
        write_outputs()
    _, (logged,) = runs(tracking)
    assert logged.info.run_id == run.id
    assert (logged.info.status, logged.data.params, logged.data.metrics) == ("FINISHED", {"rate": "0.5"}, {"rows": 3})
    assert {one.dataset.name for one in logged.inputs.dataset_inputs} == {"a.txt", "below/b.txt"}
    assert described(rate=0.5).identity().items() <= logged.data.tags.items()


def test_a_stages_run_is_found_by_parameters_and_outputs(folder: Path, tracking: Tracking) -> None:
    del folder
    with described(rate=0.5).run() as run:
        write_outputs()
    assert described(rate=0.5).in_mlflow() == run.id
    other = described(rate=0.6).in_mlflow()
    assert other != run.id
    write_outputs("abcd")
    assert described(rate=0.5).in_mlflow() not in {run.id, other}
    write_outputs()
    assert described(rate=0.5).in_mlflow() == run.id
    assert len(runs(tracking)[1]) == 3


def test_a_run_logged_from_outputs_equals_the_stages_own(folder: Path, tracking: Tracking) -> None:
    del folder
    write_outputs()
    described(rate=0.5).in_mlflow()
    _, (stand_in,) = runs(tracking)
    assert (stand_in.data.params, stand_in.data.metrics) == ({"rate": "0.5"}, {"rows": 3})
    assert stand_in.data.tags["source"] == "dvc-cache"


def test_a_stage_that_fails_logs_no_outputs(folder: Path, tracking: Tracking) -> None:
    del folder
    write_outputs()
    with pytest.raises(ZeroDivisionError), described(rate=0.5).run():
        _ = 1 / 0
    _, (failed,) = runs(tracking)
    assert (failed.info.status, failed.data.metrics) == ("FAILED", {})
    assert "prepare.sha256" not in failed.data.tags


def training(checkpoints: Path | None, **params: Any) -> TrainingStage:
    path = Path("reports/history.csv")

    def log(run: Run) -> None:
        step = log_history(run, path)
        run.model(lambda run_id: log_model(run_id, Flavour, step, ["pytest"]))

    request = RunRequest("train", "train@counter seed=1", checkpoints=checkpoints)
    return TrainingStage(request, params, (path,), log, Path("data"), ("accord/history.py",), ("pytest",))


def train(counter: Counter, checkpoints: Path | None = None, **params: Any) -> Run:
    stage = training(checkpoints, **params)
    with stage.training(counter) as at_work:
        for epoch in at_work.epochs(EPOCHS):
            at_work.add(counter.epoch(epoch))
        history.write(stage.outputs[0], at_work.history)
    return at_work.run


def points(client: MlflowClient, run_id: str, metric: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, metric)]


CURVE = [(0, 0.0), (1, 0.1), (2, 0.3), (3, 0.6)]


def test_a_training_has_its_curve_its_selected_epoch_and_a_model(
    folder: Path, tracking: Tracking, capsys: pytest.CaptureFixture[str]
) -> None:
    write_outputs()
    run = train(Counter(), rate=1)
    client, (logged,) = runs(tracking)
    assert logged.info.run_id == run.id
    assert points(client, run.id, "val.accuracy") == CURVE, "each once"
    assert points(client, run.id, "selected.val.accuracy") == [(3, 0.6)]
    assert logged.data.metrics["selected.epoch"] == 3
    (model,) = logged.outputs.model_outputs
    assert {one.key for one in client.get_logged_model(model.model_id).metrics} >= {"selected.val.accuracy"}
    assert "train@counter seed=1  epoch 3  validation accuracy 0.6000\n" in capsys.readouterr().out
    sources = {one.dataset.name: json.loads(one.dataset.source)["uri"] for one in logged.inputs.dataset_inputs}
    assert sources == {"a.txt": "data/processed", "below/b.txt": "data/processed"}, "as the project names its inputs"
    assert not list(folder.glob("checkpoints/train@counter-seed=1/*/after-*")), "they are removed at the end"


@pytest.mark.parametrize("checkpoints", [None, "trial/checkpoints"])
def test_an_interrupted_training_resumes_its_run(
    folder: Path, tracking: Tracking, capsys: pytest.CaptureFixture[str], checkpoints: str | None
) -> None:
    write_outputs()
    place = Path(checkpoints) if checkpoints else None
    with pytest.raises(KeyboardInterrupt):
        train(Counter(fails_at=2), place, rate=1)
    client, (killed,) = runs(tracking)
    assert (killed.info.status, points(client, killed.info.run_id, "val.accuracy")) == ("KILLED", CURVE[:2])
    told = "train@counter seed=1: stopped; the same command goes on at epoch 2\n"
    assert told in capsys.readouterr().out

    counter = Counter()
    run = train(counter, place, rate=1)
    assert (run.id, counter.total) == (killed.info.run_id, 6)
    assert points(client, run.id, "val.accuracy") == CURVE
    assert "train@counter seed=1: resuming at epoch 2\n" in capsys.readouterr().out
    assert len(history.read(Path("reports/history.csv"))) == EPOCHS
    kept = list(folder.glob("**/after-*"))
    assert bool(kept) == bool(checkpoints), "a trial's stay until its result is written"


@pytest.mark.parametrize("change", ["params", "data"])
def test_a_changed_training_starts_anew(folder: Path, tracking: Tracking, change: str) -> None:
    del folder
    write_outputs()
    with pytest.raises(KeyboardInterrupt):
        train(Counter(fails_at=2), rate=1)
    if change == "data":
        write_outputs("other")
    counter = Counter()
    run = train(counter, rate=1 if change == "data" else 2)
    client, logged = runs(tracking)
    assert len(logged) == 2
    assert points(client, run.id, "val.accuracy") == CURVE
    assert counter.total == 6


def test_a_training_without_inputs_or_the_projects_metric_is_refused(folder: Path, tracking: Tracking) -> None:
    with pytest.raises(UserError, match=r"\Adata is missing: run `dvc repro`"):
        train(Counter(), rate=1)
    assert runs(tracking)[1] == []
    write_outputs()
    stage = training(None, rate=1)
    with (
        pytest.raises(UserError, match=r"\Aepoch 0 has no val\.accuracy, the project's metric; it has accuracy, loss"),
        stage.training(Counter()) as at_work,
    ):
        at_work.add({"accuracy": 1.0, "loss": 0.0})
    assert not list(folder.glob("checkpoints/*/*/after-*"))
