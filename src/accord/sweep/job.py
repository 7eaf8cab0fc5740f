"""One job of a sweep, as Hydra's launchers run it: start the trial's process, wait for it, print its result.

The trial has a process of its own so that whatever kills it, or its memory, takes no other trial with it: a worker of
joblib's that dies loses every job of the sweep. The job itself never raises; a failed trial is a result.
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

_WORST = 0.0  # sweepers of all kinds can deal with a number
_POLL_SECONDS = 1.0  # between looks at whether the trial shall go on
_PRUNED_LOOKS = 3  # at a trial that is pruned, until it must not wait for the end of its epoch any more


def run_trial(config: DictConfig) -> float:
    """Return the metric of a composed trial, trained unless its folder has the result; 0, the worst, if it failed."""
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
        _process(folder, trial, host)  # which sends what MLflow lacks
        result = Result.read(folder) or result
    host.tell(_line(trial, result))
    if not (result.is_over or trial.sweep):
        sys.exit(1)
    return result.accuracy or _WORST


def _prepare(folder: Path, values: dict[str, Any], hydra: "HydraConf", host: TrialHost) -> TrialSettings:
    """Write what the trial's process reads."""
    project = find_project()
    _write_params(folder / PARAMS, as_pipeline(values))
    constant = SweepRequest.read(folder.parent).overrides if host.sweep else ()
    name = trial_name(project.variant, flatten(values), as_typed(hydra.overrides.task), constant)
    number = hydra.job.get("num", 0)  # type: ignore[attr-defined]  # missing outside a sweep
    trial = TrialSettings(name, host.sweep, number, host.data, host.threads)
    trial.write(folder)
    return trial


def _write_params(path: Path, values: dict[str, Any]) -> None:
    """Write a trial's params.yaml; one with the same values stays, since results and runs are of its digest."""
    with suppress(UserError):  # it is missing or broken
        if not changes(read_yaml(path), values):
            return
    write_text(path, OmegaConf.to_yaml(OmegaConf.create(values)))


def _process(folder: Path, trial: TrialSettings, host: TrialHost) -> int:
    """Run the trial's process to its end and return its exit code; end it when it is not wanted any more.

    A pruned trial ends by itself after its epoch, which may be a long one.
    """
    command = [sys.executable, "-m", MODULE, str(folder), str(os.getpid())]
    looks = -math.inf if Pruning.read(folder) else 0  # it was pruned earlier, and only sends what MLflow lacks
    with (folder / LOG).open("ab") as log:
        output = log if trial.sweep else None
        own = {"PYTHONIOENCODING": "utf-8"} if trial.sweep else {}  # as the log is read
        # A session of its own: Ctrl-C reaches the driver alone, which ends the trials one way on all launchers.
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
    """Return the result of a trial by what its process wrote last, or else by its exit code.

    One that has done all may still be killed while Python and its libraries end.
    """
    result = Result.read(folder)
    return result if result and result.is_over else _failed(folder, trial, *_failure(code, folder))


def _failed(folder: Path, trial: TrialSettings, status: "Status", error: str) -> Result:
    """Return the result of a trial that has none, and make MLflow agree with how it ended."""
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
    except ServerAway:  # the end of the sweep tells of it
        return replace(failed, is_logged=False)
    return failed


def _failure(code: int, folder: Path) -> "tuple[Status, str]":
    """Return status and error by the exit code of a trial's process and what it printed."""
    if code < 0:
        return "KILLED", f"killed by {signal.Signals(-code).name}"
    if code in {130, 143}:
        return "KILLED", "stopped"
    log = folder / LOG  # a trial on its own has none: it has printed its error
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
