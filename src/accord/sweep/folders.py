"""Files in the folder of a sweep and in the folders of its trials.

<sweep>/sweep.json           command of the sweep.
<sweep>/study.journal        Optuna's study of a search.
<sweep>/<number>/params.yaml values, as those of a pipeline.
<sweep>/<number>/trial.json  settings of the trial's process.
<sweep>/<number>/trial.log   output of the trial's process.
<sweep>/<number>/pruned.json decision to end the trial early.
<sweep>/<number>/result.json result of the trial.
<sweep>/<number>/models, reports, checkpoints
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
    """Base class of dataclasses that are stored as a JSON file in a folder."""

    file: ClassVar[Path]
    _what: ClassVar[str]  # kind of the folder, in words for error messages

    def write(self, folder: Path) -> None:
        """Write the file into a folder."""
        write_json(folder / self.file, asdict(self))  # type: ignore[call-overload]  # every subclass is a dataclass

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the file from a folder.

        Raises:
            UserError: The file is missing, broken or of another version.
        """
        path = folder / cls.file
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{folder} is not {cls._what}: it has no {path.name}") from None
        except (ValueError, TypeError):
            raise UserError(f"{path} can't be read: it is broken, or another version wrote it") from None


@dataclass(frozen=True)
class SweepRequest(_Written):
    """Command of a sweep."""

    overrides: list[str]  # overrides of the command line as typed, without those of Hydra's configuration
    hydra: list[str]  # overrides of Hydra's configuration
    tracking: dict[str, Any]  # configuration of the MLflow store that has the sweep
    searched: list[str] = field(default_factory=list)  # overrides from conf/search, a file that Ray's nodes lack

    file, _what = Path("sweep.json"), "the folder of a sweep"


@dataclass(frozen=True)
class TrialSettings(_Written):
    """Settings of a trial's process that are not in its params.yaml."""

    name: str  # name of the trial and of its MLflow run: the variant and the swept values
    sweep: str | None  # absolute path of the sweep's folder; None for a trial without a sweep
    number: int  # number of the trial in its sweep, from 0
    data: str  # absolute path of the folder of the trials' inputs
    threads: int  # number of operations that may run in parallel; no result depends on it

    file, _what = Path("trial.json"), "the folder of a trial"


def is_sweep(folder: Path) -> bool:
    """Return whether a sweep was started in a folder."""
    return (folder / SweepRequest.file).exists()


def former_folder(sweep: Path) -> Path | None:
    """Return the sweep's folder as its trials name it, if it was moved or copied since; None otherwise."""
    for path in sweep.glob("[0-9]*/trial.json"):
        with suppress(UserError):  # a broken file is written again when its trial runs
            former = TrialSettings.read(path.parent).sweep
            return Path(former) if former and Path(former) != sweep.resolve() else None
    return None


class _OfTrial(_Written):
    """Base class of files that belong to one trial; a later trial with other values may use the same folder."""

    config: str  # SHA-256 of the trial's params.yaml, by which the file belongs to it

    @classmethod
    def read(cls, folder: Path) -> Self | None:  # type: ignore[override]
        """Read the file from a trial's folder; return None if it is missing, broken or of another trial."""
        try:
            found = super().read(folder)
        except UserError:
            return None
        return found if found.config == sha256_file(folder / PARAMS) else None


@dataclass(frozen=True)
class Pruning(_OfTrial):
    """Decision of a search to end a trial before its last epoch."""

    epoch: int  # last epoch that counts, from 0
    config: str

    file, _what = Path("pruned.json"), "the folder of a trial that was pruned"


@dataclass(frozen=True)
class Result(_OfTrial):
    """Result of a trial."""

    status: "Status | Literal['PRUNED']"  # status of the MLflow run; the run of a PRUNED trial is FINISHED
    config: str
    accuracy: float | None = None  # best value of the project's metric; None unless the training reached its end
    epoch: int | None = None  # epoch with that value, or in which the trial was pruned
    error: str = ""  # reason why the trial did not finish
    is_logged: bool = True  # False if MLflow lacks a part, because its server did not answer
    metrics: dict[str, float] = field(default_factory=dict)  # by MLflow's names; earlier versions wrote none
    curve: list[float | None] = field(default_factory=list)  # the project's metric by epoch; None stands for NaN

    file, _what = Path("result.json"), "the folder of a trial that is over"

    @property
    def is_over(self) -> bool:
        """Return whether the trial needs no more training."""
        return self.status in {"FINISHED", "PRUNED"}
