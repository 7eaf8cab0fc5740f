"""The command `promote`: write a trial's values as an experiment of the pipeline."""

import re
import shlex
from collections.abc import Mapping
from itertools import chain
from statistics import fmean
from typing import Any

from omegaconf import OmegaConf

from accord.compose import compose
from accord.errors import UserError
from accord.files import write_text
from accord.metric_names import SELECTED, in_words
from accord.paths import CONF, given
from accord.pipeline import maker
from accord.project import find_project
from accord.schema import SCHEMA
from accord.settings import FILE_NAME, Tracking, flatten, validate_tracking
from accord.sweep.folders import SweepRequest, former_folder
from accord.sweep.summary import configurations, score
from accord.tracking.sweeps import Sweep, Trial, read_run
from accord.variants import SEED, SEEDS, own_sections, plural, sections

EXPERIMENTS = CONF / "experiment"
_OTHER = object()  # a value that is equal to no other


def promote(source: str, name: str | None) -> None:
    """Write the values of a trial as conf/experiment/<name>.yaml, and print the command that trains with them.

    Args:
        source: Id of a trial's run; or the id of a sweep's run, or the sweep's folder. Of a sweep, the configuration
            with the best mean over its seeds is promoted.
        name: Name of the file, without suffix; by default it is made from the trial's name.

    Raises:
        UserError: There is no such trial, it is unfinished, the pipeline can't train it, or the name is no file name.
    """
    if name is not None and not re.fullmatch(FILE_NAME, name):
        raise UserError(f"--name = {name!r} is impossible: letters, digits, _, . and -, not . or - first")
    pipeline = compose(CONF)[1]
    trials = _trials(source, validate_tracking(pipeline.get("tracking"), str(CONF)))
    find_project().check_values(pipeline, str(CONF))
    promoted = [(trial, *promotion(trial.parameters, pipeline)) for trial in trials]
    # Take the first trial that needs the fewest settings: its results are reproduced without changing the seed.
    trial, values, needed, remarks = min(promoted, key=lambda one: len(one[2]))
    words = [word for word in trial.name.split() if not word.startswith(f"{SEED}=")]
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", "_".join(words).replace("+", ""))
    path = EXPERIMENTS / f"{name}.yaml"
    settings = chain.from_iterable(("-S", setting) for setting in (f"experiment={path.stem}", *needed))
    command = shlex.join(["dvc", "exp", "run", *settings])
    text = _header(trials, command) + (OmegaConf.to_yaml(OmegaConf.create(values)) if values else "")
    if path.exists() and path.read_text("utf-8") != text:
        raise UserError(f"{path} exists with other content: choose another name with --name, or remove it")
    write_text(path, text)
    print(f"{path}:\n{text}", *remarks, command, sep="\n")


