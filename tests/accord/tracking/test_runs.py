import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Logged

from accord.errors import UserError
from accord.process import Terminated, _raise_terminated
from accord.settings import Tracking
from accord.tracking.run_tags import identity_tags
from accord.tracking.runs import Pruned, Run, RunRequest, stage_run

pytestmark = pytest.mark.usefixtures("project")


def logged(run: Run) -> Logged:
    return MlflowClient().get_run(run.id)


def artifacts(run: Run, folder: str | None = None) -> list[str]:
    return sorted(file.path for file in MlflowClient().list_artifacts(run.id, folder))


def test_a_run_ends_as_finished_with_its_name_and_tags(tracking: Tracking) -> None:
    with stage_run(tracking, RunRequest("train", "train@rnn", {"cell": "rnn"})) as run:
        assert logged(run).info.status == "RUNNING"
        run.tags({"model.sha256": "0123"})

    info, tags = logged(run).info, logged(run).data.tags
    assert (info.status, info.run_name) == ("FINISHED", "train@rnn")
    assert info.end_time >= info.start_time
    assert (tags["stage"], tags["cell"], tags["model.sha256"]) == ("train", "rnn", "0123")
    assert "error" not in tags


def test_every_run_has_params_yaml_as_an_artifact(tracking: Tracking, project: Path) -> None:
    with stage_run(tracking, RunRequest("download", "download")) as run:
        pass

    folder = Path(url2pathname(urlsplit(logged(run).info.artifact_uri).path))
    assert (folder / "params.yaml").read_bytes() == (project / "params.yaml").read_bytes()
    assert folder.is_relative_to(project / "mlartifacts")


def test_nested_parameters_get_dotted_names_and_plain_texts(tracking: Tracking) -> None:
    values = {"cell": {"type": "rnn", "units": 4}, "train": {"clip_norm": None, "epsilon": 1e-8}, "seeds": [1, 2]}

    with stage_run(tracking, RunRequest("train", "train@rnn")) as run:
        run.params(values)

    assert logged(run).data.params == {
        "cell.type": "rnn",
        "cell.units": "4",
        "train.clip_norm": "null",
        "train.epsilon": "1e-08",
        "seeds": "[1, 2]",
    }


def test_metrics_are_kept_epoch_by_epoch(tracking: Tracking) -> None:
    with stage_run(tracking, RunRequest("train", "train@rnn")) as run:
        for epoch, loss in enumerate([0.3, 0.1, 0.2]):
            run.metrics({"val.loss": loss, "val.accuracy": 1 - loss}, step=epoch)
        run.metrics({"selected.epoch": 1})

    losses = MlflowClient().get_metric_history(run.id, "val.loss")
    assert [(one.step, one.value) for one in losses] == [(0, 0.3), (1, 0.1), (2, 0.2)]
    assert logged(run).data.metrics == {"val.loss": 0.2, "val.accuracy": 0.8, "selected.epoch": 1}


def test_a_repeated_metric_is_logged_once_unless_its_value_differs(tracking: Tracking) -> None:
    with stage_run(tracking, RunRequest("train", "train@rnn")) as run:
        for loss in (0.5, 0.5, 0.4, 0.4):
            run.metrics({"val.loss": loss}, step=3)
        run.metrics({"val.loss": 0.5}, step=4)
    points = MlflowClient().get_metric_history(run.id, "val.loss")
    assert [(one.step, one.value) for one in points] == [(3, 0.5), (3, 0.4), (4, 0.5)]


def train(run: Run, steps: Iterable[int]) -> None:
    """Log the metrics of these epochs."""
    for step in steps:
        run.metrics({"val.loss": 0.5 - step / 10}, step=step)


def epochs(run: Run) -> list[int]:
    return [one.step for one in MlflowClient().get_metric_history(run.id, "val.loss")]


@pytest.mark.parametrize("at", [0, 2])
def test_a_pruned_trial_ends_as_finished_with_a_tag(tracking: Tracking, at: int) -> None:
    looks = iter([*at * [None], *[at] * 5])  # the search decides while the epoch is logged
    request = RunRequest("train", "train@rnn", pruned=lambda: next(looks))
    with pytest.raises(Pruned) as caught, stage_run(tracking, request) as run:
        train(run, range(5))
    assert (caught.value.epoch, caught.value.is_logged) == (at, True)
    assert epochs(run) == list(range(at + 1)), "the last epoch is logged, too"
    assert logged(run).info.status == "FINISHED"
    assert logged(run).data.tags["pruned"] == str(at)
    assert "error" not in logged(run).data.tags


