import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqmnist.training.runtime import _set_environment, _stderr_held_back, start_tensorflow

START = """
import json
from seqmnist.training.runtime import start_tensorflow
start_tensorflow(3)
import keras, sys, tensorflow as tf
without = "sklearn" not in sys.modules
import sklearn.metrics
@tf.function
def step(x):
    return x + 1
step(tf.constant(1.0))
print(json.dumps({
    "backend": keras.backend.backend(),
    "within": tf.config.threading.get_intra_op_parallelism_threads(),
    "side by side": tf.config.threading.get_inter_op_parallelism_threads(),
    "without scikit-learn": without,
    "GPUs": len(tf.config.get_visible_devices("GPU")),
}))
"""


@pytest.mark.slow
def test_a_process_starts_tensorflow_quietly_on_the_threads_asked_for(tmp_path: Path) -> None:
    environment = os.environ | {"KERAS_BACKEND": "jax", "TMPDIR": str(tmp_path / "tmp")}  # of another project
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    (tmp_path / "tmp").mkdir()
    (tmp_path / "start.py").write_text(START)  # a file: AutoGraph reads sources

    command = [sys.executable, str(tmp_path / "start.py")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
    started = {"backend": "tensorflow", "within": 1, "side by side": 3, "without scikit-learn": True, "GPUs": 0}
    assert json.loads(result.stdout) == started
    assert list((tmp_path / "tmp").iterdir()) == [], "nothing stays there"


def test_starting_again_with_as_many_shards_is_harmless() -> None:
    import tensorflow as tf

    tf.constant(1) + 1

    start_tensorflow(2)

    assert tf.config.threading.get_inter_op_parallelism_threads() == 2


def test_what_libraries_write_to_stderr_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    with _stderr_held_back():
        os.write(2, b"chatter\n")
    os.write(2, b"afterwards\n")

    assert capfd.readouterr().err == "afterwards\n"


def test_what_libraries_write_to_stderr_is_shown_when_they_fail(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), _stderr_held_back():
        _ = os.write(2, b"the cause\n") / 0

    assert capfd.readouterr().err == "the cause\n"


def test_variables_that_change_results_are_removed_with_a_line_and_others_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in os.environ if name.startswith(("TF_", "KERAS_", "XLA_"))]:
        monkeypatch.delenv(name)
    kept = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_VAR_region": "x", "TF_LOG": "trace", "OMP_NUM_THREADS": "3"}
    for name, value in {
        **kept,
        "KERAS_BACKEND": "jax",
        "KERAS_HOME": "/x",
        "TF2_BEHAVIOR": "0",
        "TF_USE_LEGACY_KERAS": "1",
        "XLA_FLAGS": "",
    }.items():
        monkeypatch.setenv(name, value)

    _set_environment()

    assert {name: os.environ.get(name) for name in kept} == kept
    assert (os.environ["KERAS_BACKEND"], os.environ["KERAS_HOME"]) == ("tensorflow", os.devnull)
    assert os.environ["TF2_BEHAVIOR"] == "1", "TensorFlow sets it so, and processes that it starts have it"
    assert not {"TF_USE_LEGACY_KERAS", "XLA_FLAGS"} & set(os.environ)
    expected = "without TF_USE_LEGACY_KERAS, XLA_FLAGS of the environment, on which results would depend\n"
    assert capsys.readouterr().out == expected
    _set_environment()
    assert capsys.readouterr().out == ""
