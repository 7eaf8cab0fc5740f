"""Checkpoints of a training: a folder for each of its last two epochs, outside the stage's outputs.

A training is identified by its key, a hash of everything that affects its results. If the configuration, data, code or
libraries change, the key changes, and the old checkpoints are not loaded.

<folder>/<key>/lock             file that the training process keeps locked
<folder>/<key>/metrics.jsonl    one line per finished epoch; lines are only ever appended
<folder>/<key>/after-000012/    files of the project's state after 12 epochs; the epoch's line has their SHA-256
"""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from accord.files import claim, flush, naming, sha256_file, sha256_files, sha256_json
from accord.process import Terminated

_GENERATIONS = 2  # the older checkpoint is the fallback if the newest is damaged
_METRICS = "metrics.jsonl"


class State(Protocol):
    """The part of a training that its project saves: weights, the optimizer's moments and the like."""

    def save(self, folder: Path) -> None:
        """Write the state as files into an empty folder; subfolders are allowed."""

    def load(self, folder: Path) -> None:
        """Load the files that `save` wrote, by name: the folder may contain other files."""


def finished_epochs(folder: Path) -> list[dict[str, float]]:
    """Return the metrics of each finished epoch of the training whose checkpoints are below a folder.

    The training may still be running. If several trainings share the folder, the one written last is read.
    """
    with suppress(FileNotFoundError):  # another process removed the checkpoints
        files = sorted(folder.rglob(_METRICS), key=lambda path: path.stat().st_mtime_ns)
        return [dict(record["metrics"]) for record in _intact_records(files[-1].read_bytes())] if files else []
    return []


def training_key(
    recipe: Mapping[str, Any], data: Mapping[str, str], code: Iterable[str], libraries: Iterable[str]
) -> str:
    """Return the key of a training, as a SHA-256 in hexadecimal.

    Args:
        recipe: All configuration values that the training depends on.
        data: SHA-256 of each data set, by name.
        code: Modules and folders that the training depends on, as `package/module.py`. The packages may be installed
            in different folders, as on a Ray node.
        libraries: Names of the distributions whose installed versions are part of the key.
    """
    modules: dict[str, str] = {}
    for package, _, path in (entry.partition("/") for entry in code):
        root = Path(importlib.import_module(package).__path__[0])
        place = root / path
        for file in place.rglob("*.py") if place.is_dir() else [place]:
            name = Path(package, file.relative_to(root)).with_suffix("")
            if all(map(str.isidentifier, name.parts)):  # skips backup files of editors, which can't be imported
                modules[str(name)] = sha256_file(file)
    versions = {name: importlib.metadata.version(name) for name in libraries}
    return sha256_json({"recipe": dict(recipe), "data": dict(data), "code": modules, "libraries": versions})


