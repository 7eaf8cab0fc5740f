"""`seqmnist sync` in a subfolder of the repository logs the same models and data sets as at the root."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.mlflow_store import LOOK
from tests.projects import Project

pytestmark = pytest.mark.slow


def test_sync_in_a_subfolder_logs_models_and_data_sets_as_at_the_root(project: Project) -> None:
    below = Project(project.root, "docs/figures")
    synced = below.succeed("python", "-m", "seqmnist", "sync", PYTHONPATH="../../src").output
    assert "MLflow did not have it" in synced

    models, sources = json.loads(project.succeed("python", "-c", LOOK).output.splitlines()[-1])
    assert len(models) == 2
    for metrics in models:
        assert max(Counter(name for name, _, _ in metrics).values()) == 1
        figures = {name: value for name, value, _ in metrics}
        assert {step for _, _, step in metrics} == {figures["selected.epoch"]}
        for name in ("val.accuracy", "test.accuracy", "test.loss"):
            assert figures[name] == figures[f"selected.{name}"]
        assert not any(name.startswith("last.") for name in figures)
    for name, folder in sources.items():
        assert folder == str(project.root / ("data/processed" if "." in name else "data/raw"))
        assert any(Path(folder).iterdir())
