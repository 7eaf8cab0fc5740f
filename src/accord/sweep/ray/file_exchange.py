"""Exchange of files between the driver of a sweep and its trials, as a Ray actor on the driver's machine."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accord.sweep.folders import Pruning, SweepRequest
from accord.sweep.ray import file_sync
from accord.sweep.ray.file_sync import Change, Files

_SILENCE_SECONDS = 20  # a trial that is ending may wait for the tracking server


@dataclass(frozen=True)
class Supplies:
    """Inputs and settings that a trial starts with; only `attempt` and `files` differ between trials of a sweep."""

    sweep: str  # absolute path of the sweep's folder on the driver's machine
    request: SweepRequest
    environment: dict[str, str]  # environment variables for the trials, which replace all of MLflow's
    digest: str  # digest of the inputs' files: see `file_sync.digest`
    inputs: list[Any]  # ObjectRef of the inputs' files, wrapped in a list: Ray dereferences a bare one
    attempt: int = 0  # number of earlier starts of the trial
    files: Files = field(default_factory=dict)  # files that earlier attempts left in the trial's folder


class FileExchange:
    """Exchange that sends trials their supplies, copies their files into the sweep's folder, and asks them to end.

    Where Ray starts a trial again, messages of its earlier attempts are ignored.
    """

    def __init__(self, supplies: Supplies) -> None:
        """Take the supplies of a sweep's trials."""
        self._supplies, self._is_stopped = supplies, False
        self._attempts: dict[int, int] = {}  # newest attempt, by number of the trial
        self._heard: dict[int, float] = {}  # time of the last message of each running trial, in monotonic seconds
        self._lines: list[str] = []  # lines to print

    def begin(self, number: int) -> Supplies | None:
        """Start an attempt of a trial: return its supplies, or None if the sweep is being stopped."""
        if self._is_stopped:
            return None
        if number in self._heard:
            self._lines.append(f"#{number}: its worker is gone, and another one resumes it")
        self._heard[number] = time.monotonic()
        self._attempts[number] = attempt = self._attempts.get(number, -1) + 1
        folder = self._folder(number)
        names = [name for name in file_sync.stamps(folder) if not name.startswith(f"{file_sync.HYDRA}/")]
        return replace(self._supplies, attempt=attempt, files=file_sync.pack(folder, names))

    def take(self, number: int, attempt: int, change: Change) -> tuple[bool, Files]:
        """Copy a change of a trial's folder into the sweep's folder.

        Args:
            number: Number of the trial.
            attempt: Attempt that sends the change; one that is not the newest has no effect.
            change: Files that were written or removed since the last message.

        Returns:
            Whether the trial shall go on, and pruned.json if the search has pruned it.
        """
        if attempt != self._attempts[number]:
            return False, {}
        self._heard[number] = time.monotonic()
        file_sync.unpack(self._folder(number), change)
        return not self._is_stopped, file_sync.pack(self._folder(number), [str(Pruning.file)])

    def end(self, number: int, attempt: int, line: str) -> None:
        """Note that a trial is over, and the line to print about it."""
        if attempt == self._attempts[number]:
            del self._heard[number]
            self._lines.append(line)

    def lines(self) -> list[str]:
        """Return the lines that were not printed yet, and forget them."""
        lines, self._lines = self._lines, []
        return lines

    def stop(self) -> None:
        """Tell all trials to end."""
        self._is_stopped = True

    def is_idle(self) -> bool:
        """Return whether no trial runs; a trial that is silent for long has lost its worker or machine."""
        return all(time.monotonic() - heard > _SILENCE_SECONDS for heard in self._heard.values())

    def _folder(self, number: int) -> Path:
        return Path(self._supplies.sweep, str(number))