def promotion(trial: Mapping[str, Any], pipeline: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return a trial's values as an experiment of the pipeline: the file's content, settings and lines to print.

    Args:
        trial: Parameters of the trial, by dotted name.
        pipeline: Plain and valid values of the pipeline's configuration.

    Raises:
        UserError: The pipeline can't train it, the trial was trained on other data, or an earlier version of the code
            trained it and it lacks values.
    """
    group, inputs = find_project().variant, maker(find_project().inputs)[1]
    kind, content = str(trial.get(f"{group}.type")), OmegaConf.create()
    if plural() in pipeline:
        _refuse_unknown(kind, pipeline)
        # The file has the sections of this variant; all variants share the others, which become settings.
        own = {group, *own_sections(pipeline[plural()][kind], pipeline)}
        ours, base = flatten(sections(pipeline, kind)), f"{plural()}.{kind}."
    else:
        own, base = {*pipeline} - inputs - {"tracking"}, ""
        ours = flatten(sections(pipeline, kind))
        if kind != pipeline[group]["type"]:  # another option of the group: the file gets all of its values
            content["defaults"] = [{f"override /{group}": kind}]
            of_group = {key: _OTHER for key in trial if _section(key) == group}
            ours = {key: value for key, value in ours.items() if _section(key) != group} | of_group
    if lacking := [key for key in ours if _section(key) in own and key not in trial]:
        raise UserError(f"the trial has no {', '.join(lacking)}: an earlier version trained it; run the sweep again")
    changed = {key: trial[key] for key, value in ours.items() if key in trial and trial[key] != value}
    if key := next((key for key in changed if _section(key) in inputs), None):
        given, value = changed[key], ours[key]
        raise UserError(f"the trial has {key} = {given}, the pipeline {value}: they are not trained on the same data")
    for key in (key for key in changed if _section(key) in own):
        OmegaConf.update(content, base + (key.removeprefix(f"{group}.") if base else key), changed[key])
    settings = [f"{key}={given}" for key, given in changed.items() if _section(key) not in own]
    seed_settings, remarks = _seed(trial[SEED], pipeline)
    return OmegaConf.to_container(content), settings + seed_settings, remarks  # type: ignore[return-value]


def _refuse_unknown(kind: str, pipeline: Mapping[str, Any]) -> None:
    """Refuse, with a `UserError`, a trial whose variant the pipeline does not have."""
    group, known = find_project().variant, pipeline[plural()]
    if kind not in known:
        raise UserError(
            f"the trial's {group} is {kind}, the pipeline has {', '.join(known)}: first put"
            f" `- {group}@{plural()}.{kind}: {kind}` into conf/config.yaml and {kind} into the train matrix of dvc.yaml"
        )


def _section(key: str) -> str:
    return key.partition(".")[0]


def _seed(seed: Any, pipeline: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the settings that give the pipeline a trial's seed, and lines to print."""
    if SEEDS not in pipeline:
        return ([], []) if seed == pipeline[SEED] else ([f"{SEED}={seed}"], [])
    if seed in pipeline[SEEDS]:
        return [], []
    others = f"with it, the other {plural()} are trained anew too"
    return [f"{SEEDS}=[{seed}]"], [f"seed {seed} is not the pipeline's: {others}"]


def _trials(source: str, tracking: Tracking) -> list[Trial]:
    """Return the finished trials of a configuration: of a sweep, those of the configuration with the best mean."""
    if (folder := given(source)).is_dir():
        sweep_tracking = Tracking.model_validate(SweepRequest.read(folder).tracking)
        found: Trial | list[Trial] = Sweep.configured(sweep_tracking, folder, former_folder(folder)).trials()
    else:
        found = read_run(tracking, source)
    trials = found if isinstance(found, list) else [found]
    if not (groups := configurations(trials)):
        pruned = (
            " (pruned trials were not trained to their end)" if any(one.pruned is not None for one in trials) else ""
        )
        raise UserError(f"{source}: no trial of it is finished{pruned}")
    return groups[0]


def _header(trials: list[Trial], command: str) -> str:
    """Return the file's comments: the values' origin, their results, and the command that reproduces them."""
    best, project = trials[0], find_project()
    reached = f"{in_words(project.metric).capitalize()} {fmean(map(score, trials)):.4f}"
    if len(trials) > 1:
        reached += f", the mean of {len(trials)} seeds ({', '.join(f'{score(trial):.4f}' for trial in trials)})"
    for metric in project.reported:
        reached += f", {in_words(metric)} {fmean(trial.metrics[SELECTED + metric] for trial in trials):.4f}"
    origin = [f"{best.name}, run {best.run_id}"]
    if best.command:
        origin = [f"{origin[0]} of", f"  {best.command}"]
    schema = [f"yaml-language-server: $schema=../{SCHEMA.name}"] if SCHEMA.exists() else []
    lines = [
        "@package _global_",
        *schema,
        *origin,
        f"{reached}; {best.minutes:.1f} minutes.",
        "Reproduce it:",
        f"  {command}",
    ]
    return "".join(f"# {line}\n" for line in lines)
