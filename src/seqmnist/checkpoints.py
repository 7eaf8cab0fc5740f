"""Checkpoints of a training: a folder for each of its last two epochs, outside the stage's outputs.

A training is identified by its key, a hash of all that its bits depend on. Another configuration, other data, other
code or other libraries give another key, and never find the folders.

<folder>/<key>/lock             is locked by the process that trains
<folder>/<key>/metrics.jsonl    has a line for each finished epoch, and is only ever appended to
<folder>/<key>/after-000012/    has the files of the project's state and checkpoint.json, which describes them
"""

import fcntl
import hashlib
import importlib.metadata
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from seqmnist.files import sha256_file, sha256_json

_GENERATIONS = 2  # the older one is there in case the newest is damaged
_DESCRIPTION = "checkpoint.json"
_METRICS = "metrics.jsonl"
_SEALED = re.compile(rb'\{"sha256": "([0-9a-f]{64})", (.*)\}\n', re.DOTALL)


class State(Protocol):
    """The part of a training that its project saves: weights, the optimizer's moments and the like."""

    def save(self, folder: Path) -> None:
        """Write the state as files into an empty folder, also into folders below it, but none as checkpoint.json."""

    def load(self, folder: Path) -> None:
        """Read the files that `save` wrote, by their names: the folder may have further ones."""


def training_key(
    recipe: Mapping[str, Any], data: Mapping[str, str], code: Iterable[Path], root: Path, libraries: Iterable[str]
) -> str:
    """Return the identity of a training.

    Args:
        recipe: All of the configuration that the training depends on.
        data: SHA-256 of each data set.
        code: Modules and folders of modules that the training depends on, below `root`.
        root: Folder of the package that has the code; its own name is not part of the key.
        libraries: Names of the distributions whose versions count.
    """
    files = sorted(file for path in code for file in _python_files(root / path, root))
    content = {
        "recipe": dict(recipe),
        "data": dict(data),
        "code": {str(file.relative_to(root)): sha256_file(file) for file in files},
        "libraries": {name: importlib.metadata.version(name) for name in libraries},
    }
    return sha256_json(content)


def _python_files(path: Path, root: Path) -> Iterator[Path]:
    """Yield the modules at or below `path`, without copies and links of editors, whose names can't be imported."""
    for file in path.rglob("*.py") if path.is_dir() else [path]:
        if all(part.isidentifier() for part in file.relative_to(root).with_suffix("").parts):
            yield file


class Checkpoints:
    """The checkpoints of one training, which belong to one process at a time: until `with` ends, or the process.

    Attributes:
        is_shared: True if another process trains the same; this one then reads and writes nothing.
        epochs: Number of finished epochs in the newest intact checkpoint, 0 if there is none.
        run_id: Id of the MLflow run that the checkpoint names, empty if none.
    """

    def __init__(self, folder: Path, key: str) -> None:
        """Claim a training's checkpoints, pass over damaged ones, and remove those of other keys.

        Args:
            folder: Parent folder shared by every recipe of one training, such as that of one cell and seed.
            key: Key of this recipe, see `training_key`.
        """
        self._folder = folder / key[:16]
        self._lock = _claimed(self._folder)
        self.is_shared = self._lock is None
        self.epochs, self.run_id = 0, ""
        self._metrics: list[dict[str, float]] = []  # of each finished epoch
        self._length = 0  # bytes of metrics.jsonl that these epochs take
        with ExitStack() as after_error:
            if self._lock:
                after_error.callback(self._lock.close)
                self._recover()
            self._remove_others()
            after_error.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock:
            self._lock.close()

    def load(self, state: State) -> list[dict[str, float]]:
        """Load the newest intact checkpoint into `state`, which stays as it is if there is none.

        Returns:
            The metrics of each finished epoch.
        """
        if self.epochs:
            path = self._path(self.epochs)
            with _naming(path):
                state.load(path)
        return [dict(metrics) for metrics in self._metrics]

    def save(self, metrics: Mapping[str, float], state: State, run_id: str) -> None:
        """Add a checkpoint after one more epoch; keep the one before it.

        Args:
            metrics: Metrics of the epoch.
            state: State of the training after the epoch.
            run_id: Id of the training's MLflow run, empty if it has none.

        Raises:
            OSError: A file can't be written; the checkpoints are what they were.
        """
        if self.is_shared:
            return
        epochs, metrics = self.epochs + 1, dict(metrics)
        line = _sealed({"epochs": epochs, "metrics": metrics})
        path = self._path(epochs)
        temporary = _hidden(path)
        try:
            with _naming(path):
                self._write_metrics(line)  # first: a generation is intact only with the lines of all its epochs
                temporary.mkdir()
                state.save(temporary)
                _describe(temporary, epochs, run_id)
                temporary.rename(path)
        except BaseException:
            if not path.exists():  # else a signal came after the renaming
                shutil.rmtree(temporary, ignore_errors=True)
                with suppress(OSError):
                    self._write_metrics(b"")
            raise
        _flush_folder(self._folder)
        self.epochs, self.run_id, self._length = epochs, run_id, self._length + len(line)
        self._metrics.append(metrics)
        for old in self._generations()[:-_GENERATIONS]:
            _remove(old)

    def remove(self) -> None:
        """Remove all checkpoints: the training is over."""
        if not self.is_shared:
            for path in self._generations():  # oldest first: a process that is killed meanwhile leaves intact ones
                _remove(path)
            shutil.rmtree(self._folder)

    def _recover(self) -> None:
        """Find the newest intact checkpoint and remove all that a training does not need to go on from it."""
        for litter in self._folder.glob(".after-*"):  # of a process that was killed
            _remove(litter)
        file = self._folder / _METRICS
        with _naming(file):
            content = file.read_bytes() if file.exists() else b""
        lines = _intact_lines(content)
        generations = self._generations()
        while generations:
            path = generations[-1]
            try:
                self.epochs, self.run_id = _described(path, len(lines))
            except ValueError as error:
                generations.pop()
                then = "going back to the one before it" if generations else "the training starts anew"
                print(f"{path.name} of {self._folder} is damaged ({error}): {then}", flush=True)
                _remove(path)
            else:
                break
        for old in generations[:-_GENERATIONS]:
            _remove(old)
        self._metrics = [metrics for metrics, _ in lines[: self.epochs]]
        self._length = sum(length for _, length in lines[: self.epochs])
        file.touch()
        if len(content) > self._length:
            self._write_metrics(b"")

    def _remove_others(self) -> None:
        """Remove the checkpoints of other keys, except those of living processes; print a line if there are any."""
        is_told = False
        for other in self._folder.parent.iterdir():
            if other == self._folder or not other.is_dir() or not (lock := _claimed(other)):
                continue
            with lock:
                if not is_told and any(other.glob("after-*")):
                    then = "they are removed" + ("" if self.epochs else " and the training starts anew")
                    name = self._folder.parent.name
                    print(f"checkpoints of {name} are of another recipe, data, code or version: {then}", flush=True)
                    is_told = True
                shutil.rmtree(other)

    def _path(self, epochs: int) -> Path:
        return self._folder / f"after-{epochs:06}"

    def _generations(self) -> list[Path]:
        return sorted(self._folder.glob("after-" + 6 * "[0-9]"))

    def _write_metrics(self, line: bytes) -> None:
        """Write a line behind those of the finished epochs, in place of anything that a failed save left there."""
        file = self._folder / _METRICS
        with _naming(file), file.open("r+b") as stream:
            stream.truncate(self._length)
            stream.seek(self._length)
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())


