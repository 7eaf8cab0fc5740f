"""The sweep command `python -m PROJECT.sweep`: Hydra parses it, and its launchers run `accord.sweep.job` per trial."""

import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser  # its only list of options; tests run each of them
from hydra.errors import CompactHydraException, MissingConfigException, OverrideParseException
from joblib.externals.loky.process_executor import TerminatedWorkerError
from omegaconf.errors import OmegaConfBaseException

from accord.errors import UserError, one_line
from accord.paths import CONF, given
from accord.process import Terminated
from accord.project import find_project
from accord.sweep.allowed_targets import Refused, checked
from accord.sweep.folders import SweepRequest
from accord.sweep.job import run_trial
from accord.sweep.names import folder_value
from accord.sweep.processes import end_trials, name_driver
from accord.sweep.ray import cluster
from accord.sweep.ray.cluster import ray_errors
from accord.sweep.search import sweeper
from accord.sweep.slurm import jobs
from accord.sweep.sweep_run import CallbackFailed, SweepRun

_MISSING = {"hydra/launcher/ray": cluster.MISSING, "hydra/launcher/submitit_slurm": jobs.MISSING}  # optional plugins
_COMPLETIONS = r"(un)?install=(bash|fish|zsh)"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run the command line: one trial, or with -m a sweep.

    Raises:
        UserError: The command can't run, or a trial did not finish.
    """
    if not CONF.is_dir():
        raise UserError(f"{Path.cwd()} has no folder {CONF}: `git checkout {CONF}` brings it back")
    check_options()
    name_driver()
    sweeper.register()
    sys.argv[1:] = map(_from_root, sys.argv[1:])
    command = hydra.main(version_base="1.3", config_path=str(CONF.resolve()), config_name="sweep")(run_trial)
    with _ending_trials():
        stopped = True
        try:
            with checked(), _user_errors(), ray_errors():
                try:
                    command()
                except CallbackFailed as ended:
                    raise ended.error from None
            stopped = False
        except Refused as refused:
            raise UserError(str(refused)) from None
        finally:
            if stopped:
                end_trials()
            failed = SweepRun.close(stopped=stopped)
    if failed:
        raise UserError(failed)


def resume(folder: Path) -> None:
    """Run a sweep's command again in the same folder, and skip the trials that are finished there.

    Args:
        folder: Folder of the sweep.

    Raises:
        UserError: The folder is not a sweep's, the command can't run, or a trial did not finish.
    """
    request = SweepRequest.read(folder)
    own = [override for override in request.hydra if not override.startswith(("hydra.mode=", "hydra.sweep.dir="))]
    own.append(f"hydra.sweep.dir={folder_value(folder)}")
    sys.argv = [f"{find_project().name}.sweep", "--multirun", *request.overrides, *own]
    main()


def check_options() -> None:
    """Refuse unusable options and combinations, for which Hydra would print a traceback.

    Raises:
        UserError: An option is refused, has no effect, or excludes another one.
    """
    given = get_args_parser().parse_args(sys.argv[1:])
    if given.experimental_rerun:
        raise UserError("--experimental-rerun reads a pickle, which can run any code: give the overrides instead")
    for name in ("resolve", "package"):
        if getattr(given, name) and not (given.cfg or given.help):
            raise UserError(f"--{name} has no effect without --cfg")
    if given.help or given.hydra_help:
        return
    actions = [name for name in ("run", "multirun", "cfg", "info", "shell_completion") if getattr(given, name)]
    if len(actions) > 1:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in actions)
        raise UserError(f"{options} exclude each other; --cfg and --info show one trial, with one value for each key")
    is_query = "COMP_LINE" in os.environ  # the shell sets it when it asks for completions
    if given.shell_completion and not is_query and not re.fullmatch(_COMPLETIONS, " ".join(given.overrides)):
        raise UserError("--shell-completion takes install=SHELL or uninstall=SHELL; SHELL is bash, fish or zsh")


def _from_root(argument: str) -> str:
    """Return a command-line argument; if it sets a folder, make the path relative to the project's root."""
    found = re.fullmatch(r"(\+{0,2}hydra\.(?:run|sweep)\.dir=|--config-dir=)(['\"]?)(?!\$\{)(.+)\2", argument)
    return f"{found[1]}{found[2]}{given(found[3])}{found[2]}" if found else argument


@contextmanager
def _user_errors() -> Iterator[None]:
    """Turn exceptions of Hydra, joblib and submitit into a `UserError` of one line instead of Hydra's traceback."""
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    except TerminatedWorkerError:
        raise UserError("a worker process of the sweep was killed, and its trials with it") from None
    except OverrideParseException as error:
        key, _, value = error.override.partition("=")
        quoted = shlex.quote('{}="{}"'.format(key, value.replace('"', r"\"")))
        raise UserError(f"{error.override}: Hydra can't parse it; if the value is text, quote it: {quoted}") from None
    except (CompactHydraException, OmegaConfBaseException) as error:
        if isinstance(error, MissingConfigException) and error.missing_cfg_file in _MISSING:
            raise UserError(_MISSING[error.missing_cfg_file]) from None
        parts = (error, error.__cause__) if isinstance(error.__cause__, OmegaConfBaseException) else (error,)
        raise UserError(" ".join(map(one_line, parts))) from None
    except Exception as error:
        if not type(error).__module__.startswith("submitit."):
            raise
        SweepRun.wait_for_jobs(cancelled=False)  # submitit raises for the first failed job; others still run
        raise UserError(f"Slurm: {one_line(error)[:400]}") from None


@contextmanager
def _ending_trials() -> Iterator[None]:
    """On Ctrl-C, SIGTERM or SIGHUP end the trials before this process; each trial ends its own MLflow run."""

    def handle(number: int, _frame: FrameType | None) -> NoReturn:
        for one in _SIGNALS:
            signal.signal(one, signal.SIG_IGN)  # a second signal must not interrupt the ending
        end_trials()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    before = {one: signal.signal(one, handle) for one in _SIGNALS if signal.getsignal(one) != signal.SIG_IGN}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
