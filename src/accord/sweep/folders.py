"""Files in the folder of a sweep, and in that of each trial.

<sweep>/sweep.json           what was asked for
<sweep>/<number>/trial.json  settings besides
<sweep>/<number>/params.yaml the trial, as a pipeline
<sweep>/<number>/trial.log   what it printed
<sweep>/<number>/pruned.json where a search gave up on it
<sweep>/<number>/result.json what came out
<sweep>/<number>/models, reports, checkpoints
<sweep>/study.journal        Optuna's, of a search
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from accord.errors import UserError
from accord.files import sha256_file, write_json
from accord.paths import PARAMS

if TYPE_CHECKING:
    from accord.tracking.sweeps import Status  # imports MLflow

CHECKPOINTS = Path("checkpoints")
LOG = Path("trial.log")


class _Written:
    """Base of dataclasses that are JSON files in a folder."""

    file: ClassVar[Path]
    _what: ClassVar[str]  # the folder's kind, for people

    def write(self, folder: Path) -> None:
        """Write it into its folder."""
        write_json(folder / self.file, asdict(self))  # type: ignore[call-overload]  # every subclass is a dataclass

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it from its folder; refuse a folder that has none, or a broken one."""
        path = folder / cls.file
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{folder} is not {cls._what}: it has no {path.name}") from None
        except (ValueError, TypeError):
            raise UserError(f"{path} can't be read: it is broken, or of another version") from None


@dataclass(frozen=True)
class SweepRequest(_Written):
    """Command of a sweep."""

    overrides: list[str]  # of the command line, as typed, but for Hydra's own
    hydra: list[str]  # overrides of Hydra's own configuration
    tracking: dict[str, Any]  # configuration of the store that the sweep is in
    searched: list[str] = field(default_factory=list)  # overrides in the file of conf/search, which no node of Ray has

    file, _what = Path("sweep.json"), "the folder of a sweep"


@dataclass(frozen=True)
class TrialSettings(_Written):
    """Settings of a trial's process beside its configuration."""

    name: str  # of the trial and of its MLflow run: what was swept
    sweep: str | None  # folder of the sweep, absolute; None for a trial on its own
    number: int  # of the job in its sweep
    data: str  # folder of the inputs that trials read, absolute
    threads: int  # operations that may run side by side; no result depends on it

    file, _what = Path("trial.json"), "the folder of a trial"


def is_sweep(folder: Path) -> bool:
    """Return whether a sweep was started in a folder."""
    return (folder / SweepRequest.file).exists()


def former_folder(sweep: Path) -> Path | None:
    """Return the folder in which a sweep's trials last ran, if it is another: the sweep was moved or copied."""
    for path in sweep.glob("[0-9]*/trial.json"):
        with suppress(UserError):  # a broken one is written anew when its trial runs
            former = TrialSettings.read(path.parent).sweep
            return Path(former) if former and Path(former) != sweep.resolve() else None
    return None


class _OfTrial(_Written):
    """Base of those that are of one trial: the same folder may be used again for another."""

    config: str  # SHA-256 of the trial's params.yaml

    @classmethod
    def read(cls, folder: Path) -> Self | None:  # type: ignore[override]
        """Read it from the trial's folder; None where there is none, or one that is broken or of another trial."""
        try:
            found = super().read(folder)
        except UserError:
            return None
        return found if found.config == sha256_file(folder / PARAMS) else None


@dataclass(frozen=True)
class Pruning(_OfTrial):
    """Decision of a search to end a trial before its last epoch."""

    epoch: int  # the last one that counts, from 0
    config: str

    file, _what = Path("pruned.json"), "the folder of a trial that was pruned"


@dataclass(frozen=True)
class Result(_OfTrial):
    """Result of a trial."""

    status: "Status | Literal['PRUNED']"  # of its run in MLflow, where a pruned one is FINISHED
    config: str
    accuracy: float | None = None  # best value of the project's metric; None where the training did not end by itself
    epoch: int | None = None  # with that value, or in which it was pruned
    error: str = ""  # why it is not finished
    is_logged: bool = True  # MLflow has all of it, which it has not where the server was away
    metrics: dict[str, float] = field(default_factory=dict)  # by the names that MLflow has; earlier versions wrote none
    curve: list[float | None] = field(default_factory=list)  # the project's metric by epoch; None is not a number

    file, _what = Path("result.json"), "the folder of a trial that is over"

    @property
    def is_over(self) -> bool:
        """Return whether the trial needs no more training."""
        return self.status in {"FINISHED", "PRUNED"}
