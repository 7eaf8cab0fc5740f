import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState

from accord.errors import UserError
from accord.sweep.search import journal
from accord.sweep.search.journal import NAME, mend, open_journal
from tests.accord.sweep.search.simulated import SPACES, comparable, go_on, search, smooth

FILE = "study.journal"
N_TRIALS = 5
GRID = ("train.rate=0.001,0.01,0.1", "train.units=range(8, 17, 8)")
SEARCHES: dict[str, dict[str, Any]] = {
    "tpe": {"sampler": "tpe"},
    "cmaes": {"sampler": "cmaes", "pruner": "none"},
    "qmc": {"sampler": "qmc", "pruner": "percentile"},
    "grid": {"sampler": "grid", "spaces": GRID},
}


def short(trial: FrozenTrial) -> list[float]:
    """Return a curve of two epochs."""
    return smooth(trial)[:2]


def finish(folder: Path, name: str) -> list[tuple[object, ...]]:
    """Run the remaining trials of a search; return all of its trials."""
    found = search(folder, n_trials=N_TRIALS, **SEARCHES[name])
    go_on(folder, found, short)
    return comparable(found)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[bytes, list[tuple[object, ...]]]]:
    """Return a function that gives the journal and the trials of an uninterrupted search."""
    known: dict[str, tuple[bytes, list[tuple[object, ...]]]] = {}

    def get(name: str) -> tuple[bytes, list[tuple[object, ...]]]:
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            trials = finish(folder, name)
            known[name] = (folder / FILE).read_bytes(), trials
        return known[name]

    return get


def read(folder: Path) -> list[FrozenTrial]:
    """Return the trials of a journal as Optuna reads them, none if it has no study."""
    try:
        return optuna.load_study(study_name=NAME, storage=open_journal(folder)).trials
    except KeyError:
        return []


@settings(max_examples=40)
@given(share=st.floats(0, 1))
@pytest.mark.parametrize("name", SEARCHES)
def test_a_journal_that_is_cut_anywhere_keeps_its_whole_lines_and_trials(
    finished: Callable[[str], tuple[bytes, list[tuple[object, ...]]]], name: str, share: float
) -> None:
    content, _ = finished(name)
    parameters = len(SEARCHES[name].get("spaces", SPACES))
    cut = content[: round(share * len(content))]
    lines = cut[: cut.rfind(b"\n") + 1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, FILE)
        path.write_bytes(lines)
        intact = read(Path(folder))
        path.write_bytes(cut)
        mend(Path(folder), parameters)
        mended, trials = path.read_bytes(), read(Path(folder))
        assert trials == [one for one in intact if len(one.params) == parameters]
        if len(trials) == len(intact):
            assert mended == lines
        else:
            assert lines.startswith(mended)
            assert len(trials) == len(intact) - 1
        mend(Path(folder), parameters)
        assert path.read_bytes() == mended


@settings(max_examples=4)
@given(share=st.floats(0, 1))
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_whose_journal_is_cut_anywhere_ends_as_one_that_is_not(
    finished: Callable[[str], tuple[bytes, list[tuple[object, ...]]]], name: str, share: float
) -> None:
    content, expected = finished(name)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, FILE).write_bytes(content[: round(share * len(content))])
        assert finish(Path(folder), name) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_whose_journal_is_cut_in_any_line_ends_as_one_that_is_not(
    finished: Callable[[str], tuple[bytes, list[tuple[object, ...]]]], tmp_path: Path, name: str
) -> None:
    content, expected = finished(name)
    lines = content.splitlines(keepends=True)
    for number in range(len(lines)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / FILE).write_bytes(b"".join(lines[:number]) + lines[number][: 1 + number % (len(lines[number]) - 1)])
        assert finish(folder, name) == expected, number


def asked(folder: Path) -> bytes:
    """Return the journal of a search that has asked for one trial."""
    search(folder).ask()
    return (folder / FILE).read_bytes()


def test_a_trial_with_all_its_values_is_kept_and_one_without_is_removed(tmp_path: Path) -> None:
    content = asked(tmp_path)
    mend(tmp_path, len(SPACES))
    assert (tmp_path / FILE).read_bytes() == content
    mend(tmp_path, len(SPACES) + 1)
    assert read(tmp_path) == []
    (tmp_path / FILE).write_bytes(content[:-1])
    found = search(tmp_path)
    assert found.trials == []
    assert found.ask() == 0
    assert [one.state for one in read(tmp_path)] == [TrialState.RUNNING]


def test_optuna_writes_lines_of_the_kinds_that_are_counted(tmp_path: Path) -> None:
    assert (JournalOperation.CREATE_TRIAL, JournalOperation.SET_TRIAL_PARAM) == (journal._TRIAL, journal._PARAMETER)
    found = search(tmp_path)
    for _ in range(3):
        found.ask()
    kinds = [json.loads(line)["op_code"] for line in (tmp_path / FILE).read_bytes().splitlines()]
    assert kinds.count(journal._TRIAL) == 3
    assert kinds.count(journal._PARAMETER) == 3 * len(SPACES)
    assert kinds[-1] == journal._PARAMETER, "what a trial is asked for with ends with its last parameter"


@pytest.mark.parametrize("broken", [b"{\n", b"\n", b"[]\n", b"1\n", b"{}\n", b"\0\0\n", b'{"op_code"}\n', b"\xff\n"])
def test_a_broken_line_before_others_is_refused_and_nothing_is_changed(tmp_path: Path, broken: bytes) -> None:
    lines = asked(tmp_path).splitlines(keepends=True)
    path = tmp_path / FILE
    damaged = b"".join([*lines[:2], broken, *lines[2:]])
    path.write_bytes(damaged)
    for act in (lambda: mend(tmp_path, len(SPACES)), lambda: search(tmp_path)):  # one repairs, one only reads
        with pytest.raises(UserError) as caught:
            act()
        remedy = "restore it, or search in another hydra.sweep.dir"
        assert str(caught.value) == f"{path} is damaged in line 3: {remedy}"
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("end", [b"{", b'{"op_code":5', b"\0" * 50, b"\xff\xfe"])
def test_an_unfinished_end_after_a_kill_is_removed(tmp_path: Path, end: bytes) -> None:
    content = asked(tmp_path)
    (tmp_path / FILE).write_bytes(content + end)
    assert search(tmp_path).ask() == 1
    assert (tmp_path / FILE).read_bytes().startswith(content)
    assert len(read(tmp_path)) == 2


def test_a_lock_that_a_killed_search_left_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_seconds: float) -> None:
        raise AssertionError("Optuna waits for the lock")

    asked(tmp_path)
    lock = tmp_path / f"{FILE}.lock"
    lock.touch()
    monkeypatch.setattr("time.sleep", wait)
    with pytest.raises((AssertionError, RuntimeError)):
        optuna.load_study(study_name=NAME, storage=open_journal(tmp_path)).ask()
    lock.touch()
    renamed = tmp_path / f"{FILE}.lock2f1c.rename"  # name of the lock while Optuna releases it
    renamed.touch()
    assert search(tmp_path).ask() == 1
    assert not lock.exists()
    assert not renamed.exists()


def test_a_folder_without_a_journal_needs_no_repair(tmp_path: Path) -> None:
    mend(tmp_path, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_journal_of_another_search_is_left_as_it_was(tmp_path: Path) -> None:
    content = asked(tmp_path)
    with pytest.raises(UserError, match=r"has another search, whose train\.shift differs"):
        search(tmp_path, [*SPACES, "train.shift=range(3)"])
    assert (tmp_path / FILE).read_bytes().startswith(content)
    assert search(tmp_path).unfinished() == [0]
