"""Sweeps on Ray, started by the sweep or as a cluster of two nodes, where one node has no access to the project."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
import yaml
from mlflow.entities import Run
from optuna.trial import TrialState

from accord.files import sha256_file
from accord.sweep.processes import MODULE
from accord.sweep.ray import file_sync
from tests.cluster.conftest import need, need_root, running
from tests.cluster.searches import PRUNED, SEARCH, assert_searched, comparable, study
from tests.ports import free_port
from tests.servers import Server

SWEEP = ("python", "-m", "seqmnist.sweep", "-m")
RAY = "hydra/launcher=ray"
EPOCHS = 150
SEARCHED = 6  # trials of a search
MANY = 100_000  # so many epochs that the training does not end within the test
STARTED = "Ray runtime started"
WAIT_SECONDS = 240.0  # other work may keep the cores busy
# The second node does not see the given folders; its TMPDIR and cache are in the first of them.
HIDDEN_NODE = """
set -e
for folder in "$HIDDEN" "$SESSIONS" "$SOURCE"; do mount -t tmpfs none "$folder"; done
mkdir "$HIDDEN/tmp"
export TMPDIR="$HIDDEN/tmp" XDG_CACHE_HOME="$HIDDEN/cache"
cd /
exec ray start --block --address="$ADDRESS" --node-ip-address=127.0.0.2 --num-cpus=1 --object-store-memory=100000000
"""


@dataclass(frozen=True)
class Cluster:
    """Running cluster with an MLflow server for its sweeps."""

    address: str
    token: str
    hidden: Path  # folder that the second node sees empty, and has its own folders in
    node: psutil.Process  # second node
    server: Server

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PYTHONPATH": "src",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "MLFLOW_TRACKING_URI": self.server.uri,
        }

    def seen_by_node(self, path: Path) -> Path:
        """Return the path by which this process reaches a path of the second node."""
        return Path(f"/proc/{self.node.pid}/root{path}")

    def sweep(self, project: Any, name: str, *overrides: str) -> Any:
        """Run a sweep into a folder."""
        return project.run(*self.command(name, *overrides), **self.environment)

    def command(self, name: str, *overrides: str) -> list[str]:
        address = f"hydra.launcher.ray.init.address={self.address}"
        return [*SWEEP, RAY, address, f"hydra.sweep.dir=sweeps/{name}", "cell=rnn", *overrides]

    def runs(self, name: str) -> tuple[Run, dict[str, Run]]:
        """Return the sweep's own run, and the runs of its trials by name."""
        runs = self.server.runs("seqmnist-sweeps")
        (parent,) = [run for run in runs if run.info.run_name == f"sweep {name}"]
        trials = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert len({run.info.run_name for run in trials}) == len(trials), "one run a trial"
        return parent, {str(run.info.run_name): run for run in trials}


def log_has(log: Path, text: str) -> Callable[[subprocess.Popen[bytes]], None]:
    """Return a function that waits until a server has logged a text."""

    def wait(process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while text not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until, log.read_text(encoding="utf-8")
            time.sleep(0.2)

    return wait


def source() -> Path:
    """Return the folder of the code installed in this environment, which the second node must not have."""
    command = [sys.executable, "-P", "-c", "import seqmnist; print(seqmnist.__path__[0])"]
    found = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()).parent