def _claimed(folder: Path) -> io.TextIOWrapper | None:
    """Return a folder's open lock, which ends with this process; None where another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        with _naming(folder / "lock"):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _intact_lines(content: bytes) -> list[tuple[dict[str, float], int]]:
    """Return the metrics and the length in bytes of each line of metrics.jsonl before the first damaged one."""
    lines: list[tuple[dict[str, float], int]] = []
    for line in content.splitlines(keepends=True):
        with suppress(ValueError):
            value = _unsealed(line)
            if value["epochs"] == len(lines) + 1:
                lines.append((value["metrics"], len(line)))
                continue
        break
    return lines


def _describe(folder: Path, epochs: int, run_id: str) -> None:
    """Write the description of a generation and flush all of its files to the disk."""
    below = sorted(folder.rglob("*"))
    files = {path.relative_to(folder).as_posix(): _content(path) for path in below if path.is_file()}
    description = folder / _DESCRIPTION
    with description.open("xb") as stream:
        stream.write(_sealed({"epochs": epochs, "run_id": run_id, "files": files}))
    for path in [*below, description]:
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        else:
            _flush_folder(path)
    _flush_folder(folder)


def _described(folder: Path, lines: int) -> tuple[int, str]:
    """Return the number of epochs and the run id of an intact generation.

    Args:
        folder: Folder of the generation.
        lines: Number of intact lines in metrics.jsonl.

    Raises:
        ValueError: The generation is damaged.
    """
    if not folder.is_dir():
        raise ValueError("it is a file of an older version")
    path = folder / _DESCRIPTION
    if not path.is_file():
        raise ValueError(f"{path.name} is missing")
    with _naming(path):
        content = path.read_bytes()
    try:
        description = _unsealed(content)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    for name, expected in description["files"].items():
        if not (folder / name).is_file():
            raise ValueError(f"{name} is missing")
        if _content(folder / name) != expected:
            raise ValueError(f"{name}: its SHA-256 is another")
    epochs = int(description["epochs"])
    if folder.name != f"after-{epochs:06}":
        raise ValueError(f"it was written after epoch {epochs}")
    if lines < epochs:
        raise ValueError(f"{_METRICS} has {lines} intact lines of {epochs}")
    return epochs, description["run_id"]


def _content(path: Path) -> dict[str, Any]:
    with _naming(path):
        return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def _sealed(value: Mapping[str, Any]) -> bytes:
    """Return a JSON object with the SHA-256 of its other members as the first one, as a line."""
    members = json.dumps(value).encode()[1:-1]
    return b'{"sha256": "%s", %s}\n' % (hashlib.sha256(members).hexdigest().encode(), members)


def _unsealed(line: bytes) -> dict[str, Any]:
    """Return the object that `_sealed` was given.

    Raises:
        ValueError: A byte of the line is another.
    """
    match = _SEALED.fullmatch(line)
    if not match or hashlib.sha256(match[2]).hexdigest().encode() != match[1]:
        raise ValueError("its SHA-256 is another")
    value: dict[str, Any] = json.loads(b"{%s}" % match[2])
    return value


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name.removeprefix('.')}")


def _remove(path: Path) -> None:
    """Remove a generation, or what is left of one; a process that is killed meanwhile leaves no half of it."""
    path = path.rename(_hidden(path))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _flush_folder(path: Path) -> None:
    with suppress(OSError):  # some file systems know no such thing for folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Give errors of the operating system that name no file the name of `path`."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
