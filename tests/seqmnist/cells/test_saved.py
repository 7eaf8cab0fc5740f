import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from accord.errors import UserError
from seqmnist.cells import saved
from seqmnist.cells.model import build, exported
from seqmnist.config import Cell, Sequence
from seqmnist.randomness import generator

if TYPE_CHECKING:
    import keras

IMAGES = generator(0, "images").integers(0, 256, (5, 28, 28)).astype(np.uint8)
RNN = Cell(type="rnn", units=8, shards=2, train={})
LSTM = Cell(type="lstm", units=6, shards=3, train={"epochs": 2})
ROWS = Sequence(view="rows")
SEED = 7
MODELS = {
    "rnn on rows": (RNN, ROWS),
    "lstm on columns": (LSTM, Sequence(view="columns")),
    "rnn on pixels": (RNN, Sequence(view="pixels")),
    "lstm on permuted pixels": (LSTM, Sequence(view="permuted_pixels")),
}

# Keras alone, as on a machine where this package is not installed.
LOAD_EXPORTED = """
import pathlib, sys
sys.modules["seqmnist"] = None
import keras, numpy
folder = pathlib.Path(sys.argv[1])
images = numpy.load(folder / "images.npy")
for path in folder.glob("*.keras"):
    model = keras.saving.load_model(path, safe_mode=True)
    numpy.save(path.with_suffix(".npy"), model(images).numpy())
"""


