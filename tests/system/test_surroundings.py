"""Variables and configuration files of the user, which libraries read, change no output of the pipeline."""

import json
from pathlib import Path

import pytest

from tests.projects import Project

CHANGES_RESULTS = {
    "TF_DETERMINISTIC_OPS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_SET_ONEDNN_FPMATH_MODE": "BF16",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "TF_NUM_INTRAOP_THREADS": "7",
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
}
CHANGES_LOOKS = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as Jupyter and Colab set it
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "TZ": "Asia/Kathmandu",
    "OMP_NUM_THREADS": "7",
    "PYTHONHASHSEED": "7",
    "COLUMNS": "20",
}
MATPLOTLIBRC = """
text.usetex: True
backend: module://matplotlib_inline.backend_inline
figure.dpi: 31
savefig.dpi: 31
savefig.bbox: tight
savefig.facecolor: red
font.family: no such font
axes.facecolor: black
lines.linewidth: 9
"""


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, str]:
    """Return environment variables, among them a HOME with settings of Keras and Matplotlib."""
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    keras = {"floatx": "float16", "epsilon": 0.1, "backend": "torch", "image_data_format": "channels_first"}
    (home / ".keras/keras.json").write_text(json.dumps(keras), "utf-8")
    (home / ".config/matplotlib").mkdir(parents=True)
    (home / ".config/matplotlib/matplotlibrc").write_text(MATPLOTLIBRC, "utf-8")
    return {**CHANGES_RESULTS, **CHANGES_LOOKS, "HOME": str(home), "KERAS_HOME": str(home / ".keras")}


@pytest.mark.slow
def test_variables_and_files_of_the_user_change_no_output(
    unrun: Project, hostile: dict[str, str], tmp_path: Path
) -> None:
    unrun.edit("conf/base.yaml", "- sequence: rows", "- sequence: columns")  # has a layer without a dtype of its own
    other = unrun.copy(tmp_path / "other")
    (other.root / "matplotlibrc").write_text(MATPLOTLIBRC, "utf-8")

    unrun.succeed("dvc", "repro")
    output = other.succeed("dvc", "repro", **hostile).output

    assert other.output_hashes() == unrun.output_hashes()
    assert "without KERAS_MAX_EPOCHS, KERAS_MAX_STEPS_PER_EPOCH, ONEDNN_DEFAULT_FPMATH_MODE, " in output
    assert "Traceback" not in output
