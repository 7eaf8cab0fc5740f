import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from accord.compose import changes, compose
from accord.compose import write_params as main
from accord.errors import UserError
from accord.settings import read_yaml

ROOT = Path(__file__).parents[2]


def test_committed_params_are_the_composed_ones() -> None:
    text, _ = compose(ROOT / "conf")
    assert text.encode() == (ROOT / "params.yaml").read_bytes()


def test_the_text_holds_the_values(tmp_path: Path) -> None:
    text, values = compose(ROOT / "conf")
    (tmp_path / "params.yaml").write_text(text)
    assert read_yaml(tmp_path / "params.yaml") == values


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"train": {"epochs": 9}}, {"train": {"epochs": 15}}, ["params.yaml: train.epochs 9 -> 15"]),
        ({"a": [1]}, {"a": [1, 2]}, ["params.yaml: a [1] -> [1, 2]"]),
        ({}, {"a": {"b": 1}}, ["params.yaml: a.b (absent) -> 1"]),
        ({"a": {"b": 1}}, {}, ["params.yaml: a.b 1 -> (absent)"]),
        ({"a": None}, {"a": 1}, ["params.yaml: a None -> 1"]),
        ({"a": 1, "b": 1, "c": 1}, {"c": 2, "b": 1, "a": 2}, ["params.yaml: a 1 -> 2", "params.yaml: c 1 -> 2"]),
    ],
    ids=["nothing", "value", "list", "new key", "removed key", "null", "order"],
)
def test_each_changed_key_is_a_line(before: dict[str, object], after: dict[str, object], lines: list[str]) -> None:
    assert changes(before, after) == lines


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a working directory that has only conf/ and dvc.yaml."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_first_run_writes_params(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main()
    assert (project / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert capsys.readouterr().out == "params.yaml: composed from conf/\n"


def test_an_edit_is_written_and_printed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main()
    capsys.readouterr()
    edit(project / "conf/train/default.yaml", "epochs: 15", "epochs: 3\nclip_norm: 1.0")
    main()
    lines = ["params.yaml: train.epochs 15 -> 3", "params.yaml: train.clip_norm None -> 1.0"]
    assert capsys.readouterr().out.splitlines() == lines
    assert read_yaml(project / "params.yaml")["train"]["epochs"] == 3


def test_without_an_edit_nothing_is_printed_and_the_same_is_written(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main()
    before = (project / "params.yaml").read_bytes()
    capsys.readouterr()
    main()
    assert capsys.readouterr().out == ""
    assert (project / "params.yaml").read_bytes() == before


def test_interpolations_are_written_as_values(project: Path) -> None:
    edit(project / "conf/train/default.yaml", "epochs: 15", "epochs: 15\nbatch_size: ${train.epochs}")
    main()
    assert "  batch_size: 15\n" in (project / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("config.yaml", "hydra: {callbacks: {evil: {_target_: os.mkdir, path: made}}}", "hydra.callbacks."),
        ("experiment/mine.yaml", "hydra: {sweeper: {max_batch_size: 3}}", "hydra.sweeper.max_batch_size = 3"),
        ("experiment/mine.yaml", "defaults: [override /hydra/launcher: joblib]", "hydra.launcher."),
        ("experiment/mine.yaml", "hydra: {sweep: {dir: elsewhere}}", "hydra.sweep.dir = elsewhere"),
    ],
)
def test_values_that_only_sweeps_use_are_refused_and_never_called(
    project: Path, file: str, text: str, expected: str
) -> None:
    if file.startswith("experiment"):
        edit(project / "conf/config.yaml", "experiment: null", "experiment: mine")
        (project / "conf" / file).write_text("# @package _global_\n")
    with (project / "conf" / file).open("a") as opened:
        opened.write(text)
    with pytest.raises(UserError, match=rf"\Aconf: {re.escape(expected)}[^\n]* has no effect on the pipeline[^\n]*\Z"):
        main()
    assert not (project / "made").exists()
    assert not (project / "params.yaml").exists()


def test_broken_params_are_replaced(project: Path) -> None:
    (project / "params.yaml").write_text("train: [1")
    main()
    assert (project / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("train/default.yaml", "epochs: 15", "epochs: [15", "train/default.yaml"),
        ("train/default.yaml", "epochs: 15", "epochs: ${nothing}", "nothing"),
        ("train/default.yaml", "epochs: 15", "epochs: 0", "train.epochs = 0 is impossible"),
        ("train/default.yaml", "epochs: 15", "epoch: 15", "train.epoch: unknown key"),
        ("base.yaml", "train: default", "train: nothing", "train/nothing"),
        ("base.yaml", "data: mnist", "datum: mnist", "datum/mnist"),
        ("config.yaml", "experiment: null", "experiment: nothing", "experiment/nothing"),
        ("base.yaml", "  - data: mnist", "  - 5", "conf"),
        ("train/default.yaml", "- notebook", "- default", "conf"),
        ("train/default.yaml", "epochs: 15", "epochs: ${oc.env:HOME}", "the environment's HOME can't be part"),
        (
            "train/default.yaml",
            "epochs: 15",
            "epochs: ${oc.decode:'${oc.env:X,1}'}",
            "train.epochs: the environment's X",
        ),
        ("train/default.yaml", "epochs: 15", "epochs: '${now:%j}'", "train.epochs: ${now:%j} gives another value"),
        ("tracking/local.yaml", "seqmnist", "'${hydra:job.name}'", "${hydra:job.name} gives another value"),
        ("tracking/local.yaml", "seqmnist", "${python_version:}", "${python_version:} gives another value"),
        ("tracking/local.yaml", "seqmnist", "${nobody:x}", "Unsupported interpolation type nobody"),
        (
            "tracking/local.yaml",
            "seqmnist",
            "\\${oc.env:HOME}",
            "${oc.env:HOME}: params.yaml holds no",
        ),
        ("base.yaml", "tracking: local", "tracking: ${oc.env:HOME}", "Error resolving interpolation '${oc.env:HOME}'"),
        ("train/default.yaml", "epochs: 15", "epochs: !!python/object/apply:os.mkdir [made]", "python/object"),
        ("train/default.yaml", "epochs: 15", "_target_: os.mkdir\npath: made", "train._target_, path: unknown key"),
    ],
    ids=[
        "syntax",
        "interpolation",
        "impossible_value",
        "unknown_key",
        "option",
        "group",
        "experiment",
        "number",
        "recursion",
        "environment",
        "nested environment",
        "time",
        "hydra",
        "python version",
        "custom",
        "escaped",
        "environment in defaults",
        "python",
        "target",
    ],
)
def test_mistake_is_one_line_and_keeps_params(project: Path, file: str, old: str, new: str, expected: str) -> None:
    main()
    before = (project / "params.yaml").read_bytes()
    edit(project / "conf" / file, old, new)
    with pytest.raises(UserError) as caught:
        main()
    (line,) = str(caught.value).splitlines()
    assert line.startswith("conf: ")
    assert expected in line
    assert (project / "params.yaml").read_bytes() == before
    assert sorted(path.name for path in project.iterdir()) == ["conf", "dvc.yaml", "params.yaml"]