def test_a_trial_is_pruned_at_its_next_epoch_if_the_decision_is_late(tracking: Tracking) -> None:
    request = RunRequest("train", "train@rnn", pruned=lambda: 2)
    with pytest.raises(Pruned) as caught, stage_run(tracking, request) as run:
        train(run, [0, 1, 4, 5])  # the decision came late
    assert caught.value.epoch == 2
    assert epochs(run) == [0, 1, 4]


def test_metrics_without_an_epoch_never_prune_a_trial(tracking: Tracking) -> None:
    with stage_run(tracking, RunRequest("train", "train@rnn", pruned=lambda: 0)) as run:
        run.metrics({"parameters": 3})
    assert logged(run).data.metrics == {"parameters": 3}


@pytest.mark.parametrize("signal", [KeyboardInterrupt, Terminated])
@pytest.mark.parametrize("at", [1, None])
def test_a_trial_that_is_ended_by_a_signal_is_killed_unless_it_is_pruned(
    tracking: Tracking, signal: type[BaseException], at: int | None
) -> None:
    request = RunRequest("train", "train@rnn", pruned=lambda: at)
    with pytest.raises(signal if at is None else Pruned), stage_run(tracking, request) as run:
        raise signal
    assert logged(run).info.status == ("KILLED" if at is None else "FINISHED")
    assert logged(run).data.tags.get("pruned") == (None if at is None else str(at))


def test_a_trial_that_fails_or_ends_by_itself_has_no_tag_of_a_search(tracking: Tracking) -> None:
    request = RunRequest("train", "train@rnn", pruned=lambda: 3)
    with pytest.raises(UserError), stage_run(tracking, request) as failed:
        raise UserError("disk full")
    with stage_run(tracking, request) as finished:
        finished.metrics({"val.loss": 0.5}, step=0)
    assert [logged(run).info.status for run in (failed, finished)] == ["FAILED", "FINISHED"]
    assert not any("pruned" in logged(run).data.tags for run in (failed, finished))


def test_pruned_is_not_an_exception_that_libraries_catch() -> None:
    assert not issubclass(Pruned, Exception)


@pytest.mark.parametrize(
    ("checkpoint", "earlier", "resumed", "anew"),
    [("one", None, "one", False), ("one", "two", "one", False), ("", "two", "two", True), ("", None, None, True)],
)
def test_a_training_resumes_the_run_of_its_checkpoint(
    checkpoint: str, earlier: str | None, resumed: str | None, anew: bool
) -> None:
    request = RunRequest("train", "train@rnn", resume=earlier).resumed(checkpoint)
    assert (request.resume, request.starts_anew) == (resumed, anew)


def test_a_resumed_run_logs_no_metric_twice(tracking: Tracking) -> None:
    with stage_run(tracking, RunRequest("train", "train@rnn")) as run:
        run.metrics({"val.loss": 0.5, "val.accuracy": 0.1}, step=0)
        run.metrics({"val.loss": 0.4}, step=1)
    before = logged(run).info

    with stage_run(tracking, RunRequest("train", "train@rnn", {"cell": "rnn"}, resume=run.id)) as resumed:
        assert logged(run).info.status == "RUNNING"
        for step in range(3):
            resumed.metrics({"val.loss": 0.5 - step / 10, "val.accuracy": 0.1}, step=step)
        resumed.metrics({"selected.epoch": 2})
    with stage_run(tracking, RunRequest("train", "train@rnn", resume=run.id)) as again:
        again.metrics({"selected.epoch": 2})

    assert resumed.id == again.id == run.id
    assert (logged(run).info.status, logged(run).info.start_time) == ("FINISHED", before.start_time)
    assert logged(run).data.tags["cell"] == "rnn"
    history = {name: MlflowClient().get_metric_history(run.id, name) for name in logged(run).data.metrics}
    assert {name: [(one.step, one.value) for one in points] for name, points in history.items()} == {
        "val.loss": [(0, 0.5), (1, 0.4), (2, 0.3)],
        "val.accuracy": [(0, 0.1), (1, 0.1), (2, 0.1)],
        "selected.epoch": [(0, 2)],
    }


