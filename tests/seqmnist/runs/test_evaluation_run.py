import hashlib
from pathlib import Path

import pytest

from accord.settings import Tracking
from accord.tracking.runs import RunRequest, stage_run
from seqmnist.runs.evaluation_run import epoch_seconds, model_digests


def test_models_are_named_by_the_digests_of_their_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models" / "rnn"
    folder.mkdir(parents=True)
    for seed in (1, 2):
        (folder / f"seed-{seed}.weights.h5").write_bytes(bytes([seed]))

    digests = model_digests("rnn", [2, 1])

    assert digests.split(" ") == [hashlib.sha256(bytes([seed])).hexdigest() for seed in (2, 1)]


def trained(tracking: Tracking, cell: str, seed: int, seconds: list[float]) -> str:
    with stage_run(tracking, RunRequest("train", f"train@{cell}", {"cell": cell})) as run:
        run.params({"seed": seed})
        for epoch, value in enumerate(seconds):
            run.metrics({"time.epoch_seconds": value, "val.accuracy": 0.5}, step=epoch)
    return run.id


def evaluated(tracking: Tracking, metrics: str, trainings: list[str]) -> None:
    with stage_run(tracking, RunRequest("evaluate", "evaluate")) as run:
        run.tags({"metrics.sha256": metrics, "train.runs": " ".join(trainings)})


def test_the_seconds_are_those_of_the_trainings_that_the_evaluation_is_of(tracking: Tracking) -> None:
    rnn = [trained(tracking, "rnn", seed, [seed + 0.5, seed + 1.5]) for seed in (1, 2)]
    lstm = trained(tracking, "lstm", 1, [9.0, 8.0, 7.0])
    evaluated(tracking, "abc", [*rnn, lstm])
    evaluated(tracking, "def", [trained(tracking, "rnn", 1, [100.0])])

    assert epoch_seconds(tracking, "abc") == {
        "rnn": {"1": [1.5, 2.5], "2": [2.5, 3.5]},
        "lstm": {"1": [9, 8, 7]},
    }


def test_an_unknown_or_restored_evaluation_has_no_seconds(tracking: Tracking) -> None:
    evaluated(tracking, "abc", [trained(tracking, "rnn", 1, [])])

    assert epoch_seconds(tracking, "abc") == {}
    assert epoch_seconds(tracking, "def") == {}


def test_a_run_without_the_times_of_all_epochs_has_no_seconds(tracking: Tracking) -> None:
    with stage_run(tracking, RunRequest("train", "train@rnn", {"cell": "rnn"})) as run:
        run.params({"seed": 1})
        run.metrics({"time.epoch_seconds": 1.5, "val.accuracy": 0.5}, step=0)
        run.metrics({"val.accuracy": 0.6}, step=1)
    evaluated(tracking, "cut off", [run.id])

    assert epoch_seconds(tracking, "cut off") == {}
