"""The sweep's own run in MLflow, which is the parent of the trials' runs."""

import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TextIO

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from accord.compose import changes
from accord.errors import UserError
from accord.paths import PARAMS, standing
from accord.pipeline import maker
from accord.project import find_project, own_command
from accord.settings import read_yaml, validate_tracking
from accord.sweep import finished, summary
from accord.sweep.effect import values_of_search
from accord.sweep.folders import SweepRequest, former_folder, is_sweep
from accord.sweep.launchers import RAY, SLURM, is_of
from accord.sweep.names import as_typed, folder_value
from accord.sweep.processes import claim, wait_for_trials
from accord.sweep.ray.cluster import Cluster
from accord.sweep.search.settings import is_search, spaces_in_file
from accord.sweep.slurm import jobs
from accord.tracking.connection import StoreConnection, is_server, shown, user_errors
from accord.tracking.run_tags import identity_tags
from accord.tracking.store import tracking_uri
from accord.tracking.sweeps import COMMAND, Sweep, Trial


class CallbackFailed(BaseException):
    """Failed start of a sweep. A BaseException, because Hydra turns an Exception of a callback into a warning."""

    def __init__(self, error: Exception) -> None:
        """Take the exception of the callback, which the application raises again."""
        self.error = error


class SweepRun(Callback):
    """Callback of Hydra that starts the sweep's run in the driver, before the first trial.

    The start also makes a missing database, which trials must not make in parallel. The application calls `close` in
    every case, whereas Hydra calls `on_multirun_end` only if no job raised.
    """

    _folder: ClassVar[Path]
    _uri: ClassVar[str]
    _lock: ClassVar[TextIO]  # lock of the sweep's folder
    _sweep: ClassVar[Sweep | None] = None
    _cluster: ClassVar[Cluster | None] = None
    _is_search: ClassVar[bool] = False

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check the sweep and start its run.

        Raises:
            CallbackFailed: A check failed, the folder is in use, or the inputs or the store can't be used.
        """
        try:
            self._start(config)
        except Exception as error:
            raise CallbackFailed(error) from None

    def _start(self, values: DictConfig) -> None:
        overrides = as_typed(values.hydra.overrides.task)
        spaces = spaces_in_file(values.hydra.sweeper.get("params"))
        SweepRun._is_search = is_search(values)
        if SweepRun._is_search:
            from accord.sweep.search.check import check

            check(values)
        project, params = find_project(), read_yaml(PARAMS)
        check_inputs(values, params, [*spaces, *overrides])
        folder = Path(values.hydra.sweep.dir).resolve()
        project.check_values(params, str(PARAMS))
        run_tags = project.call("run_tags", params) or {}
        tracking = validate_tracking(OmegaConf.to_container(values.tracking, resolve=True), "conf")
        uri = tracking_uri(tracking)
        values.hydra.overrides.hydra.append(f"hydra.sweep.dir={folder_value(folder)}")  # the same for all trials
        wait_for_trials(folder)
        finished.check(values, folder, [*spaces, *overrides])
        if is_of(values.hydra.launcher, SLURM):
            jobs.prepare(folder)
        given = as_typed(values.hydra.overrides.hydra)
        request = SweepRequest(overrides, given, tracking.model_dump(), values_of_search(values.hydra))
        if is_of(values.hydra.launcher, RAY):
            SweepRun._cluster = Cluster(OmegaConf.to_container(values.hydra.launcher.ray.init, resolve=True))
            values.hydra.overrides.hydra.append(SweepRun._cluster.supply(folder, uri, request))
        command = shlex.join(["python", "-m", f"{project.name}.sweep", *sys.argv[1:]])  # as the user typed it
        with user_errors(uri):
            sweep = Sweep.configured(tracking, folder, former_folder(folder))
            SweepRun._lock = claim(folder)
            if sweep.other_host and not is_sweep(folder):
                there = f"a sweep on {sweep.other_host} has this folder"
                raise UserError(f"hydra.sweep.dir={folder}: in this store {there}: give another")
            if sweep.run_id is None and folder.is_dir():
                summary.forget_runs(folder)
            sweep.start(f"sweep {folder.name}", {COMMAND: command, **identity_tags(), **run_tags})
        request.write(folder)
        SweepRun._folder, SweepRun._uri, SweepRun._sweep = folder, uri, sweep
        where = shown(uri) if is_server(uri) else f"`mlflow ui --backend-store-uri {shown(uri)}`"
        print(f"sweep {folder.name}: the trials are in {_shown(folder)}; {where} shows them", flush=True)

    @classmethod
    def wait_for_jobs(cls, *, cancelled: bool) -> None:
        """Wait until the sweep's Slurm jobs have ended; if `cancelled`, cancel them first."""
        if cls._sweep:
            (jobs.cancel if cancelled else jobs.wait)(cls._folder)

    @classmethod
    def close(cls, *, stopped: bool) -> str:
        """End the sweep: its jobs or cluster, and its run with the table and figures of its trials.

        Args:
            stopped: The sweep was interrupted, so that trials may still run and the run ends as KILLED.

        Returns:
            Message for the user if some trials did not finish; empty otherwise.
        """
        if stopped:
            cls.wait_for_jobs(cancelled=True)
        if cls._cluster:
            cls._cluster.leave(stopped=stopped)
        sweep, cls._sweep, cls._cluster = cls._sweep, None, None
        if sweep is None:
            return ""
        with cls._lock:
            return cls._closed(sweep, stopped=stopped)

    @classmethod
    def _closed(cls, sweep: Sweep, *, stopped: bool) -> str:
        """End the sweep's run, print the table of trials, and return the message of `close`."""
        name, resume = f"sweep {cls._folder.name}", own_command(f"resume {_shown(cls._folder)}")
        connection = StoreConnection(name, cls._uri, f"{resume} sends the rest")
        if unsent := summary.unsent(cls._folder):
            print(f"{name}: MLflow lacks results of {unsent} trials: {resume} sends them", flush=True)
            connection.attempt(partial(sweep.end, "KILLED"))
            trials = None
        else:
            trials = connection.attempt(partial(cls._recorded, sweep, stopped=stopped))
        if trials is None:
            trials = summary.trials_with_result(cls._folder)
        how = f"{resume} runs what is missing"
        if trials:
            print(summary.table(trials), flush=True)
        if cls._is_search:
            from accord.sweep.search.pictures import importances

            for key, share in importances(cls._folder).items():
                print(f"importance of {key}: {share:.2f}", flush=True)
        if stopped:
            print(f"{name}: stopped; {how}", flush=True)
        failed = [trial for trial in trials if trial.status != "FINISHED"]
        return f"{len(failed)} of {len(trials)} trials did not finish: {how}" if failed else ""

    @classmethod
    def _recorded(cls, sweep: Sweep, *, stopped: bool) -> list[Trial]:
        """Log the table and figures of a sweep's trials, end its run, and return the trials.

        A run without trials is removed.
        """
        sweep.settle_stale()
        trials, pruned = sweep.trials(), summary.pruned_at(cls._folder)
        for k, trial in enumerate(trials):
            if trial.pruned is None and trial.number in pruned:
                trials[k] = sweep.mark_pruned(trial, pruned[trial.number])
        if not trials:
            sweep.remove()
            return []
        is_finished = all(trial.status == "FINISHED" for trial in trials)
        summary.record(sweep, trials, cls._folder if cls._is_search else None)
        sweep.end("KILLED" if stopped else "FINISHED" if is_finished else "FAILED")
        return trials