@pytest.mark.parametrize("has_metrics", [True, False])
def test_a_training_that_starts_anew_leaves_a_run_with_metrics_alone(tracking: Tracking, has_metrics: bool) -> None:
    with stage_run(tracking, RunRequest("train", "train@rnn")) as run:
        if has_metrics:
            run.metrics({"val.loss": 0.5}, step=0)
    request = RunRequest("train", "train@rnn", resume=run.id, starts_anew=True)
    with stage_run(tracking, request) as other:
        other.metrics({"val.loss": 0.4}, step=0)

    assert (other.id != run.id) == has_metrics
    client = MlflowClient()
    assert client.get_run(other.id).data.metrics == {"val.loss": 0.4}
    assert not has_metrics or client.get_run(run.id).data.metrics == {"val.loss": 0.5}


def test_a_resumed_run_loses_its_earlier_error(tracking: Tracking) -> None:
    with pytest.raises(UserError), stage_run(tracking, RunRequest("train", "train@rnn")) as run:
        raise UserError("disk full")

    with stage_run(tracking, RunRequest("train", "train@rnn", resume=run.id)):
        pass

    assert logged(run).info.status == "FINISHED"
    assert "error" not in logged(run).data.tags


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_missing_run_is_replaced_by_a_new_one(tracking: Tracking, is_deleted: bool) -> None:
    with stage_run(tracking, RunRequest("train", "train@rnn")) as run:
        pass
    if is_deleted:
        MlflowClient().delete_run(run.id)

    with stage_run(tracking, RunRequest("train", "train@rnn", resume=run.id if is_deleted else "0" * 32)) as other:
        pass

    assert other.id != run.id
    assert logged(other).info.status == "FINISHED"


def test_a_data_set_is_logged_with_its_digest(tracking: Tracking) -> None:
    sha256 = "0123456789abcdef" * 4
    with stage_run(tracking, RunRequest("prepare", "prepare")) as run:
        run.dataset("digits", sha256, Path("data/prepared"), {"examples": 3}, "training")

    [one] = logged(run).inputs.dataset_inputs
    assert {tag.key: tag.value for tag in one.tags} == {"mlflow.data.context": "training"}
    assert one.dataset.name == "digits"
    assert sha256.startswith(one.dataset.digest)
    assert json.loads(one.dataset.source) == {"uri": "data/prepared", "sha256": sha256}
    assert json.loads(one.dataset.profile) == {"examples": 3}


def test_a_resumed_run_does_not_log_an_artifact_of_once_again(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "last").write_text("")
    calls: list[str] = []

    def log() -> None:
        calls.append(run.id)
        run.artifact(tmp_path / "last", "folder/marker")

    for _ in range(2):
        with stage_run(tracking, RunRequest("train", "train", resume=calls[0] if calls else None)) as run:
            run.once("folder/marker", log)

    assert calls == [run.id]


def test_files_and_folders_become_artifacts(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "figures" / "inner").mkdir(parents=True)
    for name in ("metrics.json", "figures/a.png", "figures/inner/b.png"):
        (tmp_path / name).write_text(name)

    with stage_run(tracking, RunRequest("evaluate", "evaluate")) as run:
        run.artifact(tmp_path / "metrics.json")
        run.artifact(tmp_path / "metrics.json", "tables")
        run.artifact(tmp_path / "figures")

    assert artifacts(run) == ["figures", "metrics.json", "params.yaml", "tables"]
    assert artifacts(run, "tables") == ["tables/metrics.json"]
    assert artifacts(run, "figures") == ["figures/a.png", "figures/inner"]
    assert artifacts(run, "figures/inner") == ["figures/inner/b.png"]


def change_a_parameter(run: Run) -> None:
    run.params({"a": 1})
    run.params({"a": 2})


