"""The start of TensorFlow in this process: quiet, deterministic, on few threads, without a GPU."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Variables that change how Keras, TensorFlow, XLA and oneDNN compute.
_CHANGES_RESULTS = re.compile(r"(KERAS|NNX|TF|TF2|XLA|ONEDNN|DNNL)_.+")
_OTHERS = re.compile(  # variables of the same prefix: TensorFlow's log, and Terraform
    r"TF_(CPP|CLI|CLOUD|IGNORE|INPUT|IN_AUTOMATION|LOG|PLUGIN|REATTACH|REGISTRY|STATE|TOKEN|VAR|WORKSPACE|DATA_DIR)(_.+)?"
)


def start_tensorflow(shards: int) -> None:
    """Import TensorFlow with single-threaded operations, of which `shards` run side by side.

    A product that one thread sums has the same bits every time. So the cores share the parts of a batch, not the parts
    of a product. Call it before anything else imports TensorFlow or Keras.

    Environment variables and a keras.json that would change results have no effect.
    """
    _set_environment()
    sys.dont_write_bytecode = True  # AutoGraph's would stay in the folder for temporary files
    with _stderr_held_back(), _hidden("sklearn"):  # half a second, for Keras's wrappers that nothing here uses
        import keras
        import tensorflow as tf

        keras.config.disable_interactive_logging()  # no bar for each prediction
        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(shards)


def _set_environment() -> None:
    """Remove variables that change results, and say so; name Keras's backend, and a folder without a keras.json."""
    # TensorFlow sets the last one itself, so processes that it starts have it.
    own = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull, "TF2_BEHAVIOR": "1"}
    changing = sorted(name for name in os.environ if _CHANGES_RESULTS.fullmatch(name) and not _OTHERS.fullmatch(name))
    if removed := [name for name in changing if name not in own]:
        print(f"without {', '.join(removed)} of the environment, on which results would depend", flush=True)
    for name in changing:
        del os.environ[name]
    os.environ |= own


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Make imports of a package fail, unless it is imported already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # Python's mark for a module that can't be imported
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Hold back what is written to stderr, and show it only after an exception.

    TensorFlow's C++ part prints lines about oneDNN and missing GPUs at each import. TF_CPP_MIN_LOG_LEVEL no longer
    silences it (2.21).
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
