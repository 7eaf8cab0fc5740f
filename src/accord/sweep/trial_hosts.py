"""Hosts of trials: the driver's machine, where they run in the sweep's own folder, or a node of Ray."""

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
    """The driver's machine, where a trial runs in the sweep's own folder or on its own."""

    def __init__(self, sweep: str | None, data: Path, threads: int) -> None:
        """Name the sweep's folder on the driver's machine, absolute, if there is one, the inputs here, and threads."""
        self.sweep, self.data, self.threads = sweep, str(data.resolve()), threads

    def is_wanted(self) -> bool:
        """Return whether the trial shall go on: whether the driver is still there. It is asked each second."""
        return not is_worker() or driver_lives()

    def tell(self, line: str) -> None:
        """Tell the user how the trial ended."""
        if not self.is_wanted():
            os._exit(1)  # nobody hears of the result; joblib would keep this process for minutes
        print(line, flush=True)


class RayNode(TrialHost):
    """A node of a Ray cluster, also the driver's own: all that a trial needs is exchanged with the driver."""

    def __init__(self, folder: Path, number: int, exchange: Any, supplies: "Supplies", launcher: DictConfig) -> None:
        """Bring into the trial's folder here what it starts with; the exchange is an actor on the driver's machine."""
        self._folder, self._number, self._attempt, self._exchange = folder, number, supplies.attempt, exchange
        _set_environment(supplies.environment)
        supplies.request.write(folder.parent)
        for path in folder.iterdir():  # an earlier attempt left it
            if path.name != file_sync.HYDRA:  # Hydra has just written it
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        file_sync.unpack(folder, Change(supplies.files, []))
        self._sent = {name: stamp for name, stamp in file_sync.stamps(folder).items() if name in supplies.files}
        threads = cores.of_trial(launcher)  # only now is the project known here
        super().__init__(supplies.sweep, _inputs(supplies), threads)

    def is_wanted(self) -> bool:
        """Send what changed, take a search's decision, and return whether the trial shall go on.

        The exchange ends with the driver.
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
        """Send the rest and let the driver print the line; nothing is left here."""
        self.is_wanted()
        _answer(self._exchange.end.remote(self._number, self._attempt, line))
        shutil.rmtree(self._folder.parent)


def host_of(folder: Path, number: int | None, launcher: DictConfig) -> TrialHost | None:
    """Prepare the host of the trial in a folder and return it; None if the trial shall not start any more."""
    if number is not None and is_of(launcher, RAY):
        return _node(folder, number, launcher)
    if is_worker():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears Ctrl-C and ends the trials
    inputs = Path(find_project().inputs)
    if number is None:
        return TrialHost(None, inputs, cores.of_trial({}))
    return TrialHost(str(folder.parent.resolve()), inputs, cores.of_trial(launcher))


def _node(folder: Path, number: int, launcher: DictConfig) -> RayNode | None:
    import ray

    wait_for_trials(folder.resolve())  # of an earlier attempt, whose worker was killed
    exchange = ray.get_actor(NAME.format(job=ray.get_runtime_context().get_job_id()))
    supplies = _answer(exchange.begin.remote(number))
    if supplies is None:  # the sweep is being stopped
        shutil.rmtree(folder.parent)  # Hydra made it
        return None
    return RayNode(folder, number, exchange, supplies, launcher)


def _answer(reference: Any) -> Any:
    """Wait for what a reference stands for; `ray.get` would lend this trial's core to another one meanwhile."""
    return reference.future().result()


def _set_environment(variables: dict[str, str]) -> None:
    """Make this process, which serves this sweep alone, and its trials use the driver's store and project."""
    for name in [*os.environ]:
        if name.startswith("MLFLOW_") or name == DRIVER:  # Ray that the driver started has it from there
            del os.environ[name]
    os.environ.update(variables)


def _inputs(supplies: "Supplies") -> Path:
    """Return the folder of the inputs in this user's cache, by their digest; fetch what is missing or damaged."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "accord" / "inputs" / supplies.digest
    if file_sync.digest(file_sync.pack(folder, sorted(file_sync.stamps(folder)))) != supplies.digest:
        file_sync.unpack(folder, Change(_answer(supplies.inputs[0]), []))
    return folder