class Checkpoints(AbstractContextManager["Checkpoints"]):
    """The checkpoints of one training, locked by one process until its `with` block or the process ends."""

    def __init__(self, folder: Path, key: str) -> None:
        """Lock the checkpoints, find the newest intact one, and remove damaged ones and those with other keys.

        Args:
            folder: Parent folder shared by every recipe of one model and seed.
            key: Key of the training, from `training_key`.

        Raises:
            OSError: The folder can't be read or written.
        """
        self._folder = folder / key[:16]
        self._file = self._folder / _METRICS
        self._records: list[dict[str, Any]] = []  # one record per finished epoch
        self._length = 0  # size of these records' lines in metrics.jsonl, in bytes
        self.epochs = 0  # number of finished epochs in the newest intact checkpoint; 0 without one
        self.run_id = ""  # id of the MLflow run that the newest intact checkpoint names; empty without one
        self._lock = claim(self._folder / "lock")
        self.is_shared = self._lock is None  # another process holds the lock: this one reads and writes nothing
        try:
            with naming(self._folder):
                if not self.is_shared:
                    self._recover()
                self._remove_others()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._lock:
            self._lock.close()

    @contextmanager
    def announced(self, name: str) -> Iterator[None]:
        """Print at which epoch the named training resumes: now, and once more if a signal ends the block."""
        if self.is_shared:
            print(f"{name}: another process trains the same; this one keeps no checkpoints", flush=True)
        elif self.epochs:
            print(f"{name}: resuming at epoch {self.epochs}", flush=True)
        try:
            yield
        except (KeyboardInterrupt, Terminated):
            how = f"goes on at epoch {self.epochs}" if self.epochs else "starts anew: no epoch was finished"
            print(f"{name}: stopped; the same command {how}", flush=True)
            raise

    def load(self, state: State) -> list[dict[str, float]]:
        """Load the newest intact checkpoint, if any, into `state`, and return the metrics of each finished epoch."""
        if self.epochs:
            state.load(self._path(self.epochs))
        return [dict(record["metrics"]) for record in self._records]

    def save(self, metrics: Mapping[str, float], state: State, run_id: str) -> None:
        """Write a checkpoint after one more epoch, and remove all but the newest two.

        Args:
            metrics: Metrics of the epoch, by name.
            state: State of the training after the epoch.
            run_id: Id of the MLflow run, which a resumed training continues.

        Raises:
            OSError: A file can't be written. The earlier checkpoints are unchanged.
        """
        if self.is_shared:
            return
        path = self._path(epochs := self.epochs + 1)
        temporary = _hidden(path)
        try:
            with naming(path):
                temporary.mkdir()
                state.save(temporary)
                digests = sha256_files(temporary)
                record = {"epochs": epochs, "run_id": run_id, "metrics": dict(metrics), "files": digests}
                line = _sealed(record)
                self._append(line)  # before the renaming: a checkpoint is intact only with the lines of all its epochs
                for written in [*temporary.rglob("*"), temporary]:
                    flush(written)
                temporary.rename(path)
        except BaseException:
            if not path.exists():  # if it exists, a signal arrived after the renaming and the checkpoint is complete
                shutil.rmtree(temporary, ignore_errors=True)
                with suppress(OSError):
                    self._append(b"")
            raise
        flush(self._folder)
        self._records.append(record)
        self.epochs, self.run_id, self._length = epochs, run_id, self._length + len(line)
        for old in self._generations()[:-_GENERATIONS]:
            _remove(old)

    def remove(self) -> None:
        """Remove all checkpoints of the training, once it is finished."""
        if not self.is_shared:
            _remove(self._folder)

    def _recover(self) -> None:
        """Find the newest intact checkpoint, and remove damaged ones and the leftovers of a killed process."""
        for litter in self._folder.glob(".after-*"):
            shutil.rmtree(litter)
        records = _intact_records(self._file.read_bytes() if self._file.exists() else b"")
        generations = self._generations()
        while generations and not self.epochs:
            path = generations.pop()
            epochs = int(path.name.removeprefix("after-"))
            if damage := _damage(path, records[:epochs], epochs):
                then = "going back to the one before it" if generations else "the training starts anew"
                print(f"{path.name} of {self._folder} is damaged ({damage}): {then}", flush=True)
                _remove(path)
            else:
                self._records, self.epochs, self.run_id = records[:epochs], epochs, records[epochs - 1]["run_id"]
        self._length = sum(len(_sealed(record)) for record in self._records)
        self._append(b"")

    def _remove_others(self) -> None:
        """Remove the checkpoints with other keys that no process has locked, and print a line if there were any."""
        has_any = False
        for other in self._folder.parent.iterdir():
            if other != self._folder and other.is_dir() and (lock := claim(other / "lock")):
                with lock:
                    # A name with a dot was left by a killed `remove`: its training was finished.
                    has_any |= any(other.glob("after-*")) and not other.name.startswith(".")
                    shutil.rmtree(other)
        if has_any:
            then = "they are removed" + ("" if self.epochs else " and the training starts anew")
            name = self._folder.parent.name
            print(f"checkpoints of {name} are of another recipe, data, code or version: {then}", flush=True)

    def _path(self, epochs: int) -> Path:
        return self._folder / f"after-{epochs:06}"

    def _generations(self) -> list[Path]:
        return sorted(self._folder.glob("after-" + 6 * "[0-9]"))

    def _append(self, line: bytes) -> None:
        """Write a line after those of the finished epochs, and drop anything that a failed save left there."""
        with naming(self._file):
            with self._file.open("ab") as stream:
                stream.truncate(self._length)
                stream.write(line)
            flush(self._file)


def _intact_records(content: bytes) -> list[dict[str, Any]]:
    """Return the records of metrics.jsonl up to the first line that is damaged or out of order."""
    records: list[dict[str, Any]] = []
    with suppress(AttributeError, KeyError, TypeError, ValueError):  # a damaged line may not be a JSON object
        for line in content.splitlines(keepends=True):
            record = json.loads(line)
            del record["sha256"]
            if _sealed(record) != line or record["epochs"] != len(records) + 1:
                break
            records.append(record)
    return records


def _damage(folder: Path, records: list[dict[str, Any]], epochs: int) -> str:
    """Return the reason why a checkpoint is damaged, or "" if it is intact; `records` are its intact records."""
    if len(records) < epochs:
        return f"{_METRICS} has {len(records)} intact lines of {epochs}"
    found = sha256_files(folder)
    for name, expected in records[-1]["files"].items():
        if found.get(name) != expected:
            return f"{name}: its SHA-256 is another" if name in found else f"{name} is missing"
    return ""


def _sealed(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of JSON whose first member is the SHA-256 of the others."""
    digest = hashlib.sha256(json.dumps(record).encode()).hexdigest()
    return json.dumps({"sha256": digest, **record}).encode() + b"\n"


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}")


def _remove(folder: Path) -> None:
    """Remove a folder; rename it first, so that a kill never leaves part of it under its name."""
    shutil.rmtree(folder.rename(_hidden(folder)))
