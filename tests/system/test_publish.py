"""`python -m seqmnist.report.publish` runs an experiment and writes its results into docs, here without training."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.projects import ROOT, Project

pytestmark = pytest.mark.slow

CONFIG = "[core]\n    analytics = false\n[hydra]\n    enabled = true\n    config_dir = conf\n    config_name = config\n"
PIPELINE = """\
stages:
  evaluate:
    cmd: cp -r prepared reports
    deps: [prepared]
    params: [seeds, train]
    outs: [reports]
"""


class Team(Project):
    """A project in a subfolder of a git repository; its stage copies prepared reports instead of training."""

    def publish(self, *arguments: str) -> Any:
        return self.run("python", "-m", "seqmnist.report.publish", *arguments, PYTHONPATH=str(ROOT / "src"))

    def docs(self) -> dict[str, bytes]:
        paths = [self.root / "README.md", *self.root.glob("docs/**/*.*")]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths}

    def prepare(self, name: str) -> None:
        """Write reports from the metrics of an experiment in docs, with one figure that docs lack."""
        measured = json.loads((ROOT / f"docs/{name}.json").read_text())
        figures = self.root / "prepared/figures"
        figures.mkdir(parents=True, exist_ok=True)
        (figures / "new.png").write_bytes(b"a figure")
        (self.root / "prepared/metrics.json").write_text(json.dumps(measured["metrics"]))


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Team:
    root = tmp_path_factory.mktemp("mono") / "repository/teams/digits"
    shutil.copytree(ROOT / "conf", root / "conf")
    shutil.copytree(ROOT / "docs", root / "docs")
    for name in ("README.md", "params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for name, text in ((".dvc/config", CONFIG), (".dvc/.gitignore", "/tmp\n/cache\n"), ("dvc.yaml", PIPELINE)):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    (root / ".gitignore").write_text("/reports\n/mlflow.db*\n/mlartifacts\n")
    team = Team(root)
    team.environment["DVC_ROOT"] = str(
        root
    )  # else MLflow's database would be beside the code, which is in another repository
    team.prepare("evidence")
    team.succeed("git", "init", "--quiet", str(root.parents[1]))
    team.succeed("git", "add", "--all", ":/")
    team.succeed("git", "commit", "--quiet", "--message", "Start")
    team.succeed("git", "commit", "--quiet", "--allow-empty", "--message", "Go on")
    return team


def test_an_experiment_in_a_subfolder_is_published_there(team: Team) -> None:
    before = team.docs()

    result = team.publish("evidence")

    assert result.code == 0, result.output
    after = team.docs()
    assert [name for name in before if name not in after] == [name for name in before if "figures/evidence" in name]
    assert [name for name in after if name not in before] == ["docs/figures/evidence/new.png"]
    assert json.loads(after["docs/evidence.json"])["metrics"] == json.loads(before["docs/evidence.json"])["metrics"]
    assert b"MLflow has no times" in after["docs/speed.md"]
    assert "Running stage 'evaluate'" in result.output
    assert not (team.root / "reports").exists(), "the experiment changed the workspace"

    again = team.publish("evidence")
    assert again.code == 0, again.output
    assert "Stage 'evaluate' is cached - skipping run" in again.output, "the experiment ran again"
    assert team.docs() == after
    assert team.publish("evidence", "evidence").code == 0
    assert team.docs() == after


def test_results_of_another_configuration_are_refused_and_docs_are_left_alone(
    team: Team, request: pytest.FixtureRequest
) -> None:
    team.succeed("dvc", "exp", "run", "--temp", "--name", "other", "-S", "experiment=tuned")
    team.succeed("dvc", "exp", "run", "--temp", "--name", "less", "-S", "experiment=evidence", "-S", "seeds=[42]")
    team.edit("prepared/metrics.json", '"47": {', '"48": {')
    before = team.docs()
    request.addfinalizer(lambda: team.edit("prepared/metrics.json", '"48": {', '"47": {'))

    refused = {
        (
            "evidence",
            "other",
        ): r"commit \S{7} is not of conf with experiment=evidence: params.yaml: train.epochs",
        ("evidence", "less"): r"params.yaml: seeds \[42, 43, 44, 45, 46, 47\] -> \[42\]$",
        ("evidence", "HEAD"): r"params.yaml of commit|reports of commit \S{7} can't be read",
        ("evidence", "nothing"): "there is no such commit",
        ("evidence",): r"45, 46, 48\].* the experiment is of .*45, 46, 47\]",
    }
    for arguments, message in refused.items():
        result = team.publish(*arguments)
        (line,) = [line for line in result.output.splitlines() if line.startswith("error: ")]
        assert (result.code, bool(re.search(message, line))) == (1, True), result.output
        assert "Traceback" not in result.output
    assert team.docs() == before


def test_a_shallow_clone_is_refused_before_anything_runs(team: Team, tmp_path: Path) -> None:
    team.succeed("git", "clone", "--quiet", "--depth", "1", f"file://{team.root.parents[1]}", str(tmp_path / "clone"))
    clone = Team(tmp_path / "clone/teams/digits")
    before = clone.docs()

    result = clone.publish("evidence")

    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("error: ")
    assert "`git fetch --unshallow`" in line
    assert clone.docs() == before