@pytest.mark.parametrize("content", ["# café".encode("latin-1"), b"42\n"], ids=["not UTF-8", "a number"])
def test_file_that_is_no_configuration_is_one_line(project: Path, content: bytes) -> None:
    (project / "conf/train/default.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"\Aconf: .+\Z"):
        main()
    assert not (project / "params.yaml").exists()


@pytest.mark.parametrize("other", [1.0, True, None], ids=repr)
def test_a_change_of_type_alone_is_a_change(other: float | None) -> None:
    assert len(changes({"a": 1}, {"a": other})) == 1
    assert changes({"a": other}, {"a": other}) == []


@pytest.mark.parametrize(
    "spoil",
    [shutil.rmtree, lambda conf: (conf / "config.yaml").unlink()],
    ids=["no folder", "no root file"],
)
def test_missing_configuration_is_one_line_and_writes_nothing(project: Path, spoil: Callable[[Path], None]) -> None:
    spoil(project / "conf")
    with pytest.raises(UserError) as caught:
        main()
    assert len(str(caught.value).splitlines()) == 1
    assert not (project / "params.yaml").exists()


@pytest.fixture
def experiment(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return params.yaml as DVC composes it for an experiment with 3 epochs."""
    main()
    edit(project / "params.yaml", "epochs: 15", "epochs: 3")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    return project / "params.yaml"


def test_values_of_an_experiment_are_kept(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = experiment.read_bytes()
    capsys.readouterr()
    main()
    assert experiment.read_bytes() == before
    first, *differences = capsys.readouterr().out.splitlines()
    assert first.startswith("params.yaml: kept as the experiment composed it")
    assert differences == ["params.yaml: train.epochs 15 -> 3"]


def test_cell_that_no_stage_trains_is_refused(project: Path) -> None:
    edit(project / "conf/config.yaml", "cell@cells.lstm: lstm", "cell@cells.lstm: lstm\n  - cell@cells.big: lstm")
    with pytest.raises(UserError, match=r"the cells rnn, lstm, big, dvc\.yaml trains rnn, lstm: make"):
        main()
    assert not (project / "params.yaml").exists()


@pytest.mark.parametrize(
    ("new", "expected"), [("epochs: 0", "train.epochs = 0 is impossible"), ("epochs: [3", "can't be read")]
)
def test_values_of_an_experiment_are_checked(experiment: Path, new: str, expected: str) -> None:
    edit(experiment, "epochs: 3", new)
    before = experiment.read_bytes()
    with pytest.raises(UserError, match=rf"^params\.yaml.*{expected}"):
        main()
    assert experiment.read_bytes() == before


def test_experiment_without_params_composes_them(experiment: Path) -> None:
    experiment.unlink()
    main()
    assert experiment.read_bytes() == (ROOT / "params.yaml").read_bytes()
