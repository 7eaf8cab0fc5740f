"""Checks of the values that DVC itself composes for an experiment, before DVC writes anything."""

import os
import shutil
from pathlib import Path

import pytest

from tests.projects import Project

pytestmark = pytest.mark.slow

TOKEN = "xK9-a-long-token"  # secret value of a variable, which must appear nowhere


def state(project: Project) -> tuple[str, str, str]:
    """Return the state of the workspace, of git and DVC's queue, and of the working tree's text."""
    status = project.succeed("git", "status", "--porcelain").output
    kept = project.succeed("git", "for-each-ref", "refs/exps/[!e]*", "refs/stash").output
    return status, kept, (project.root / "params.yaml").read_text()


def refused(project: Project, *arguments: str, cwd: str = ".", **environment: str) -> str:
    """Return the one line by which `dvc exp run` refuses; assert that no stage ran and nothing was written."""
    before = state(project)
    result = Project(project.root / cwd).run("dvc", "exp", "run", *arguments, TOKEN=TOKEN, **environment)
    assert result.code != 0
    assert result.stages_run == []
    (line,) = map(str, result.output.splitlines())
    assert line.startswith("ERROR: ")
    assert TOKEN not in line
    assert state(project) == before
    for name in ("params.yaml", "conf/tracking/team.yaml", "conf/tracking/local.yaml"):
        assert TOKEN not in (project.root / name).read_text()
    return line


@pytest.fixture(scope="module")
def team(fresh: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with an option that reads an environment variable. Refused commands do not change it."""
    project = fresh.copy(tmp_path_factory.mktemp("team") / "clone")
    (project.root / "conf/tracking/team.yaml").write_text("uri: ${oc.env:TOKEN}\nexperiment: ours\n")
    project.succeed("git", "add", "--all")
    project.succeed("git", "commit", "--quiet", "--message", "Add the team's server")
    return project


@pytest.mark.parametrize(
    "arguments",
    [
        ["-S", "tracking=team"],
        ["-S", "tracking=team", "--name", "mine"],
        ["--queue", "-S", "tracking.experiment=a-${oc.env:TOKEN}", "-S", "train.epochs=1,2"],
        ["--temp", "-S", "tracking.uri=${oc.env:TOKEN,/tmp}"],
        ["--dry", "-S", "models.mlp.type=${tracking.uri}", "-S", "tracking=team"],
    ],
    ids=["option", "named", "queued grid", "temporary", "dry"],
)
def test_the_environment_does_not_get_into_an_experiment(team: Project, arguments: list[str]) -> None:
    line = refused(team, *arguments)
    assert "the environment's TOKEN can't be part of the configuration" in line
    assert "MLFLOW_TRACKING_URI" in line


@pytest.mark.parametrize(
    ("value", "expected", "option"),
    [
        ("tracking.uri=https://ann:secret@host", "tracking.uri: the address has a password", "--set-param="),
        (
            "tracking.experiment=${now:%H}",
            "tracking.experiment: ${now:%H} gives another value on each run",
            "--set-param=",
        ),
        ("train.batch_size=0", "train.batch_size = 0 is impossible", "--set-param="),
        ("train.epoch=3", "train.epoch", "--set-param="),
        ("params.yaml:train.epochs=0", "train.epochs = 0 is impossible", "--set-param="),
        (
            "+model@models.wide=mlp",
            "conf/config.yaml has the models sgd, mlp, wide, dvc.yaml trains sgd, mlp",
            "--set-param=",
        ),
        ("+hydra.launcher.n_jobs=3", "hydra.launcher.n_jobs = 3 has no effect on the pipeline", "--set-param="),
        ("conf/train/default.yaml:epochs=${oc.env:TOKEN}", "edit conf/train/default.yaml itself", "--set-param="),
        ("conf/tracking/team.yaml:experiment=theirs", "edit conf/tracking/team.yaml itself", "--set-param="),
        ("conf/tracking/team.yaml:experiment=theirs", "edit conf/tracking/team.yaml itself", "--set-para="),
    ],
)
def test_an_experiment_that_is_refused_leaves_no_edit(team: Project, value: str, expected: str, option: str) -> None:
    line = refused(team, f"{option}{value}")
    assert expected in line
    assert "secret" not in line


def test_from_a_subdirectory_params_are_not_written_there(team: Project) -> None:
    assert f"run it in the repository's root {team.root}" in refused(team, "-S", "train.epochs=1", cwd="conf")


def test_an_experiment_is_refused_at_gits_root_too(team: Project, tmp_path: Path) -> None:
    project = Project(Path(shutil.copytree(team.root, tmp_path / "alone", symlinks=True)))
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "Start"]):
        project.succeed("git", *command)
    assert "the environment's TOKEN can't be part" in refused(project, "-S", "tracking=team")
    assert "edit conf/tracking/team.yaml itself" in refused(project, "-S", "conf/tracking/team.yaml:experiment=theirs")
    assert "run it in the repository's root" in refused(project, "-S", "train.epochs=1", cwd="conf")


def test_the_check_uses_the_code_of_this_tree_not_the_installed_one(team: Project, tmp_path: Path) -> None:
    project = team.copy(tmp_path / "clone")
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "__init__.py").write_text("raise SystemExit('another tree')\n")
    elsewhere = os.pathsep.join([str(tmp_path), "src"])
    assert "the environment's TOKEN can't be part" in refused(project, "-S", "tracking=team", PYTHONPATH=elsewhere)
    project.edit("src/digits/config.py", "    epochs: Count\n", "    epochs: Annotated[int, Field(ge=7)]\n")
    assert "train.epochs = 6 is impossible" in refused(project, "-S", "train.epochs=6")


def test_dvc_runs_no_experiment_if_it_cannot_check(team: Project, tmp_path: Path) -> None:
    (tmp_path / "pydantic.py").write_text("raise ImportError('no pydantic')\n")
    assert "no pydantic: this `dvc` lacks packages of the project" in refused(team, PYTHONPATH=str(tmp_path))


def test_other_commands_of_dvc_do_not_import_the_check(unrun: Project) -> None:
    for plugin in (unrun.root / "src/dvc_plugins/hydra_plugins").glob("*.py"):
        plugin.write_text("raise SystemExit('read')\n")
    for command in (["repro", "--dry", "compose"], ["status", "--no-updates"], ["params", "diff"]):
        unrun.succeed("dvc", *command)
    assert unrun.run("dvc", "exp", "run", "--dry").output.splitlines()[-1] == "read"


@pytest.mark.parametrize("place", ["tracking.experiment", "conf/tracking/local.yaml:experiment"])
def test_without_hydra_an_interpolation_is_told_with_what_takes_it_back(
    team: Project, tmp_path: Path, place: str
) -> None:
    project = team.copy(tmp_path / "clone")
    value, file = f"{place}=${{oc.env:TOKEN}}", place.rpartition(":")[0] or "params.yaml"
    result = project.run("dvc", "exp", "run", "--no-hydra", "-S", value, "compose", TOKEN=TOKEN)
    assert result.code != 0
    (line,) = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {value}: DVC has written its value to {file}")
    assert TOKEN in (project.root / file).read_text()
    assert f"`git checkout {file}`" in line
    project.succeed("git", "checkout", "--quiet", file)
    assert state(project) == state(team)