@pytest.fixture(scope="module")
def prepared(fresh: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a clone with the data that sweeps read, and no models. Tests copy it and do not change it."""
    project = fresh.copy(tmp_path_factory.mktemp("prepared") / "clone")
    project.succeed("dvc", "repro", "preprocess")
    return project


@pytest.fixture
def project(prepared: Any, tmp_path: Path) -> Any:
    """Return a copy of the prepared clone, for one test to change."""
    project = prepared.copy(tmp_path / "clone")
    project.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")  # the user's own cache is not touched
    return project


@pytest.fixture(scope="module")
def cluster(prepared: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    need("unshare")
    need_root("a node's view of the files is made of mounts")
    folder, hidden = tmp_path_factory.mktemp("cluster"), tmp_path_factory.getbasetemp()
    token, port = secrets.token_hex(32), free_port()
    base = prepared.environment | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    base["XDG_CACHE_HOME"] = str(folder / "cache")
    base["RAY_worker_niceness"] = "0"  # Ray's default gives trials a low priority
    sessions = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket's path has to be short
    head = ["ray", "start", "--head", "--block", f"--port={port}", "--num-cpus=1", "--include-dashboard=false"]
    head += ["--object-store-memory=100000000", f"--temp-dir={sessions}"]
    server = Server(folder)
    try:
        with running(head, folder / "head", log_has(folder / "head", STARTED), base, Path("/")):
            (address,) = re.findall(r"ray start --address='(\S+)'", (folder / "head").read_text())
            places = {"HIDDEN": str(hidden), "SESSIONS": str(sessions), "SOURCE": str(source()), "ADDRESS": address}
            node = ["unshare", "--mount", "sh", "-c", HIDDEN_NODE]
            log = folder / "node"
            with running(node, log, log_has(log, STARTED), base | places, Path("/")) as process:
                server.start()
                yield Cluster(address, token, hidden, psutil.Process(process.pid), server)
    finally:
        server.stop()
        for one in processes(str(sessions)):
            one.kill()
        shutil.rmtree(sessions)


def processes(word: str) -> list[psutil.Process]:
    """Return the processes that have a word in their command line."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(word in argument for argument in process.cmdline()):
                found.append(process)
    return found


def trials() -> list[psutil.Process]:
    """Return the processes of trials on Ray's nodes."""
    return [one for one in processes(MODULE) if "/accord-" in one.cmdline()[-2]]


def wait_for_epochs(sweep: Path, process: subprocess.Popen[str], count: int = 2) -> None:
    """Wait until the driver's folders of this many trials have received some epochs."""
    until = time.monotonic() + WAIT_SECONDS
    while len([log for log in sweep.glob("*/trial.log") if " 3/" in log.read_text()]) < count:
        assert time.monotonic() < until
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            pytest.fail(f"the sweep ended: {process.communicate()}")


def weights(sweep: Path) -> dict[str, str]:
    """Return the SHA-256 of the weights in a sweep's folder, by seed."""
    return {path.name: sha256_file(path) for path in sweep.glob("*/models/rnn/*.weights.h5")}


def node_folder(sweep: Path, number: int) -> str:
    """Return the folder in which Hydra ran a trial."""
    values = yaml.safe_load((sweep / str(number) / ".hydra/hydra.yaml").read_text())
    return str(values["hydra"]["runtime"]["output_dir"])


def local_runs(project: Any) -> list[Run]:
    """Return all runs of sweeps in the clone's own database."""
    client = mlflow.MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    experiment = client.get_experiment_by_name("seqmnist-sweeps")
    return list(client.search_runs([experiment.experiment_id]))


def assert_each_epoch_once(server: Server, runs: dict[str, Run], epochs: int) -> None:
    for name, run in runs.items():
        assert run.info.status == "FINISHED", name
        steps = server.steps(run)
        assert "val.accuracy" in steps
        assert {metric: list(range(epochs)) for metric in steps} == steps, name


@pytest.fixture(scope="module")
def swept(cluster: Cluster, prepared: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a clone after the same sweep of six trials on both nodes and by joblib. Tests only read it."""
    project = prepared.copy(tmp_path_factory.mktemp("swept") / "clone")
    result = cluster.sweep(project, "ray", "seed=range(0,6)")
    assert result.code == 0, result.output
    (project.root / "output.txt").write_text(result.output)
    project.succeed(*SWEEP, "cell=rnn", "seed=range(0,6)", "hydra.sweep.dir=sweeps/joblib", PYTHONPATH="src")
    return project


@pytest.fixture(scope="module")
def searched(cluster: Cluster, prepared: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a clone after a search on both nodes. Tests only read it."""
    project = prepared.copy(tmp_path_factory.mktemp("searched") / "clone")
    result = cluster.sweep(project, "search", *SEARCH, f"hydra.sweeper.n_trials={SEARCHED}", "hydra.sweeper.workers=2")
    assert result.code == 0, result.output
    (project.root / "output.txt").write_text(result.output)
    return project


def assert_search_is_whole(cluster: Cluster, sweep: Path) -> None:
    parent, runs = cluster.runs(sweep.name)
    steps = cluster.server.steps
    assert_searched(sweep, SEARCHED, parent, [*runs.values()], lambda run: steps(run)["val.accuracy"])


def test_the_second_node_sees_nothing_of_the_project(cluster: Cluster, swept: Any) -> None:
    assert swept.root.is_relative_to(cluster.hidden)
    assert not cluster.seen_by_node(swept.root).exists()
    assert not [*cluster.seen_by_node(source()).iterdir()]


def test_trials_on_both_nodes_have_the_same_weights_as_joblibs(cluster: Cluster, swept: Any) -> None:
    sweep = swept.root / "sweeps/ray"
    is_hidden = [node_folder(sweep, number).startswith(str(cluster.hidden)) for number in range(6)]
    assert set(is_hidden) == {True, False}
    assert len(weights(sweep)) == 6
    assert weights(sweep) == weights(swept.root / "sweeps/joblib")
    assert not [*cluster.seen_by_node(cluster.hidden / "tmp").iterdir()], "nothing is left there"


def test_the_nodes_cache_names_the_data_by_their_digest(cluster: Cluster, swept: Any) -> None:
    processed = swept.root / "data/processed"
    files = file_sync.pack(processed, file_sync.stamps(processed))
    (cached,) = cluster.seen_by_node(cluster.hidden / "cache/accord/inputs").iterdir()
    assert cached.name == file_sync.digest(files)
    assert file_sync.pack(cached, file_sync.stamps(cached)) == files


def test_trials_are_below_their_sweep_in_mlflow(cluster: Cluster, swept: Any) -> None:
    parent, runs = cluster.runs("ray")
    assert parent.info.status == "FINISHED"
    assert sorted(runs) == [f"rnn seed={seed}" for seed in range(6)]
    assert_each_epoch_once(cluster.server, runs, 2)
    commit = swept.succeed("git", "rev-parse", "HEAD").output.strip()
    assert {run.data.tags["git.commit"] for run in runs.values()} == {commit}
    assert all(run.outputs.model_outputs for run in runs.values())


def test_the_terminal_shows_a_line_a_trial_and_the_table(swept: Any) -> None:
    lines = [line for line in (swept.root / "output.txt").read_text().splitlines() if " at: http" not in line]
    first, *shown = lines
    assert first.startswith("sweep ray: the trials are in sweeps/ray")
    assert sorted(line[:1] for line in shown[:6]) == ["#"] * 6
    assert shown[6].startswith("trial ")
    assert len(shown) == 13


def test_resume_and_promote_find_the_results(cluster: Cluster, swept: Any) -> None:
    made = {path: path.stat().st_mtime_ns for path in swept.root.glob("sweeps/ray/*/models/rnn/*")}
    resumed = swept.succeed("python", "-m", "seqmnist", "resume", "sweeps/ray", **cluster.environment)
    assert len(re.findall(r"^#\d rnn seed=\d: validation accuracy", resumed.output, re.MULTILINE)) == 6
    assert weights(swept.root / "sweeps/ray") == weights(swept.root / "sweeps/joblib")
    assert len(made) == len([*swept.root.glob("sweeps/ray/*/models/rnn/*")])
    assert {path: path.stat().st_mtime_ns for path in made} == made, "nothing was trained again"
    promoted = swept.succeed("python", "-m", "seqmnist", "promote", "sweeps/ray", **cluster.environment)
    assert "dvc exp run -S experiment=" in promoted.output


def test_a_trial_whose_worker_is_killed_ends_once(cluster: Cluster, project: Any) -> None:
    sweep = project.root / "sweeps/killed"
    with project.start(*cluster.command("killed", "seed=1,2", f"train.epochs={EPOCHS}"), **cluster.environment) as one:
        wait_for_epochs(sweep, one)
        victim = next(trial for trial in trials() if str(cluster.hidden) in trial.cmdline()[-2])
        number = Path(victim.cmdline()[-2]).name
        psutil.Process(int(victim.cmdline()[-1])).kill()
        output, _ = one.communicate()

    assert one.returncode == 0, output
    assert f"#{number}: its worker is gone, and another one resumes it" in output
    assert "resuming at epoch" in (sweep / number / "trial.log").read_text()
    parent, runs = cluster.runs("killed")
    assert parent.info.status == "FINISHED"
    assert len(runs) == 2
    assert_each_epoch_once(cluster.server, runs, EPOCHS)
    local = (*SWEEP, "cell=rnn", "seed=1,2", f"train.epochs={EPOCHS}", "hydra.sweep.dir=sweeps/whole")
    project.succeed(*local, PYTHONPATH="src")
    assert weights(sweep) == weights(project.root / "sweeps/whole"), "it is as if nothing had been killed"


def test_ctrl_c_ends_the_trials_on_all_nodes(cluster: Cluster, project: Any) -> None:
    sweep = project.root / "sweeps/stopped"
    with project.start(*cluster.command("stopped", "seed=1,2,3", f"train.epochs={MANY}"), **cluster.environment) as one:
        wait_for_epochs(sweep, one)
        one.send_signal(signal.SIGINT)
        output, _ = one.communicate()

    assert one.returncode == 130, output
    assert "Traceback" not in output
    assert "sweep stopped: stopped; `seqmnist resume sweeps/stopped` runs what is missing" in output
    assert not trials()
    parent, runs = cluster.runs("stopped")
    assert parent.info.status == "KILLED"
    assert [run.info.status for run in runs.values()] == ["KILLED"] * 2
    assert len([*sweep.glob("*/checkpoints/*/*/after-*")]) == 4, "both can go on"


def test_trials_end_with_a_killed_driver_and_can_be_resumed(cluster: Cluster, project: Any) -> None:
    sweep = project.root / "sweeps/left"
    with project.start(*cluster.command("left", "seed=1,2", f"train.epochs={EPOCHS}"), **cluster.environment) as one:
        wait_for_epochs(sweep, one)
        left = trials()
        assert len(left) == 2
        one.kill()
        one.communicate()
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive

    project.succeed("python", "-m", "seqmnist", "resume", "sweeps/left", **cluster.environment)

    parent, runs = cluster.runs("left")
    assert parent.info.status == "FINISHED"
    assert len(runs) == 2
    assert_each_epoch_once(cluster.server, runs, EPOCHS)
    assert all("resuming at epoch" in log.read_text() for log in sweep.glob("*/trial.log"))


def test_a_search_prunes_running_trials_on_both_nodes(cluster: Cluster, searched: Any) -> None:
    sweep = searched.root / "sweeps/search"
    assert_search_is_whole(cluster, sweep)
    folders = [Path(node_folder(sweep, number)).parent for number in PRUNED]
    assert {folder.is_relative_to(cluster.hidden) for folder in folders} == {True, False}
    assert not [folder for folder in folders if cluster.seen_by_node(folder).exists()], "nothing is left on a node"
    output = (searched.root / "output.txt").read_text()
    assert len(re.findall(r"^#\d rnn lr=\S+: pruned at epoch \d+$", output, re.MULTILINE)) == len(PRUNED)
    assert "Traceback" not in output


def test_a_search_whose_driver_is_killed_goes_on_as_if_it_had_not_been(
    cluster: Cluster, searched: Any, project: Any
) -> None:
    sweep = project.root / "sweeps/cut"
    command = cluster.command("cut", *SEARCH, f"hydra.sweeper.n_trials={SEARCHED}")  # two workers: what `auto` is here
    with project.start(*command, **cluster.environment) as one:
        wait_for_epochs(sweep, one, 4)
        left = trials()
        one.kill()
        one.communicate()
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive
    assert [trial.state for trial in study(sweep)] == [TrialState.COMPLETE] * 2 + [TrialState.RUNNING] * 2

    project.succeed("python", "-m", "seqmnist", "resume", "sweeps/cut", **cluster.environment)

    assert_search_is_whole(cluster, sweep)
    assert [*map(comparable, study(sweep))] == [*map(comparable, study(searched.root / "sweeps/search"))]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RAY_AUTH_TOKEN": "another"}, "no token or a wrong one: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or"),
        ({"RAY_AUTH_TOKEN": "", "HOME": "/nowhere"}, "no token or a wrong one"),
        ({"RAY_AUTH_TOKEN": "", "RAY_AUTH_MODE": "disabled"}, "no token or a wrong one"),
        ({"MLFLOW_TRACKING_URI": ""}, "the Ray cluster has 2 nodes, and the others can't reach sqlite on this machine"),
    ],
    ids=["another token", "no token", "no authentication", "a local database"],
)
def test_an_unusable_cluster_is_refused_in_one_line(
    cluster: Cluster, project: Any, environment: dict[str, str], message: str
) -> None:
    result = project.run(*cluster.command("refused", "seed=1,2"), **cluster.environment | environment)
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (project.root / "sweeps").exists()


