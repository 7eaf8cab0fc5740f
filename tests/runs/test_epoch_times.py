from seqmnist.config import Config
from seqmnist.tracking.runs import stage_run
from seqmnist.runs.epoch_times import epoch_seconds


def trained(config: Config, cell: str, seed: int, seconds: list[float]) -> str:
    with stage_run(config, "train", f"train@{cell}", {"cell": cell}) as run:
        run.params({"seed": seed})
        for epoch, value in enumerate(seconds):
            run.metrics({"time.epoch_seconds": value, "val.accuracy": 0.5}, step=epoch)
    return run.id


def evaluated(config: Config, metrics: str, trainings: list[str]) -> None:
    with stage_run(config, "evaluate", "evaluate") as run:
        run.tags({"metrics.sha256": metrics, "train.runs": " ".join(trainings)})


def test_the_seconds_are_those_of_the_trainings_that_the_evaluation_is_of(config: Config) -> None:
    rnn = [trained(config, "rnn", seed, [seed + 0.5, seed + 1.5]) for seed in (1, 2)]
    lstm = trained(config, "lstm", 1, [9.0, 8.0, 7.0])
    evaluated(config, "abc", [*rnn, lstm])
    evaluated(config, "def", [trained(config, "rnn", 1, [100.0])])

    assert epoch_seconds(config.tracking, "abc") == {
        "rnn": {"1": [1.5, 2.5], "2": [2.5, 3.5]},
        "lstm": {"1": [9, 8, 7]},
    }


def test_there_are_none_of_an_unknown_evaluation_or_of_a_stand_in(config: Config) -> None:
    evaluated(config, "abc", [trained(config, "rnn", 1, [])])

    assert epoch_seconds(config.tracking, "abc") == {}
    assert epoch_seconds(config.tracking, "def") == {}


def test_a_run_without_the_times_of_all_epochs_has_none(config: Config) -> None:
    with stage_run(config, "train", "train@rnn", {"cell": "rnn"}) as run:
        run.params({"seed": 1})
        run.metrics({"time.epoch_seconds": 1.5, "val.accuracy": 0.5}, step=0)
        run.metrics({"val.accuracy": 0.6}, step=1)
    evaluated(config, "cut off", [run.id])

    assert epoch_seconds(config.tracking, "cut off") == {}