def trained(cell: Cell = RNN, sequence: Sequence = ROWS) -> "keras.Model":
    """A model with other weights than `build` gives it."""
    model = build(cell, sequence, SEED)
    model.set_weights([weight + np.float32(0.1) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def export_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported models, each beside what another process made of the images with it."""
    folder = tmp_path_factory.mktemp("exported")
    np.save(folder / "images.npy", IMAGES)
    for name, (cell, sequence) in MODELS.items():
        exported(trained(cell, sequence), cell, sequence).save(folder / f"{name}.keras")
    command = [sys.executable, "-I", "-c", LOAD_EXPORTED, str(folder)]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize(("cell", "sequence"), MODELS.values(), ids=MODELS)
def test_a_loaded_model_is_the_saved_one(tmp_path: Path, cell: Cell, sequence: Sequence) -> None:
    model = trained(cell, sequence)

    saved.save(tmp_path / "new" / "folder", model, cell, sequence, SEED)
    loaded, described = saved.load(tmp_path / "new" / "folder", SEED)

    assert described == cell
    np.testing.assert_array_equal(loaded(IMAGES).numpy(), model(IMAGES).numpy())


@pytest.mark.parametrize(("cell", "sequence"), [(LSTM, ROWS), (RNN, Sequence(view="columns"))], ids=["cell", "view"])
def test_a_saved_model_is_checked_against_a_configuration(tmp_path: Path, cell: Cell, sequence: Sequence) -> None:
    saved.save(tmp_path, trained(), RNN, ROWS, SEED)
    saved.check(tmp_path, RNN, ROWS)
    with pytest.raises(UserError, match=r"holds a model of another configuration than params\.yaml"):
        saved.check(tmp_path, cell, sequence)


def test_seeds_share_a_folder(tmp_path: Path) -> None:
    first, second = build(RNN, ROWS, 1), build(RNN, ROWS, 2)

    saved.save(tmp_path, first, RNN, ROWS, 1)
    saved.save(tmp_path, second, RNN, ROWS, 2)

    for seed, model in ((1, first), (2, second)):
        loaded, _ = saved.load(tmp_path, seed)
        np.testing.assert_array_equal(loaded(IMAGES).numpy(), model(IMAGES).numpy())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.json",
        "seed-1.sha256",
        "seed-1.weights.h5",
        "seed-2.sha256",
        "seed-2.weights.h5",
    ]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        saved.save(folder, trained(), RNN, ROWS, SEED)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})

    assert len(contents[0]) == 3
    assert contents[0] == contents[1]


def test_saving_replaces_what_was_there(tmp_path: Path) -> None:
    saved.save(tmp_path, build(RNN, ROWS, SEED), RNN, ROWS, SEED)
    path = saved.save(tmp_path, trained(), RNN, ROWS, SEED)

    assert path == saved.weights_file(tmp_path, SEED)
    loaded, _ = saved.load(tmp_path, SEED)
    np.testing.assert_array_equal(loaded(IMAGES).numpy(), trained()(IMAGES).numpy())


def edit(path: Path, part: Literal["cell", "sequence"], key: str, value: Any) -> None:
    description = json.loads(path.read_text(encoding="utf-8"))
    description[part][key] = value
    path.write_text(json.dumps(description), encoding="utf-8")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def change_a_number(path: Path) -> None:
    """Write another value over the kernel's bytes, which HDF5 reads without an error."""
    content = bytearray(path.read_bytes())
    kernel = trained().get_weights()[0].tobytes()
    content[content.index(kernel) + 5] ^= 1
    path.write_bytes(content)


DESCRIPTION, WEIGHTS, DIGEST = "model.json", f"seed-{SEED}.weights.h5", f"seed-{SEED}.sha256"
DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "description missing": (DESCRIPTION, Path.unlink),
    "description empty": (DESCRIPTION, lambda path: path.write_bytes(b"")),
    "description cut": (DESCRIPTION, lambda path: path.write_bytes(path.read_bytes()[:40])),
    "description not UTF-8": (DESCRIPTION, lambda path: path.write_bytes(b"\xff\xfe")),
    "description a list": (DESCRIPTION, lambda path: path.write_text("[]")),
    "description without cell": (DESCRIPTION, lambda path: path.write_text("{}")),
    "unknown cell": (DESCRIPTION, lambda path: edit(path, "cell", "type", "mlp")),
    "unknown view": (DESCRIPTION, lambda path: edit(path, "sequence", "view", "spiral")),
    "unknown key": (DESCRIPTION, lambda path: edit(path, "cell", "layers", 2)),
    "weights missing": (WEIGHTS, Path.unlink),
    "weights empty": (WEIGHTS, lambda path: path.write_bytes(b"")),
    "weights cut": (WEIGHTS, lambda path: path.write_bytes(path.read_bytes()[:2000])),
    "weights of another kind": (WEIGHTS, lambda path: path.write_text("no HDF5\n" * 100)),
    "weights a folder": (WEIGHTS, replace_by_folder),
    "weights with another number": (WEIGHTS, change_a_number),
    "digest missing": (DIGEST, Path.unlink),
}


@pytest.mark.parametrize(("file", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_missing_or_broken_file_is_named_in_one_line(
    tmp_path: Path, file: str, damage: Callable[[Path], object]
) -> None:
    saved.save(tmp_path, trained(), RNN, ROWS, SEED)
    damage(tmp_path / file)

    with pytest.raises(UserError) as caught:
        saved.load(tmp_path, SEED)

    message = str(caught.value)
    assert message.startswith(str(tmp_path / file))
    assert "dvc repro" in message
    assert "\n" not in message


def test_weights_that_were_changed_are_said_to_be_damaged(tmp_path: Path) -> None:
    path = saved.save(tmp_path, trained(), RNN, ROWS, SEED)
    change_a_number(path)

    with pytest.raises(UserError, match=rf"{WEIGHTS} is damaged, .*run `seqmnist check --repair`, then `dvc repro`"):
        saved.load(tmp_path, SEED)


@pytest.mark.parametrize("file", [DESCRIPTION, WEIGHTS, DIGEST])
def test_a_model_of_which_a_part_was_replaced_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """The process ends just before it renames one of the three files."""
    saved.save(tmp_path, trained(), RNN, ROWS, SEED)
    replace = Path.replace

    def end(path: Path, target: Path) -> Path:
        if target.name == file:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", end)
    with pytest.raises(KeyboardInterrupt):
        saved.save(tmp_path, build(RNN, ROWS, 1), RNN, Sequence(view="columns"), SEED)

    with pytest.raises(UserError, match=f"{DIGEST} is missing: run `dvc repro`"):
        saved.load(tmp_path, SEED)


FULL = """
import pathlib, resource
from seqmnist.cells import saved
from seqmnist.cells.model import build
from seqmnist.config import Cell, Sequence
from accord.process import run_command

cell, sequence = Cell(type="rnn", units=8, shards=2, train={}), Sequence(view="rows")
model = build(cell, sequence, 1)

def main() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    saved.save(pathlib.Path("models"), model, cell, sequence, 1)

run_command(main, needs_project=False)
"""


@pytest.mark.slow
def test_a_full_disk_gives_one_line_and_leaves_no_weights(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, "-c", FULL], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"error: {saved.weights_file(Path('models'), 1)}: File too large"
    assert "Traceback" not in result.stderr
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["model.json"]


@pytest.mark.parametrize(
    "description",
    [RNN.model_copy(update={"units": 9}), RNN.model_copy(update={"type": "lstm"})],
    ids=["other size", "other cell"],
)
def test_weights_that_do_not_fit_the_description_are_refused(tmp_path: Path, description: Cell) -> None:
    saved.save(tmp_path, trained(), description, ROWS, SEED)

    with pytest.raises(UserError, match=WEIGHTS) as caught:
        saved.load(tmp_path, SEED)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_runs_where_the_package_is_not_installed(export_folder: Path, name: str) -> None:
    probabilities: NDArray[np.float32] = np.load(export_folder / f"{name}.npy")

    expected = exported(trained(*MODELS[name]), *MODELS[name])(IMAGES).numpy()
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
