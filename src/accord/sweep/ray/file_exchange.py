"""Exchange of files between the driver of a sweep and its trials: Ray makes the class an actor of the driver's."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accord.sweep.folders import Pruning, SweepRequest
from accord.sweep.ray import file_sync
from accord.sweep.ray.file_sync import Change, Files

_SILENCE_SECONDS = 20  # a trial that is ending may have to wait for the tracking server


@dataclass(frozen=True)
class Supplies:
    """Inputs and settings that a trial starts with; all of a sweep are the same but for the last two."""

    sweep: str  # folder of the sweep on the driver's machine, absolute
    request: SweepRequest
    environment: dict[str, str]  # variables for the trials, in place of all others with MLflow's prefix
    digest: str  # of the inputs' files: see `file_sync.digest`
    inputs: list[Any]  # reference to these files in a list of one: Ray dereferences a bare one
    attempt: int = 0  # starts of the trial before this one
    files: Files = field(default_factory=dict)  # that earlier attempts left in its folder


class FileExchange:
    """Gives trials what they start with, takes what they make into the sweep's folder, and tells them to end.

    Of a trial that Ray starts again only the last attempt is heard.
    """

    def __init__(self, supplies: Supplies) -> None:
        """Serve a sweep."""
        self._supplies, self._is_stopped = supplies, False
        self._attempts: dict[int, int] = {}  # by number of the trial
        self._heard: dict[int, float] = {}  # of the trials at work, when
        self._lines: list[str] = []

    def begin(self, number: int) -> Supplies | None:
        """Return what a trial starts with; None if the sweep is being stopped."""
        if self._is_stopped:
            return None
        if number in self._heard:
            self._lines.append(f"#{number}: its worker is gone, and another goes on with it")
        self._heard[number] = time.monotonic()
        self._attempts[number] = attempt = self._attempts.get(number, -1) + 1
        folder = self._folder(number)
        names = [name for name in file_sync.stamps(folder) if not name.startswith(f"{file_sync.HYDRA}/")]
        return replace(self._supplies, attempt=attempt, files=file_sync.pack(folder, names))

    def take(self, number: int, attempt: int, change: Change) -> tuple[bool, Files]:
        """Take what changed in a trial's folder; return whether it shall go on, and the file that says it is pruned."""
        if attempt != self._attempts[number]:
            return False, {}
        self._heard[number] = time.monotonic()
        file_sync.unpack(self._folder(number), change)
        return not self._is_stopped, file_sync.pack(self._folder(number), [str(Pruning.file)])

    def end(self, number: int, attempt: int, line: str) -> None:
        """Note that a trial is over, and the line that tells the user of it."""
        if attempt == self._attempts[number]:
            del self._heard[number]
            self._lines.append(line)

    def lines(self) -> list[str]:
        """Return the lines that the user was not told yet."""
        lines, self._lines = self._lines, []
        return lines

    def stop(self) -> None:
        """Tell all trials to end."""
        self._is_stopped = True

    def is_idle(self) -> bool:
        """Return whether no trial is at work; one that is long silent has lost its worker or its machine."""
        return all(time.monotonic() - heard > _SILENCE_SECONDS for heard in self._heard.values())

    def _folder(self, number: int) -> Path:
        return Path(self._supplies.sweep, str(number))
