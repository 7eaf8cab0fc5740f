"""The sweep's own run in MLflow, above those of its trials."""

import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TextIO

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from seqmnist import config
from seqmnist.config import Data
from seqmnist.errors import UserError
from seqmnist.paths import PARAMS, PROCESSED, standing
from seqmnist.settings import Tracking, describe
from seqmnist.sweep import on_slurm, results, summary
from seqmnist.sweep.effect import values_of_search
from seqmnist.sweep.folders import Request, former_folder
from seqmnist.sweep.on_ray import Cluster, is_ray
from seqmnist.sweep.processes import claim, wait_for_trials
from seqmnist.sweep.targets import Refused
from seqmnist.tracking.away import Link, is_server, shown, telling
from seqmnist.tracking.identity import identity_tags
from seqmnist.tracking.store import tracking_uri
from seqmnist.tracking.sweeps import COMMAND, Sweep, Trial


class ParentRun(Callback):
    """Starts the parent run before the first trial, in one process: that also makes a missing database.

    Hydra calls `on_multirun_end` only where no job raised; `close` is called by the application whatever happened.
    """

    _folder: ClassVar[Path]
    _uri: ClassVar[str]
    _lock: ClassVar[TextIO]  # of the folder, from then on this driver's
    _sweep: ClassVar[Sweep | None] = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Check what all trials have in common, and start the run.

        Raises:
            Refused: the data are not there, the MLflow store can't be used, or the sweep is at work already.
        """
        try:
            self._start(config)
        except UserError as error:
            raise Refused(str(error)) from None

    def _start(self, values: DictConfig) -> None:
        overrides = list(values.hydra.overrides.task)
        spaces = [f"{key}={value}" for key, value in (values.hydra.sweeper.get("params") or {}).items()]
        check_data(values.data, [*spaces, *overrides])
        folder = Path(values.hydra.sweep.dir).resolve()
        tracking = _tracking(values)
        uri = tracking_uri(tracking)
        wait_for_trials(folder)
        if on_slurm.is_slurm(values.hydra.launcher):
            on_slurm.prepare(folder)
        hydra, searched = list(values.hydra.overrides.hydra), values_of_search(values.hydra)
        request = Request(overrides, hydra, tracking.model_dump(), searched)
        if is_ray(values.hydra.launcher):
            Cluster.join(values.hydra, folder, uri)
        with telling(uri):
            sweep = Sweep.configured(tracking, folder, former_folder(folder))
            ParentRun._lock = claim(folder)
            sweep.start(f"sweep {folder.name}", {COMMAND: command_line(), **identity_tags(config.load().data)})
        request.write(folder)
        ParentRun._folder, ParentRun._uri, ParentRun._sweep = folder, uri, sweep
        where = f"{shown(uri)} shows them" if is_server(uri) else "`make ui` shows them"
        print(f"sweep {folder.name}: the trials are in {_shown(folder)}; {where}", flush=True)

    @classmethod
    def cancel_jobs(cls) -> None:
        """End the trials that are jobs of Slurm."""
        if cls._sweep:
            on_slurm.cancel(cls._folder)

    @classmethod
    def wait_for_jobs(cls) -> None:
        """Wait for the ends of all trials that are jobs of Slurm."""
        if cls._sweep:
            on_slurm.wait(cls._folder)

    @classmethod
    def close(cls, *, stopped: bool) -> str:
        """End the run, if there is one, with the table and figures of its trials, as far as the server is there.

        Args:
            stopped: the sweep did not come to its end.

        Returns:
            What to tell a user whose trials did not all finish; empty if they did.
        """
        sweep, cls._sweep = cls._sweep, None
        if sweep is None:
            return ""
        with cls._lock:
            return cls._closed(sweep, stopped=stopped)

    @classmethod
    def _closed(cls, sweep: Sweep, *, stopped: bool) -> str:
        name, resume = f"sweep {cls._folder.name}", f"`seqmnist resume {_shown(cls._folder)}`"
        link = Link(name, cls._uri, f"{resume} sends the rest")
        if unsent := results.unsent(cls._folder):
            print(f"{name}: MLflow has not all of {unsent} trials: {resume} sends the rest", flush=True)
            link.attempt(partial(sweep.end, "KILLED"))
            trials = None
        else:
            trials = link.attempt(partial(_recorded, sweep, stopped=stopped))
        if trials is None:
            trials = results.trials(cls._folder)
        if not trials:
            return ""
        print(summary.table(trials), flush=True)
        how = f"{resume} runs what is missing"
        if stopped:
            print(f"{name}: stopped; {how}", flush=True)
        failed = [trial for trial in trials if trial.status != "FINISHED"]
        return f"{len(failed)} of {len(trials)} trials did not finish: {how}" if failed else ""


def _recorded(sweep: Sweep, *, stopped: bool) -> list[Trial]:
    """End a sweep's run with the table and figures of its trials, which are returned; without any it is removed."""
    sweep.settle_stale()
    trials = sweep.trials()
    if not trials:
        sweep.remove()
        return []
    is_finished = all(trial.status == "FINISHED" for trial in trials)
    summary.record(sweep, trials)
    sweep.end("KILLED" if stopped else "FINISHED" if is_finished else "FAILED")
    return trials


def check_data(data: DictConfig, overrides: list[str]) -> None:
    """Refuse a sweep over data sets, and one over another data set than data/processed holds.

    Raises:
        UserError: it is one.
    """
    for override in OverridesParser.create().parse_overrides(overrides):
        if str(override.key_or_group).partition(".")[0] == "data" and override.is_sweep_override():
            raise UserError(f"{override.input_line}: data can't be swept: all trials read {PROCESSED}")
    if not PROCESSED.is_dir():
        raise UserError(f"{PROCESSED} is missing: run `dvc repro preprocess`")
    try:
        wanted = Data.model_validate(OmegaConf.to_container(data, resolve=True))
    except ValidationError as error:
        raise UserError(f"conf: {describe(error, 'data')}") from None
    if wanted != config.load().data:
        raise UserError(
            f"data: {PROCESSED} was made with other values, which are in {PARAMS}: set yours in conf/ and run"
            " `dvc repro preprocess`"
        )


def command_line() -> str:
    """What the user typed."""
    return shlex.join(["python", "-m", "seqmnist.sweep", *sys.argv[1:]])


def _tracking(values: DictConfig) -> Tracking:
    try:
        return Tracking.model_validate(OmegaConf.to_container(values.tracking, resolve=True))
    except ValidationError as error:
        raise UserError(f"conf: {describe(error, 'tracking')}") from None


def _shown(folder: Path) -> str:
    """Return a folder as a word of a command that the user can give: relative where it is in the project."""
    return shlex.quote(os.path.relpath(folder, standing()) if folder.is_relative_to(Path.cwd()) else str(folder))
