"""Checks of examples/digits: it is short, its results are current, and its deps name the files that stages import."""

import hashlib
import signal
from pathlib import Path

import grimp
import numpy as np
import pytest
import yaml
from sklearn.neural_network import MLPClassifier

from accord.compose import compose
from digits.config import Config, Model
from digits.learner import Learner
from digits.runs import train
from tests.projects import EXAMPLE

STAGES = yaml.safe_load((EXAMPLE / "dvc.yaml").read_text())["stages"]
LOGGING = "digits.runs"  # changes no output


def test_its_python_has_at_most_350_lines() -> None:
    assert sum(len(path.read_text().splitlines()) for path in (EXAMPLE / "src").rglob("*.py")) <= 350


@pytest.mark.parametrize("stage", STAGES)
def test_deps_of_each_stage_name_the_projects_modules_that_it_imports(stage: str) -> None:
    graph = grimp.build_graph("digits")
    graph.remove_module(LOGGING)
    module = "digits.config" if stage == "compose" else STAGES[stage]["cmd"].split()[3]
    imported = {module, *graph.find_upstream_modules(module)} - {"digits"}
    code = {dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")}
    assert code == {f"src/{name.replace('.', '/')}.py" for name in imported}
    outs = [out for one in STAGES.values() for out in one.get("outs", ())]
    others = {out if isinstance(out, str) else next(iter(out)) for out in outs}
    folders = {str(parent) for out in others for parent in Path(out).parents} | others | {"conf"}
    assert {*STAGES[stage]["deps"]} - code <= folders


@pytest.mark.usefixtures("digits")
def test_params_yaml_matches_the_composed_configuration() -> None:
    text, values = compose(EXAMPLE / "conf")
    assert (EXAMPLE / "params.yaml").read_text() == text
    config = Config.model_validate(values)
    code = [f"src/{name}" for name in train(config, "mlp").code]
    assert code == [dep for dep in STAGES["train"]["deps"] if dep.startswith("src/")]


def test_dvc_lock_was_made_with_the_present_code() -> None:
    stages = yaml.safe_load((EXAMPLE / "dvc.lock").read_text())["stages"]
    assert {name.partition("@")[0] for name in stages} == {*STAGES}
    locked = {dep["path"]: dep["md5"] for stage in stages.values() for dep in stage["deps"]}
    for path, md5 in locked.items():
        if path.startswith("src/"):
            assert hashlib.md5((EXAMPLE / path).read_bytes()).hexdigest() == md5, path


@pytest.mark.parametrize(("kind", "rate"), [("sgd", 0.1), ("mlp", 0.03)])
def test_a_loaded_learner_continues_to_the_same_metrics_and_bytes(tmp_path: Path, kind: str, rate: float) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 10
    pixels = np.clip(np.eye(64)[6 * labels] + generator.uniform(0, 0.3, (60, 64)), 0, 1)
    splits = dict.fromkeys(("train", "val", "test"), (pixels, labels))
    model = Model.model_validate({"type": kind, "learning_rate": rate, "alpha": 0.0})
    whole, first, second = (Learner(model, seed=1) for _ in range(3))
    metrics = [whole.epoch(epoch, 7, splits) for epoch in range(6)]
    half = [first.epoch(epoch, 7, splits) for epoch in range(3)]
    first.save(tmp_path)
    second.load(tmp_path)
    assert [*half, *(second.epoch(epoch, 7, splits) for epoch in range(3, 6))] == metrics
    assert second.best == whole.best
    assert metrics[-1]["val.accuracy"] > 0.9
    assert Learner(model, seed=2).epoch(0, 7, splits) != metrics[0]


def test_ctrl_c_during_a_fit_stops_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLPClassifier alone would end the fit with a warning and return as usual."""
    learner = Learner(Model(type="mlp", learning_rate=0.01, alpha=0.0001), seed=1)
    backprop, numbers = MLPClassifier._backprop, np.random.default_rng(0)

    def interrupted(*arguments: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return backprop(*arguments)

    monkeypatch.setattr(MLPClassifier, "_backprop", interrupted)
    split = numbers.random((20, 64)), np.arange(20) % 10
    with pytest.raises(KeyboardInterrupt):
        learner.epoch(0, 10, {"train": split, "val": split})
