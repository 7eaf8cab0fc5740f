"""The job that Hydra's launchers run for each trial: start the trial's process, wait for it and print its result.

Each trial has its own process, because a joblib worker that dies loses all jobs of the sweep. So a killed trial,
even one that used too much memory, ends no other trial. The job itself never raises; a failed trial is a result.
"""

import math
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from accord.compose import changes
from accord.errors import UserError
from accord.files import sha256_file, write_text
from accord.metric_names import in_words
from accord.paths import PARAMS
from accord.project import find_project
from accord.settings import Tracking, flatten, read_yaml
from accord.sweep.effect import replaced_value, values_of_search
from accord.sweep.folders import LOG, Pruning, Result, SweepRequest, TrialSettings
from accord.sweep.names import as_typed, trial_name
from accord.sweep.processes import MODULE
from accord.sweep.trial_hosts import TrialHost, host_of
from accord.variants import as_pipeline

if TYPE_CHECKING:
    from hydra.conf import HydraConf

    from accord.tracking.sweeps import Status

_WORST = 0.0  # returned for a failed trial, since every sweeper accepts a number
_POLL_SECONDS = 1.0  # poll interval of whether the trial shall go on
_PRUNED_LOOKS = 3  # polls after which a pruned trial is terminated within its epoch


def run_trial(config: DictConfig) -> float:
    """Train a composed trial, unless its folder has the result.

    Args:
        config: Composed configuration of the trial, without `hydra`.

    Returns:
        Best value of the project's metric; 0, the worst, if the trial failed or was pruned.

    Raises:
        SystemExit: A trial without a sweep did not finish.
    """
    hydra = HydraConfig.get()
    folder, number = Path(hydra.runtime.output_dir), hydra.job.get("num")  # type: ignore[attr-defined]  # a DictConfig
    host = host_of(folder, number, hydra.launcher)
    if host is None:
        return _WORST
    values: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    trial = _prepare(folder, values, hydra, host)
    result = Result.read(folder)
    if result is None or not result.is_over:
        searched = SweepRequest.read(folder.parent).searched if host.sweep else values_of_search(hydra)
        if error := replaced_value(values, as_typed(hydra.overrides.task), searched):
            result = _failed(folder, trial, "FAILED", error)
        else:
            result = _ended(folder, trial, _process(folder, trial, host))
        result.write(folder)
    elif not result.is_logged:
        _process(folder, trial, host)  # this time it only logs what MLflow lacks
        result = Result.read(folder) or result
    host.tell(_line(trial, result))
    if not (result.is_over or trial.sweep):
        sys.exit(1)
    return result.accuracy or _WORST


def _prepare(folder: Path, values: dict[str, Any], hydra: "HydraConf", host: TrialHost) -> TrialSettings:
    """Write the params.yaml and trial.json that the trial's process reads; return the settings in trial.json."""
    project = find_project()
    _write_params(folder / PARAMS, as_pipeline(values))
    constant = SweepRequest.read(folder.parent).overrides if host.sweep else ()
    name = trial_name(project.variant, flatten(values), as_typed(hydra.overrides.task), constant)
    number = hydra.job.get("num", 0)  # type: ignore[attr-defined]  # missing outside a sweep
    trial = TrialSettings(name, host.sweep, number, host.data, host.threads)
    trial.write(folder)
    return trial


def _write_params(path: Path, values: dict[str, Any]) -> None:
    """Write a trial's params.yaml, but keep a file with the same values: results and runs are found by its digest."""
    with suppress(UserError):  # a missing or broken file is written
        if not changes(read_yaml(path), values):
            return
    write_text(path, OmegaConf.to_yaml(OmegaConf.create(values)))


def _process(folder: Path, trial: TrialSettings, host: TrialHost) -> int:
    """Run the trial's process and return its exit code; terminate it when the host no longer wants it.

    A pruned trial ends itself after its epoch. An epoch can be long, so the process is terminated after a few polls.
    """
    command = [sys.executable, "-m", MODULE, str(folder), str(os.getpid())]
    looks = -math.inf if Pruning.read(folder) else 0  # pruned by an earlier command: never terminated for it
    with (folder / LOG).open("ab") as log:
        output = log if trial.sweep else None
        own = {"PYTHONIOENCODING": "utf-8"} if trial.sweep else {}  # the log is read as UTF-8
        # In a new session, Ctrl-C does not reach the trial: the driver ends trials the same way with every launcher.
        with subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | own, start_new_session=True
        ) as process:
            while True:
                try:
                    return process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    looks += Pruning.read(folder) is not None
                    if not host.is_wanted() or looks == _PRUNED_LOOKS:
                        process.terminate()


def _ended(folder: Path, trial: TrialSettings, code: int) -> Result:
    """Return the result that the trial's process wrote, or else one made from its exit code.

    The written result comes first, since the process can be killed after its work, while Python shuts down.
    """
    result = Result.read(folder)
    return result if result and result.is_over else _failed(folder, trial, *_failure(code, folder))


def _failed(folder: Path, trial: TrialSettings, status: "Status", error: str) -> Result:
    """Return the result of a trial that wrote none, and give its MLflow run the same status and error."""
    failed = Result(status, sha256_file(folder / PARAMS), error=error)
    if not trial.sweep:
        return failed
    from accord.tracking.connection import ServerAway, user_errors
    from accord.tracking.store import tracking_uri
    from accord.tracking.sweeps import Sweep

    tracking = Tracking.model_validate(SweepRequest.read(folder.parent).tracking)
    try:
        with user_errors(tracking_uri(tracking)):
            sweep = Sweep.configured(tracking, Path(trial.sweep))
            sweep.settle(trial.number, failed.config, trial.name, status, error)
    except ServerAway:  # the driver reports it at the end of the sweep
        return replace(failed, is_logged=False)
    return failed


def _failure(code: int, folder: Path) -> "tuple[Status, str]":
    """Return the status and error of a trial from its process's exit code and last line of output."""
    if code < 0:
        return "KILLED", f"killed by {signal.Signals(-code).name}"
    if code in {130, 143}:
        return "KILLED", "stopped"
    log = folder / LOG  # empty for a trial without a sweep, which prints to the terminal
    lines = log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []
    last = lines[-1] if lines else f"exit code {code}"
    return "FAILED", last.removeprefix("error: ")


def _line(trial: TrialSettings, result: Result) -> str:
    number = f"#{trial.number} " if trial.sweep else ""
    if not result.is_over:
        return f"{number}{trial.name}: {result.status}: {result.error}"
    if result.status == "PRUNED":
        return f"{number}{trial.name}: pruned at epoch {result.epoch}"
    lack = "" if result.is_logged else ", not all of it in MLflow"
    metric = in_words(find_project().metric)
    return f"{number}{trial.name}: {metric} {result.accuracy:.4f} (epoch {result.epoch}){lack}"