def test_a_run_that_mlflow_refuses_is_failed_and_reported_in_one_line(tracking: Tracking) -> None:
    with (
        pytest.raises(UserError, match=r"\Atracking: sqlite:///.+\Z"),
        stage_run(tracking, RunRequest("train", "train")) as run,
    ):
        change_a_parameter(run)

    ended = logged(run)
    assert ended.info.status == "FAILED"
    assert "a" in ended.data.tags["error"]


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (UserError("the file\n  is broken"), "FAILED", "the file is broken"),
        (ValueError(), "FAILED", "ValueError"),
        (SystemExit(3), "FAILED", "3"),
        (KeyboardInterrupt(), "KILLED", None),
        (Terminated(), "KILLED", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_run_that_ends_early_records_how_and_reraises(
    tracking: Tracking, error: BaseException, status: str, told: str | None
) -> None:
    runs: list[Run] = []

    with pytest.raises(type(error)) as caught, stage_run(tracking, RunRequest("train", "train@rnn")) as run:  # noqa: PT012
        runs.append(run)
        run.metrics({"val.loss": 0.5}, step=0)
        raise error

    assert caught.value is error
    assert logged(runs[0]).info.status == status
    assert logged(runs[0]).data.tags.get("error") == told
    assert logged(runs[0]).data.metrics == {"val.loss": 0.5}


def test_a_pruned_run_is_finished_even_if_a_signal_arrives(tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    before, set_tags = signal.signal(signal.SIGTERM, _raise_terminated), Run.tags

    def interrupted(run: Run, tags: dict[str, str]) -> None:
        signal.raise_signal(signal.SIGTERM)
        set_tags(run, tags)

    monkeypatch.setattr(Run, "tags", interrupted)
    request = RunRequest("train", "train@rnn", pruned=lambda: 1)
    try:
        with pytest.raises(Pruned) as pruned, stage_run(tracking, request) as run:  # noqa: PT012
            for epoch in range(3):
                run.metrics({"val.loss": 0.5}, step=epoch)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert (pruned.value.epoch, pruned.value.is_logged) == (1, True)
    found = logged(run)
    assert (found.info.status, found.data.tags["pruned"]) == ("FINISHED", "1")
    steps = [point.step for point in MlflowClient().get_metric_history(run.id, "val.loss")]
    assert steps == [0, 1], "it ended with the epoch"


def test_runs_follow_each_other_after_an_error(tracking: Tracking) -> None:
    with pytest.raises(ZeroDivisionError), stage_run(tracking, RunRequest("train", "first")):
        _ = 1 / 0

    with stage_run(tracking, RunRequest("train", "second")) as run:
        pass

    assert logged(run).info.status == "FINISHED"
    assert "mlflow.parentRunId" not in logged(run).data.tags


def test_a_missing_configuration_file_starts_no_run(tracking: Tracking, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with (
            pytest.raises(FileNotFoundError, match=r"params\.yaml"),
            stage_run(tracking, RunRequest("train", "without")),
        ):
            pass

    with stage_run(tracking, RunRequest("train", "with")) as run:
        pass
    names = [one.info.run_name for one in MlflowClient().search_runs([logged(run).info.experiment_id])]
    assert "with" in names
    assert "without" not in names


def test_identity_tags_have_the_digest_of_the_configuration(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = identity_tags()
    monkeypatch.setenv("DVC_EXP_NAME", "azure-newt")

    assert tags["config.sha256"] == hashlib.sha256((project / "params.yaml").read_bytes()).hexdigest()
    assert "dvc.experiment" not in tags
    assert identity_tags()["dvc.experiment"] == "azure-newt"


def test_the_commit_and_its_edits_are_tagged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=Tester", "-c", "user.email=tester@localhost"]
        return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()

    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)  # set inside a hook
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "dvc.lock", "code.py"):
        Path(name).write_text("a: 1\n", encoding="utf-8")
    assert "git.commit" not in identity_tags()
    git("init")
    assert "git.commit" not in identity_tags()
    git("add", ".")
    git("commit", "-m", "first")

    clean = identity_tags()
    Path("dvc.lock").write_text("written by DVC\n", encoding="utf-8")
    Path("params.yaml").write_text("a: 2\n", encoding="utf-8")
    Path("untracked").touch()
    locked = identity_tags()
    Path("code.py").write_text("a: 2\n", encoding="utf-8")
    edited = identity_tags()

    assert clean["git.commit"] == git("rev-parse", "HEAD")
    assert [tags["git.dirty"] for tags in (clean, locked, edited)] == ["false", "false", "true"]
