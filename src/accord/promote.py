"""Carry a trial's values back into the pipeline: the command `promote`."""

import re
import shlex
from itertools import chain
from statistics import fmean

from omegaconf import OmegaConf

from accord.compose import compose
from accord.errors import UserError
from accord.files import write_text
from accord.metric_names import SELECTED, in_words
from accord.paths import CONF, given
from accord.project import find_project
from accord.settings import FILE_NAME, Tracking, validate_tracking
from accord.sweep.folders import SweepRequest, former_folder
from accord.sweep.summary import SEED, configurations, score
from accord.tracking.sweeps import Sweep, Trial, read_run

EXPERIMENTS = CONF / "experiment"


def promote(source: str, name: str | None) -> None:
    """Write the values of a trial as conf/experiment/<name>.yaml and print how to run the pipeline with them.

    `source` is the id of a trial's run, or that of a sweep's run or its folder: then it is the configuration with the
    best mean over its seeds. Without a name one is made of the values.

    Raises:
        UserError: There is no such trial, it is not finished, the pipeline can't train it, or the name is no file's.
    """
    if name is not None and not re.fullmatch(FILE_NAME, name):
        raise UserError(f"--name = {name!r} is impossible: letters, digits, _, . and -, not . or - first")
    pipeline = compose(CONF)[1]
    trials = _trials(source, validate_tracking(pipeline.get("tracking"), str(CONF)))
    promoted = [(trial, *find_project().call("promotion", trial.parameters, pipeline)) for trial in trials]
    # The first that needs the fewest settings: its figures come again without another seed.
    trial, values, needed, remarks = min(promoted, key=lambda one: len(one[2]))
    words = [word for word in trial.name.split() if not word.startswith(f"{SEED}=")]
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(words))
    path = EXPERIMENTS / f"{name}.yaml"
    settings = chain.from_iterable(("-S", setting) for setting in (f"experiment={path.stem}", *needed))
    command = shlex.join(["dvc", "exp", "run", *settings])
    text = _header(trials, command) + (OmegaConf.to_yaml(OmegaConf.create(values)) if values else "")
    if path.exists() and path.read_text() != text:
        raise UserError(f"{path} exists with other content: choose another name with --name, or remove it")
    write_text(path, text)
    print(f"{path}:\n{text}", *remarks, command, sep="\n")


def _trials(source: str, tracking: Tracking) -> list[Trial]:
    """Return the finished trials of one configuration, that with the best mean in a sweep."""
    if (folder := given(source)).is_dir():
        sweep_tracking = Tracking.model_validate(SweepRequest.read(folder).tracking)
        found: Trial | list[Trial] = Sweep.configured(sweep_tracking, folder, former_folder(folder)).trials()
    else:
        found = read_run(tracking, source)
    if not (groups := configurations(found if isinstance(found, list) else [found])):
        raise UserError(f"{source}: no trial of it is finished")
    return groups[0]


def _header(trials: list[Trial], command: str) -> str:
    """Return comments: where the values come from, what they reached, how to use them."""
    best, project = trials[0], find_project()
    reached = f"{in_words(project.metric).capitalize()} {fmean(map(score, trials)):.4f}"
    if len(trials) > 1:
        reached += f", the mean of {len(trials)} seeds ({', '.join(f'{score(trial):.4f}' for trial in trials)})"
    for metric in project.reported:
        reached += f", {in_words(metric)} {fmean(trial.metrics[SELECTED + metric] for trial in trials):.4f}"
    origin = [f"{best.name}, run {best.run_id}"]
    if best.command:
        origin = [f"{origin[0]} of", f"  {best.command}"]
    lines = ["@package _global_", *origin, f"{reached}; {best.minutes:.1f} minutes.", "Reproduce it:", f"  {command}"]
    return "".join(f"# {line}\n" for line in lines)
