import math
import shutil
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from accord.errors import UserError
from accord.files import sha256_file
from accord.sweep.folders import CHECKPOINTS, Pruning, Result
from accord.sweep.search.study import Search
from tests.accord.sweep.search.simulated import (
    SPACES,
    Curve,
    add_epochs,
    comparable,
    end,
    end_pruned,
    prepare,
    run,
    search,
)

NAN = math.nan
GOOD, MEDIUM, BAD = [0.5, 0.6, 0.7, 0.8], [0.3, 0.4, 0.5, 0.6], [0.1, 0.2, 0.3, 0.4]


def straight(sweep: Path, found: Search, number: int, curve: Curve) -> None:
    run(sweep, found, number, curve)


def at_once(sweep: Path, found: Search, number: int, curve: Curve) -> None:
    """Write all epochs before the search looks for the first time."""
    folder = prepare(sweep, found, number)
    add_epochs(folder, curve)
    found.look(number)
    end(folder, curve)
    found.tell(number)


def after_the_end(sweep: Path, found: Search, number: int, curve: Curve) -> None:
    """End the training before the search looks at all."""
    end(prepare(sweep, found, number), curve)
    found.tell(number)


def in_pieces(sweep: Path, found: Search, number: int, curve: Curve) -> None:
    """Look often, at no or several new epochs, and open the search again in between."""
    folder = prepare(sweep, found, number)
    for begin in range(0, len(curve), 2):
        found.look(number)
        add_epochs(folder, curve[begin : begin + 2])
        found.look(number)
        again = Search(sweep, found._settings, found._spaces)
        again.look(number)
        again.look(number)
    end(folder, curve)
    found.tell(number)


WAYS = [straight, at_once, after_the_end, in_pieces]
Way = Callable[[Path, Search, int, Curve], None]


def play(sweep: Path, way: Way, curves: Sequence[Curve], **given: Any) -> Search:
    """Run a trial for each curve; return the search."""
    shutil.rmtree(sweep, ignore_errors=True)
    sweep.mkdir()
    found = search(sweep, sampler="random", **given)
    for curve in curves:
        way(sweep, found, found.ask(), curve)
    return found


def pruned(found: Search) -> list[int | None]:
    """Return the epoch in which each trial was pruned, by its file; assert that the study has the same."""
    decisions = [Pruning.read(found._sweep / str(one.number)) for one in found.trials]
    states = [TrialState.PRUNED if one else TrialState.COMPLETE for one in decisions]
    assert [one.state for one in found.trials] == states
    for one, trial in zip(decisions, found.trials, strict=True):
        assert one is None or list(trial.intermediate_values) == list(range(one.epoch + 1))
    return [one.epoch if one else None for one in decisions]


def percentile(values: Sequence[float], percent: Fraction) -> Fraction:
    """Return the exact percentile with linear interpolation."""
    ordered = sorted(map(Fraction, values))
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def expected(curves: Sequence[Curve], keep: int, n_startup: int, n_warmup: int) -> list[int | None]:
    """Return the epochs in which trials outside the best `keep` percent are pruned, by a second implementation.

    A trial counts with its best epoch so far, whole trials with the same epoch.
    """
    decisions: list[int | None] = []
    whole: list[Curve] = []
    for curve in curves:
        decision = None
        for epoch in range(n_warmup, len(curve)) if len(whole) >= max(1, n_startup) else ():
            own = [value for value in curve[: epoch + 1] if not math.isnan(value)]
            others = [one[epoch] for one in whole if epoch < len(one) and not math.isnan(one[epoch])]
            if not own or (others and Fraction(max(own)) < percentile(others, Fraction(100 - keep))):
                decision = epoch
                break
        decisions.append(decision)
        if decision is None:
            whole.append(curve)
    return decisions


VALUES = st.integers(0, 16).map(lambda value: value / 16) | st.just(NAN)
CURVES = st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=2, max_size=5)


@settings(max_examples=12)
@given(
    curves=CURVES,
    keep=st.sampled_from([25, 50, 75, None]),
    n_startup=st.integers(0, 3),
    n_warmup=st.integers(0, 2),
    way=st.sampled_from(WAYS),
)
def test_trials_are_pruned_as_by_a_second_implementation(
    tmp_path_factory: pytest.TempPathFactory,
    curves: list[list[float]],
    keep: int | None,
    n_startup: int,
    n_warmup: int,
    way: Way,
) -> None:
    kind = {"pruner": "median"} if keep is None else {"pruner": "percentile", "percentile": float(keep)}
    sweep = tmp_path_factory.getbasetemp() / "sweep of an example"
    found = play(sweep, way, curves, n_startup_trials=n_startup, n_warmup_epochs=n_warmup, **kind)
    assert pruned(found) == expected(curves, keep or 50, n_startup, n_warmup)