def test_an_address_without_a_cluster_is_refused_at_once(project: Any) -> None:
    address = f"127.0.0.1:{free_port()}"
    result = project.run(*SWEEP, RAY, f"hydra.launcher.ray.init.address={address}", "seed=1,2", PYTHONPATH="src")
    assert result.code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"error: hydra.launcher.ray.init.address = {address}: no Ray cluster answers there")


def test_ctrl_c_in_a_terminal_reaches_rays_processes_too_and_ends_the_trials(project: Any) -> None:
    arguments = ["cell=rnn", "seed=1,2", f"train.epochs={MANY}", "hydra.sweep.dir=sweeps/stopped"]
    with project.start("setsid", *SWEEP, RAY, *arguments, PYTHONPATH="src") as one:
        wait_for_epochs(project.root / "sweeps/stopped", one)
        os.killpg(one.pid, signal.SIGINT)
        output, _ = one.communicate()

    assert one.returncode == 130, output
    assert "Traceback" not in output
    assert "sweep stopped: stopped; `seqmnist resume sweeps/stopped` runs what is missing" in output
    assert {run.info.status for run in local_runs(project)} == {"KILLED"}
    assert len(local_runs(project)) == 3
    assert not trials()


def test_ray_on_this_machine_alone_needs_no_server(project: Any) -> None:
    for name, launcher in [("ray", RAY), ("joblib", "hydra/launcher=joblib")]:
        command = (*SWEEP, launcher, "cell=rnn", "seed=1,2", f"hydra.sweep.dir=sweeps/{name}")
        output = project.succeed(*command, PYTHONPATH="src").output
        assert len(re.findall(r"^#\d rnn seed=\d: validation accuracy", output, re.MULTILINE)) == 2
    assert weights(project.root / "sweeps/ray") == weights(project.root / "sweeps/joblib")
    assert [run.info.status for run in local_runs(project)] == ["FINISHED"] * 6
