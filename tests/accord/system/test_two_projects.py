"""Two DVC projects in folders of one git repository: shared experiments, separate queues and runs."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mlflow_store import runs
from tests.projects import Project

pytestmark = pytest.mark.slow

RECIPE = "conf/train/default.yaml"


@dataclass(frozen=True)
class Pair:
    """Git repository with two projects that are copies of one."""

    repository: Project
    first: Project
    second: Project

    def copy(self, target: Path) -> "Pair":
        return pair(self.repository.copy(target))

    def changed(self) -> list[str]:
        """Return the files that differ from git's."""
        return self.repository.succeed("git", "diff", "--name-only").output.split()


def pair(repository: Project) -> Pair:
    return Pair(repository, *(Project(repository.root, below) for below in ("first", "second")))


def experiment(project: Project, name: str, alpha: float, *options: str) -> None:
    """Run or queue an experiment."""
    project.succeed("dvc", "exp", "run", *options, "--name", name, "-S", f"models.sgd.alpha={alpha}")


def listed(project: Project) -> set[str]:
    """Return the names of the experiments that DVC lists."""
    return set(project.succeed("dvc", "exp", "list", "--name-only").output.split()) - {"master:", "main:"}


@pytest.fixture(scope="module")
def ready(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return two projects in which nothing has changed. Tests copy them."""
    repository = Project(tmp_path_factory.mktemp("two") / "clone")
    two = pair(repository)
    for one in (two.first, two.second):
        shutil.copytree(reproduced.copy(tmp_path_factory.mktemp("one") / "clone").root, one.root, symlinks=True)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Start"]):
        repository.succeed("git", *command)
    return two


@pytest.fixture(scope="module")
def two(ready: Pair, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Return two projects after two experiments of the first, one in its workspace and one in a separate tree.

    Before the second experiment a file of the second project is edited. Tests that change anything copy it.
    """
    two = ready.copy(tmp_path_factory.mktemp("experiments") / "clone")
    experiment(two.first, "here", 0.002)
    two.repository.succeed("git", "checkout", "--quiet", ".")
    two.first.succeed("dvc", "checkout")
    two.second.edit(RECIPE, "epochs: 3", "epochs: 2")
    experiment(two.first, "apart", 0.003, "--temp")
    return two


def test_each_lists_the_experiments_of_both_with_its_own_values(two: Pair) -> None:
    assert listed(two.first) == listed(two.second) == {"here", "apart"}
    for project, alpha in ((two.first, 0.002), (two.second, 0.0001)):
        table = json.loads(project.succeed("dvc", "exp", "show", "--json").output)
        (baseline,) = [row for row in table if row["rev"] != "workspace"]
        shown = {one["name"]: one["revs"][0]["data"]["params"] for one in baseline["experiments"]}
        assert {"here", "apart"} <= set(shown)
        (params,) = shown["here"].values()
        assert params["data"]["models"]["sgd"]["alpha"] == alpha


def test_each_project_has_its_own_queue(ready: Pair, tmp_path: Path) -> None:
    copied = ready.copy(tmp_path / "clone")
    experiment(copied.first, "waiting", 0.004, "--queue")
    experiment(copied.second, "other", 0.005, "--queue")
    for one, own, foreign in ((copied.first, "waiting", "other"), (copied.second, "other", "waiting")):
        status = one.succeed("dvc", "queue", "status").output
        assert own in status
        assert foreign not in status

    assert "Removed tasks in queue: other" in copied.second.succeed("dvc", "queue", "remove", "--all").output
    copied.first.succeed("dvc", "exp", "run", "--run-all")

    assert listed(copied.second) == {"waiting"}
    found = runs(copied.first, "digits", "tags.`dvc.experiment` = 'waiting'")
    assert {"train@sgd", "evaluate"} <= {run.info.run_name for run in found}
    assert not (copied.second.root / "mlflow.db").exists()


def test_runs_of_mlflow_are_in_the_store_of_their_project(two: Pair) -> None:
    for name, alpha in (("here", "0.002"), ("apart", "0.003")):
        found = {one.info.run_name: one for one in runs(two.first, "digits", f"tags.`dvc.experiment` = '{name}'")}
        assert found["train@sgd"].data.params["model.alpha"] == alpha
    assert not (two.second.root / "mlflow.db").exists()
    assert not (two.repository.root / "mlflow.db").exists()


def test_an_experiment_has_the_edits_of_the_other_project_too(two: Pair) -> None:
    for name, others in (("here", []), ("apart", [f"second/{RECIPE}"])):
        ref = two.repository.succeed("git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").output
        changed = two.repository.succeed("git", "diff", "--name-only", "HEAD", ref.strip()).output.split()
        assert changed == ["first/dvc.lock", "first/params.yaml", *others]
    assert two.changed() == [f"second/{RECIPE}"], "the edit is where it was"


def test_apply_in_one_writes_the_files_of_both(two: Pair, tmp_path: Path) -> None:
    copied = two.copy(tmp_path / "clone")
    copied.first.edit(RECIPE, "epochs: 3", "epochs: 4")
    own = copied.second.output_hashes()

    copied.second.succeed("dvc", "exp", "apply", "here")

    assert copied.changed() == ["first/dvc.lock", "first/params.yaml"], "edits of both projects are gone"
    kept = copied.repository.succeed("git", "show", f"refs/exps/apply/stash:first/{RECIPE}").output
    assert "epochs: 4\n" in kept, "git has them"
    assert "alpha: 0.002" in (copied.first.root / "params.yaml").read_text()
    assert copied.second.output_hashes() == own
    assert "up to date" in copied.second.succeed("dvc", "status").output
    assert "models/sgd" in copied.first.succeed("dvc", "status").output, "its outputs are not those of dvc.lock"
    copied.first.succeed("dvc", "checkout")
    assert "up to date" in copied.first.succeed("dvc", "status").output


def test_experiment_names_are_shared_and_removed_from_both(two: Pair, tmp_path: Path) -> None:
    copied = two.copy(tmp_path / "clone")
    taken = copied.second.run("dvc", "exp", "run", "--name", "here", "-S", "models.sgd.alpha=0.005")
    assert taken.code != 0
    assert "conflicts with existing experiment 'here'" in taken.output
    copied.repository.succeed("git", "checkout", "--quiet", ".")

    copied.second.succeed("dvc", "exp", "remove", "here")

    assert listed(copied.first) == {"apart"}
    assert copied.changed() == []


def test_each_runs_its_own_experiments_in_separate_trees(ready: Pair, tmp_path: Path) -> None:
    """Run them one after the other: in parallel, DVC may confuse the two projects' experiments."""
    copied = ready.copy(tmp_path / "clone")
    for one, name in ((copied.first, "left"), (copied.second, "right")):
        experiment(one, name, 0.006, "--temp")
        assert {run.data.tags["dvc.experiment"] for run in runs(one, "digits", "tags.stage = 'evaluate'")} == {name}
    assert listed(copied.first) == {"left", "right"}
    assert copied.changed() == []


def test_each_project_reproduces_and_checks_by_itself(ready: Pair, tmp_path: Path) -> None:
    copied = ready.copy(tmp_path / "clone")
    copied.second.edit("conf/model/sgd.yaml", "alpha: 0.0001", "alpha: 0.001")
    assert copied.second.succeed("dvc", "repro").stages_run == ["compose", "train@sgd", "evaluate"]
    assert copied.first.succeed("dvc", "repro").stages_run == []
    for one in (copied.first, copied.second):
        checked = one.succeed("python", "-m", "digits", "check", PYTHONPATH="src")
        assert checked.output == "nothing is damaged\n"
    assert {path.split("/")[0] for path in copied.changed()} == {"second"}
