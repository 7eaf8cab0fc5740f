"""What an interrupted training goes on from: a file for each of the last two epochs, outside the stage's outputs.

A training is identified by its key, a hash of all that its bits depend on; another configuration, other data, other
code or libraries give another key, and never find the files.
"""

import dataclasses
import fcntl
import hashlib
import importlib.metadata
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from seqmnist.files import atomic_path, sha256_file, sha256_json
from seqmnist.training.trainer import Epoch

_GENERATIONS = 2  # the one before is there in case the newest is damaged
_PACKAGE = Path(__file__).parents[1]
_CODE = ("cells", "data", "training", "config.py", "randomness.py")  # what a training's bits depend on
_LIBRARIES = ("keras", "numpy", "tensorflow")

Arrays = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Checkpoint:
    """A training after some epochs.

    Attributes:
        epochs: what each of them gave.
        state: what `Trainer.state` gave after the last of them.
        best: the weights after the selected one of them.
        run_id: the training's MLflow run; empty where the tracking server was away.
    """

    epochs: list[Epoch]
    state: Arrays
    best: Arrays
    run_id: str


def training_key(recipe: Mapping[str, Any], data: Mapping[str, str]) -> str:
    """The identity of a training.

    Args:
        recipe: all of the configuration that it depends on.
        data: the digest of each split.
    """
    files = sorted(file for name in _CODE for file in _python_files(_PACKAGE / name))
    code = {str(file.relative_to(_PACKAGE)): sha256_file(file) for file in files}
    libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return sha256_json({"recipe": dict(recipe), "data": dict(data), "code": code, "libraries": libraries})


def _python_files(path: Path) -> Iterator[Path]:
    """Yield the modules at or below `path`, without copies and links of editors, whose names can't be imported."""
    for file in path.rglob("*.py") if path.is_dir() else [path]:
        if all(part.isidentifier() for part in file.relative_to(_PACKAGE).with_suffix("").parts):
            yield file


class Checkpoints:
    """The checkpoints of one training, which belong to one process at a time: until `with` ends, or the process."""

    def __init__(self, folder: Path, key: str) -> None:
        """Claim a training's checkpoints and remove those of its predecessors.

        Args:
            folder: of all trainings that take each other's place: the same cell and seed by other recipes.
            key: of this one, see `training_key`.
        """
        self._folder = folder / key[:16]
        self._lock = _claimed(self._folder)
        self.is_shared = self._lock is None  # another process trains the same: this one leaves the files alone
        self.epochs = 0  # how many epochs the newest checkpoint has
        for other in filter(Path.is_dir, folder.iterdir()):
            if other != self._folder and (lock := _claimed(other)):
                shutil.rmtree(other)
                lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock:
            self._lock.close()

    def load(self) -> Checkpoint | None:
        """The newest whole checkpoint, or None; damaged ones are told of and passed over."""
        files = [] if self.is_shared else self._files()
        while files:
            path = files.pop()
            try:
                checkpoint = _read(path)
            except ValueError as error:
                then = "going back to the one before it" if files else "the training starts anew"
                print(f"{path.name} of {self._folder} is damaged ({error}): {then}", flush=True)
                continue
            self.epochs = len(checkpoint.epochs)
            return checkpoint
        return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint and the one before it."""
        if self.is_shared:
            return
        _write(self._folder / f"after-{len(checkpoint.epochs):06}", checkpoint)
        self.epochs = len(checkpoint.epochs)
        for old in self._files()[:-_GENERATIONS]:
            old.unlink()

    def remove(self) -> None:
        """Remove them all: the training is over."""
        if not self.is_shared:
            shutil.rmtree(self._folder)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("after-*"))


def _claimed(folder: Path) -> io.TextIOWrapper | None:
    """A folder's open lock, which ends with this process however it ends; None where another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _write(path: Path, checkpoint: Checkpoint) -> None:
    """A line with the SHA-256 of the rest, then an .npz archive."""
    content = io.BytesIO()
    described = {"run_id": checkpoint.run_id, "epochs": [dataclasses.asdict(epoch) for epoch in checkpoint.epochs]}
    arrays = {f"state{k}": array for k, array in enumerate(checkpoint.state)}
    arrays |= {f"best{k}": array for k, array in enumerate(checkpoint.best)}
    np.savez(content, allow_pickle=False, described=np.array(json.dumps(described)), **arrays)
    body = content.getvalue()
    with atomic_path(path) as temporary:
        temporary.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def _read(path: Path) -> Checkpoint:
    """What `_write` wrote.

    Raises:
        ValueError: the file is not whole.
    """
    digest, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError("its SHA-256 is another")
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        described = json.loads(str(arrays["described"]))
        state, best = ([arrays[name] for name in arrays.files if name.startswith(kind)] for kind in ("state", "best"))
    return Checkpoint([Epoch(**epoch) for epoch in described["epochs"]], state, best, described["run_id"])
