"""Process of one trial: `python -m accord.sweep.trial FOLDER PARENT`, which `accord.sweep.job` starts.

It works in the trial's folder as the train stage does in the repository. It ends when the process PARENT has ended.
"""

import math
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from accord.checkpoints import finished_epochs
from accord.files import sha256_file
from accord.metric_names import EPOCH, SELECTED
from accord.paths import PARAMS
from accord.process import end_when, run_command
from accord.project import find_project, own_command
from accord.settings import Tracking, read_yaml, validate_tracking
from accord.sweep.folders import CHECKPOINTS, Pruning, Result, TrialSettings
from accord.sweep.names import folder_value
from accord.tracking.connection import ServerAway, user_errors
from accord.tracking.runs import Pruned, RunRequest
from accord.tracking.store import tracking_uri
from accord.tracking.sweeps import Sweep


def main() -> None:
    """Train the trial of the folder on the command line; if it has a result, log what MLflow lacks.

    Raises:
        UserError: A file of the folder or a value can't be used.
        ServerAway: The trial has a result, but the tracking server does not answer.
    """
    project = find_project()
    os.chdir(sys.argv[1])
    trial, params = TrialSettings.read(Path()), read_yaml(PARAMS)
    project.check_values(params, str(PARAMS))
    run_tags = project.call("run_tags", params) or {}
    request = _request(trial, validate_tracking(params.get("tracking"), str(PARAMS)), run_tags)
    done = Result.read(Path())
    if done and done.accuracy is not None:
        if request.away:
            raise request.away
        metrics = project.call("restore", replace(request, pruned=lambda: None), Path(trial.data))
        replace(done, is_logged=True, metrics=metrics).write(Path())
        return
    try:
        metrics, is_logged = project.call("train", request, Path(trial.data), trial.threads)
    except Pruned as pruned:
        print(f"{trial.name}: pruned at epoch {pruned.epoch}")
        result = Result("PRUNED", sha256_file(PARAMS), None, pruned.epoch, is_logged=pruned.is_logged, curve=_curve())
        result.write(Path())
        return  # keep the checkpoints: only they have the curves, for a store that lacks the run
    accuracy, epoch = metrics[SELECTED + project.metric], metrics[SELECTED + EPOCH]
    done = Result("FINISHED", sha256_file(PARAMS), accuracy, epoch, is_logged=is_logged, metrics=metrics)
    replace(done, curve=_curve()).write(Path())
    shutil.rmtree(CHECKPOINTS, ignore_errors=True)  # only now: a trial interrupted before resumes from them


def _curve() -> list[float | None]:
    """Return the project's metric by epoch, None for NaN."""
    values = (epoch[find_project().metric] for epoch in finished_epochs(CHECKPOINTS))
    return [None if math.isnan(value) else value for value in values]


def _pruned_at() -> int | None:
    pruning = Pruning.read(Path())
    return pruning.epoch if pruning else None


def _request(trial: TrialSettings, tracking: Tracking, run_tags: Mapping[str, str]) -> RunRequest:
    """Return the request for the trial's run: its name, its tags and the run to resume, as MLflow has its sweep.

    If the tracking server does not answer, the request carries the error as `away`.
    """
    if trial.sweep:
        command = own_command(f"resume {shlex.quote(trial.sweep)}")
    else:
        command = f"the same command with {shlex.quote(f'hydra.run.dir={folder_value(Path.cwd())}')}"
    remedy = f"{command} sends the rest"
    request = RunRequest("train", trial.name, extra_tags=run_tags, remedy=remedy, checkpoints=CHECKPOINTS)
    if not trial.sweep:
        return request
    request = replace(request, pruned=_pruned_at)
    try:
        with user_errors(tracking_uri(tracking)):
            sweep, digest = Sweep.configured(tracking, Path(trial.sweep)), sha256_file(PARAMS)
            if run_id := sweep.trial_run_id(trial.number, digest):
                sweep.wait_for_end(trial.number, digest)
            tags, of_sweep = sweep.trial_tags(trial.number), sweep.extra_tags()
    except ServerAway as away:
        return replace(request, away=away)
    return replace(request, tags=tags, extra_tags={**of_sweep, **run_tags}, resume=run_id)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the parent ignores Ctrl-C, which is inherited
    end_when(lambda: os.getppid() != int(sys.argv[2]))
    run_command(main, needs_project=False)  # a node of Ray has no project folder
