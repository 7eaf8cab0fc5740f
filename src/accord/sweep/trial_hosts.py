"""Hosts of trials: the driver's machine, where trials run in the sweep's folder, or a node of a Ray cluster."""

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from accord.project import find_project
from accord.sweep import cores
from accord.sweep.launchers import RAY, is_of
from accord.sweep.processes import DRIVER, driver_lives, is_worker, wait_for_trials
from accord.sweep.ray import file_sync
from accord.sweep.ray.cluster import NAME
from accord.sweep.ray.file_sync import Change

if TYPE_CHECKING:
    from accord.sweep.ray.file_exchange import Supplies


class TrialHost:
    """Driver's machine as the host of a trial, which runs in the sweep's folder or without a sweep."""

    def __init__(self, sweep: str | None, data: Path, threads: int) -> None:
        """Describe the host.

        Args:
            sweep: Absolute path of the sweep's folder on the driver's machine; None without a sweep.
            data: Folder of the inputs on this machine.
            threads: Number of threads of the trial.
        """
        self.sweep, self.data, self.threads = sweep, str(data.resolve()), threads

    def is_wanted(self) -> bool:
        """Return whether the trial shall go on, which is while the driver lives; called once a second."""
        return not is_worker() or driver_lives()

    def tell(self, line: str) -> None:
        """Print how the trial ended."""
        if not self.is_wanted():
            os._exit(1)  # the driver is gone, and joblib would keep this process for minutes
        print(line, flush=True)


class RayNode(TrialHost):
    """Node of a Ray cluster as the host of a trial, which exchanges all its files with the driver.

    The driver's own machine is such a node, too.
    """

    def __init__(self, folder: Path, number: int, exchange: Any, supplies: "Supplies", launcher: DictConfig) -> None:
        """Write the supplies of a trial into its folder on this node.

        Args:
            folder: Folder of the trial on this node.
            number: Number of the trial.
            exchange: Handle of the actor `FileExchange` on the driver's machine.
            supplies: Inputs and settings that the trial starts with.
            launcher: Configuration of the launcher.
        """
        self._folder, self._number, self._attempt, self._exchange = folder, number, supplies.attempt, exchange
        _set_environment(supplies.environment)
        supplies.request.write(folder.parent)
        for path in folder.iterdir():  # files of an earlier attempt on this node
            if path.name != file_sync.HYDRA:  # Hydra has just written this one
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        file_sync.unpack(folder, Change(supplies.files, []))
        self._sent = {name: stamp for name, stamp in file_sync.stamps(folder).items() if name in supplies.files}
        threads = cores.of_trial(launcher)  # needs the project, which the environment names
        super().__init__(supplies.sweep, _inputs(supplies), threads)

    def is_wanted(self) -> bool:
        """Send changed files, take the search's decision, and return whether the trial shall go on.

        It shall not when the exchange has ended, since that ends with the driver.
        """
        import ray

        now = file_sync.stamps(self._folder)
        change = file_sync.changed(self._folder, self._sent, now)
        try:
            is_wanted, pruning = _answer(self._exchange.take.remote(self._number, self._attempt, change))
        except ray.exceptions.RayActorError:
            return False
        file_sync.unpack(self._folder, Change(pruning, []))
        self._sent = now
        return bool(is_wanted)

    def tell(self, line: str) -> None:
        """Send the last changes, have the driver print the line, and remove the files from this node."""
        self.is_wanted()
        _answer(self._exchange.end.remote(self._number, self._attempt, line))
        shutil.rmtree(self._folder.parent)


def host_of(folder: Path, number: int | None, launcher: DictConfig) -> TrialHost | None:
    """Prepare the host of a trial.

    Args:
        folder: Folder of the trial.
        number: Number of the trial; None for one without a sweep.
        launcher: Configuration of the launcher.

    Returns:
        The host; None if the sweep is being stopped and the trial shall not start.

    Raises:
        UserError: An earlier attempt of the trial still runs on this node of Ray.
    """
    if number is not None and is_of(launcher, RAY):
        return _node(folder, number, launcher)
    if is_worker():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the driver ends the trials
    inputs = Path(find_project().inputs)
    if number is None:
        return TrialHost(None, inputs, cores.of_trial({}))
    return TrialHost(str(folder.parent.resolve()), inputs, cores.of_trial(launcher))


def _node(folder: Path, number: int, launcher: DictConfig) -> RayNode | None:
    import ray

    wait_for_trials(folder.resolve())  # an earlier attempt may still run if its worker was killed
    exchange = ray.get_actor(NAME.format(job=ray.get_runtime_context().get_job_id()))
    supplies = _answer(exchange.begin.remote(number))
    if supplies is None:  # the sweep is being stopped
        shutil.rmtree(folder.parent)  # Hydra has made it before the trial starts
        return None
    return RayNode(folder, number, exchange, supplies, launcher)


def _answer(reference: Any) -> Any:
    """Wait for the value of an ObjectRef. `ray.get` would release this task's core, so that another trial starts."""
    return reference.future().result()


def _set_environment(variables: dict[str, str]) -> None:
    """Make this worker, which serves only this sweep, and its trials use the driver's store and project."""
    for name in [*os.environ]:
        if name.startswith("MLFLOW_") or name == DRIVER:  # inherited where the driver started Ray
            del os.environ[name]
    os.environ.update(variables)


def _inputs(supplies: "Supplies") -> Path:
    """Return the folder of the inputs in the user's cache, named by digest; fetch them if missing or damaged."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "accord" / "inputs" / supplies.digest
    if file_sync.digest(file_sync.pack(folder, sorted(file_sync.stamps(folder)))) != supplies.digest:
        file_sync.unpack(folder, Change(_answer(supplies.inputs[0]), []))
    return folder