@pytest.mark.parametrize("kind", ["median", "percentile", "hyperband"])
def test_decisions_do_not_depend_on_when_the_search_looks(tmp_path: Path, kind: str) -> None:
    curves = [GOOD, MEDIUM, BAD, GOOD, MEDIUM, [0.4, 0.41, 0.42, 0.43], BAD, GOOD]
    found = [play(tmp_path / way.__name__, way, curves, pruner=kind, n_warmup_epochs=1) for way in WAYS]
    decisions = pruned(found[0])
    assert [epoch for epoch in decisions if epoch is not None]
    for other in found[1:]:
        assert pruned(other) == decisions
        assert comparable(other) == comparable(found[0])


@pytest.mark.parametrize(
    ("given", "decisions"),
    [
        ({}, [None, None, 0, 0, None]),
        ({"n_warmup_epochs": 2}, [None, None, 2, 2, None]),
        ({"n_warmup_epochs": 4}, [None] * 5),
        ({"n_startup_trials": 3}, [None, None, None, None, None]),
        ({"pruner": "none"}, [None] * 5),
        ({"pruner": "percentile", "percentile": 90.0}, [None, None, 0, None, None]),
        ({"n_startup_trials": 0}, [None, 0, 0, 0, None]),
    ],
)
def test_worse_trials_are_pruned_after_startup_and_warm_up(
    tmp_path: Path, given: dict[str, Any], decisions: list[int | None]
) -> None:
    curves = [GOOD, MEDIUM, BAD, [value + 0.05 for value in MEDIUM], GOOD]
    assert pruned(play(tmp_path / "sweep", straight, curves, **given)) == decisions


def test_a_diverged_training_is_pruned_or_else_counts_as_the_worst(tmp_path: Path) -> None:
    diverged = [NAN] * 4
    assert pruned(play(tmp_path / "pruned", straight, [GOOD, GOOD, diverged])) == [None, None, 0]
    found = play(tmp_path / "whole", straight, [GOOD, diverged], pruner="none")
    assert [one.value for one in found.trials] == [0.8, -math.inf]
    again = search(tmp_path / "whole", sampler="random", pruner="none")
    assert [one.value for one in again.trials] == [0.8, -math.inf]
    assert all(math.isnan(value) for value in again.trials[1].intermediate_values.values())


def test_a_pruned_trial_says_in_which_epoch_and_has_a_result(tmp_path: Path) -> None:
    found = play(tmp_path / "sweep", straight, [GOOD, GOOD, BAD], n_warmup_epochs=1)
    folder = tmp_path / "sweep" / "2"
    digest = sha256_file(folder / "params.yaml")
    assert Pruning.read(folder) == Pruning(1, digest)
    assert Result.read(folder) == Result("PRUNED", digest, None, 1, curve=[*BAD[:2]])
    assert found.trials[2].value == BAD[1], "Optuna learns by the last epoch"
    assert found.unfinished() == []


def test_a_trial_that_ended_before_it_was_pruned_keeps_its_metric_and_is_pruned(tmp_path: Path) -> None:
    play(tmp_path / "sweep", after_the_end, [GOOD, GOOD, BAD], n_warmup_epochs=1)
    result = Result.read(tmp_path / "sweep" / "2")
    assert result is not None
    assert (result.status, result.accuracy, result.epoch, result.curve) == ("PRUNED", BAD[-1], 1, BAD)


def test_a_pruned_trial_is_not_judged_again(tmp_path: Path) -> None:
    found = play(tmp_path, straight, [GOOD, GOOD])
    folder = prepare(tmp_path, found, number := found.ask())
    add_epochs(folder, BAD[:1])
    found.look(number)
    before = (tmp_path / "study.journal").read_bytes()
    add_epochs(folder, BAD[1:])
    found.look(number)
    search(tmp_path, sampler="random").look(number)
    assert (tmp_path / "study.journal").read_bytes().startswith(before)
    assert list(found.trials[number].intermediate_values) == [0]
    assert Pruning.read(folder) == Pruning(0, sha256_file(folder / "params.yaml"))


def test_a_pruning_lost_by_a_kill_is_decided_again(tmp_path: Path) -> None:
    found = play(tmp_path, straight, [GOOD, GOOD])
    folder = prepare(tmp_path, found, number := found.ask())
    add_epochs(folder, BAD)
    found.look(number)
    decision = Pruning.read(folder)
    (folder / Pruning.file).unlink()
    search(tmp_path, sampler="random").look(number)
    assert Pruning.read(folder) == decision


