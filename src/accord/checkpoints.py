"""Checkpoints of a training: a folder for each of its last two epochs, outside the stage's outputs.

A training is identified by its key, a hash of all that its bits depend on. Another configuration, other data, other
code or other libraries give another key, and never find the folders.

<folder>/<key>/lock             is locked by the process that trains
<folder>/<key>/metrics.jsonl    has a line for each finished epoch, and is only ever appended to
<folder>/<key>/after-000012/    has the files of the project's state, whose SHA-256 are in the epoch's line
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

_GENERATIONS = 2  # the older one is there in case the newest is damaged
_METRICS = "metrics.jsonl"


class State(Protocol):
    """The part of a training that its project saves: weights, the optimizer's moments and the like."""

    def save(self, folder: Path) -> None:
        """Write the state as files into an empty folder, also into folders below it."""

    def load(self, folder: Path) -> None:
        """Read the files that `save` wrote, by their names: the folder may have further ones."""


def finished_epochs(folder: Path) -> list[dict[str, float]]:
    """Return the metrics of each finished epoch of the training whose checkpoints are below a folder.

    It may be at work. Of several recipes that shared the folder it is the one that was last written.
    """
    with suppress(FileNotFoundError):  # removed meanwhile
        files = sorted(folder.rglob(_METRICS), key=lambda path: path.stat().st_mtime_ns)
        return [dict(record["metrics"]) for record in _intact_records(files[-1].read_bytes())] if files else []
    return []


def training_key(
    recipe: Mapping[str, Any], data: Mapping[str, str], code: Iterable[str], libraries: Iterable[str]
) -> str:
    """Return the identity of a training.

    Args:
        recipe: All of the configuration that the training depends on.
        data: SHA-256 of each data set.
        code: Modules and folders that it depends on, as `package/module.py`; packages may lie apart, as on a Ray node.
        libraries: Names of the distributions whose versions count.
    """
    modules: dict[str, str] = {}
    for package, _, path in (entry.partition("/") for entry in code):
        root = Path(importlib.import_module(package).__path__[0])
        place = root / path
        for file in place.rglob("*.py") if place.is_dir() else [place]:
            name = Path(package, file.relative_to(root)).with_suffix("")
            if all(map(str.isidentifier, name.parts)):  # copies and links of editors can't be imported
                modules[str(name)] = sha256_file(file)
    versions = {name: importlib.metadata.version(name) for name in libraries}
    return sha256_json({"recipe": dict(recipe), "data": dict(data), "code": modules, "libraries": versions})


class Checkpoints(AbstractContextManager["Checkpoints"]):
    """The checkpoints of one training, which belong to one process at a time: until `with` ends, or the process."""

    def __init__(self, folder: Path, key: str) -> None:
        """Claim the checkpoints with a `training_key`, pass over damaged ones, and remove those of other keys.

        `folder` is shared by every recipe of one training, such as that of one model and seed.
        """
        self._folder = folder / key[:16]
        self._file = self._folder / _METRICS
        self._records: list[dict[str, Any]] = []  # the lines of the finished epochs
        self._length = 0  # bytes that these lines take
        self.epochs = 0  # finished ones in the newest intact checkpoint, if there is one
        self.run_id = ""  # of the MLflow run that it names
        self._lock = claim(self._folder / "lock")
        self.is_shared = self._lock is None  # another process trains the same: this one reads and writes nothing
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
        """Print where the training of this name goes on, now and again where a signal ends the block."""
        if self.is_shared:
            print(f"{name}: another process trains the same; this one keeps no checkpoints", flush=True)
        elif self.epochs:
            print(f"{name}: resuming at epoch {self.epochs}", flush=True)
        try:
            yield
        except (KeyboardInterrupt, Terminated):
            how = f"goes on at epoch {self.epochs}" if self.epochs else "starts anew: no epoch was over"
            print(f"{name}: stopped; the same command {how}", flush=True)
            raise

    def load(self, state: State) -> list[dict[str, float]]:
        """Load the newest intact checkpoint into `state` if there is one; return the metrics of each finished epoch."""
        if self.epochs:
            state.load(self._path(self.epochs))
        return [dict(record["metrics"]) for record in self._records]

    def save(self, metrics: Mapping[str, float], state: State, run_id: str) -> None:
        """Add a checkpoint after one more epoch, with its metrics and the id of the MLflow run; keep the one before it.

        Raises:
            OSError: A file can't be written; the checkpoints are what they were.
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
                self._append(line)  # before the renaming: a generation is intact only with the lines of all its epochs
                for written in [*temporary.rglob("*"), temporary]:
                    flush(written)
                temporary.rename(path)
        except BaseException:
            if not path.exists():  # else a signal came after the renaming
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
        """Remove all checkpoints: the training is over."""
        if not self.is_shared:
            _remove(self._folder)

    def _recover(self) -> None:
        """Find the newest intact checkpoint, and remove damaged ones and what a killed process left."""
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
        """Remove the checkpoints of other keys, except those of living processes; print a line if there are any."""
        has_any = False
        for other in self._folder.parent.iterdir():
            if other != self._folder and other.is_dir() and (lock := claim(other / "lock")):
                with lock:
                    has_any |= any(other.glob("after-*")) and not other.name.startswith(".")  # by `remove`
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
        """Write a line behind those of the finished epochs, in place of anything that a failed save left there."""
        with naming(self._file):
            with self._file.open("ab") as stream:
                stream.truncate(self._length)
                stream.write(line)
            flush(self._file)


def _intact_records(content: bytes) -> list[dict[str, Any]]:
    """Return what each line of metrics.jsonl says, before the first that is damaged or not in its place."""
    records: list[dict[str, Any]] = []
    with suppress(AttributeError, KeyError, TypeError, ValueError):  # a line is no JSON, or no object
        for line in content.splitlines(keepends=True):
            record = json.loads(line)
            del record["sha256"]
            if _sealed(record) != line or record["epochs"] != len(records) + 1:
                break
            records.append(record)
    return records


def _damage(folder: Path, records: list[dict[str, Any]], epochs: int) -> str:
    """Return what is wrong with a generation, empty if nothing is; `records` are the intact ones of its epochs."""
    if len(records) < epochs:
        return f"{_METRICS} has {len(records)} intact lines of {epochs}"
    found = sha256_files(folder)
    for name, expected in records[-1]["files"].items():
        if found.get(name) != expected:
            return f"{name}: its SHA-256 is another" if name in found else f"{name} is missing"
    return ""


def _sealed(record: Mapping[str, Any]) -> bytes:
    """Return a JSON object with the SHA-256 of its other members as the first one, as a line."""
    digest = hashlib.sha256(json.dumps(record).encode()).hexdigest()
    return json.dumps({"sha256": digest, **record}).encode() + b"\n"


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}")


def _remove(folder: Path) -> None:
    """Remove a folder; a process that is killed meanwhile leaves no half of it under its name."""
    shutil.rmtree(folder.rename(_hidden(folder)))