def check_inputs(values: DictConfig, params: dict[str, Any], overrides: list[str]) -> None:
    """Check that all trials can read the inputs that are there.

    Args:
        values: Composed configuration of the sweep.
        params: Content of params.yaml.
        overrides: Overrides of the sweep and its search spaces.

    Raises:
        UserError: The inputs are missing, were made with other values, or depend on a swept value.
    """
    inputs = find_project().inputs
    stage, sections = maker(inputs)
    for override in OverridesParser.create().parse_overrides(overrides):
        section = str(override.key_or_group).partition(".")[0]
        if section in sections and override.is_sweep_override():
            raise UserError(f"{override.input_line}: {section} can't be swept: all trials read {inputs}")
    make = f"run `dvc repro {stage}`" if stage else "run `dvc pull`, or put it there"
    if not Path(inputs).is_dir():
        raise UserError(f"{inputs} is missing: {make}")
    for section in sorted(sections.intersection(map(str, values))):
        own = values[section]
        own = OmegaConf.to_container(own, resolve=True) if OmegaConf.is_config(own) else own
        if changes({section: params.get(section)}, {section: own}):
            raise UserError(
                f"{section}: {inputs} was made with other values, which are in {PARAMS}: set yours in conf/ and {make}"
            )


def _shown(folder: Path) -> str:
    """Return a folder quoted for a shell command, relative to the user's directory if it is in the project."""
    return shlex.quote(os.path.relpath(folder, standing()) if folder.is_relative_to(Path.cwd()) else str(folder))
