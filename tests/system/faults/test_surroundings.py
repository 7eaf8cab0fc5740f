"""Environment variables for TensorFlow and Keras change no weights."""

from pathlib import Path

import pytest

from tests.accord.system.faults.test_surroundings import (  # noqa: F401  (of seqmnist's `base`)
    Surrounding,
    parametrize,
    test_a_stage_gives_the_same_bytes_or_a_line,
    variable,
)

pytestmark = pytest.mark.slow

SURROUNDINGS = {
    "TensorFlow": [
        variable("TF_DETERMINISTIC_OPS", "1"),
        variable("TF_ENABLE_ONEDNN_OPTS", "0"),
        variable("TF_SET_ONEDNN_FPMATH_MODE", "BF16"),
        variable("TF_NUM_INTRAOP_THREADS", "7"),
        variable("TF_USE_LEGACY_KERAS", "1"),
        Surrounding({"XLA_FLAGS": "--xla_cpu_enable_fast_math=true", "TF_XLA_FLAGS": "--tf_xla_auto_jit=2"}),
        variable("KERAS_BACKEND", "jax"),
        variable("KERAS_MAX_EPOCHS", "1"),
    ]
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, SURROUNDINGS)


@pytest.fixture(scope="module")
def training() -> tuple[str, Path]:
    """Return the module of a training stage with its argument, and the folder of its model."""
    return "seqmnist.stages.train rnn", Path("models/rnn")