@pytest.mark.parametrize("status", ["FAILED", "KILLED", None])
def test_an_unfinished_trial_stays_open_until_it_has_a_result(tmp_path: Path, status: Any) -> None:
    found = play(tmp_path, straight, [GOOD])
    folder = prepare(tmp_path, found, number := found.ask())
    add_epochs(folder, GOOD[:2])
    if status:
        Result(status, sha256_file(folder / "params.yaml"), error="it broke").write(folder)
    found.tell(number)
    again = search(tmp_path, sampler="random")
    assert again.unfinished() == [number]
    assert again.trials[number].intermediate_values == {0: GOOD[0], 1: GOOD[1]}
    end(folder, GOOD)
    again.tell(number)
    assert again.unfinished() == []
    assert again.trials[number].value == GOOD[-1]
    assert list(again.trials[number].intermediate_values.values()) == GOOD


def test_results_of_other_values_do_not_count(tmp_path: Path) -> None:
    found = search(tmp_path)
    folder = prepare(tmp_path, found, number := found.ask())
    end(folder, GOOD)
    end_pruned(folder, 0, BAD)
    (folder / "params.yaml").write_text("other: values\n")
    found.tell(number)
    assert found.unfinished() == [number]


def test_a_trial_that_has_not_begun_is_not_judged(tmp_path: Path) -> None:
    found = search(tmp_path)
    number = found.ask()
    found.look(number)
    (tmp_path / str(number)).mkdir()
    found.look(number)
    (tmp_path / str(number) / CHECKPOINTS).mkdir()
    found.look(number)
    found.tell(number)
    assert found.trials[number].intermediate_values == {}
    assert found.unfinished() == [number]


@pytest.mark.parametrize(
    ("spaces", "given", "key"),
    [
        ([*SPACES[:2], "cell=lstm,rnn"], {}, "cell"),
        ([*SPACES[:2]], {}, "cell"),
        ([*SPACES, "train.shift=range(3)"], {}, "train.shift"),
        (["train.rate=interval(1e-4, 1)", *SPACES[1:]], {}, "train.rate"),
        ([SPACES[0], "train.units=range(8, 65, 4)", SPACES[2]], {}, "train.units"),
        ([*SPACES, "train.epochs=3"], {}, "constant"),
        (SPACES, {"seed": 1}, "seed"),
        (SPACES, {"sampler": "random"}, "sampler"),
        (SPACES, {"pruner": "none"}, "pruner"),
        (SPACES, {"percentile": 30.0}, "percentile"),
        (SPACES, {"n_startup_trials": 5}, "n_startup_trials"),
        (SPACES, {"n_warmup_epochs": 3}, "n_warmup_epochs"),
    ],
)
def test_another_search_in_the_folder_is_refused_with_the_difference(
    tmp_path: Path, spaces: Sequence[str], given: dict[str, Any], key: str
) -> None:
    search(tmp_path).ask()
    with pytest.raises(UserError) as caught:
        search(tmp_path, spaces, **given)
    remedy = "give a new one, or the command of that search"
    assert str(caught.value) == f"hydra.sweep.dir={tmp_path} has another search, whose {key} differs: {remedy}"
    assert len(search(tmp_path).trials) == 1


def test_number_time_and_workers_of_a_search_may_change(tmp_path: Path) -> None:
    found = search(tmp_path, n_trials=1)
    run(tmp_path, found, found.ask(), GOOD)
    params = {"a": "interval(0, 1)"}  # the file's spaces, which the command line may have replaced
    again = search(tmp_path, n_trials=5, timeout=3.5, workers=2, params=params)
    assert (again.n_trials, len(again.trials)) == (5, 1)
    assert search(tmp_path, n_trials=1).n_trials == 1


@pytest.mark.parametrize("number", ["0", "17"])
def test_a_folder_with_trials_of_a_grid_is_refused(tmp_path: Path, number: str) -> None:
    (tmp_path / number).mkdir()
    (tmp_path / number / "params.yaml").touch()
    with pytest.raises(UserError) as caught:
        search(tmp_path)
    assert str(caught.value) == f"hydra.sweep.dir={tmp_path} has trials of another sweep: give a new one"


def test_other_files_in_the_folder_are_no_trials(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").touch()
    (tmp_path / "0").mkdir()
    assert search(tmp_path).trials == []


def test_overrides_of_a_trial_are_its_values_and_those_of_all(tmp_path: Path) -> None:
    found = search(tmp_path, ["cell=gru", *SPACES[:2]])
    found.ask()
    values = found.trials[0].params
    assert found.overrides(0) == [
        "cell=gru",
        f"train.rate={values['train.rate']!r}",
        f"train.units={values['train.units']}",
    ]
