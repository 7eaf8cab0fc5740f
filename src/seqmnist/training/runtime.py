"""How this process runs TensorFlow: quiet, deterministic, on few threads, without a GPU."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def start_tensorflow(shards: int) -> None:
    """Import TensorFlow with single-threaded operations and `shards` operations side by side.

    A product that is summed by one thread gives the same bits every time, so the parts of a batch, not the
    parts of a product, share the cores. Call it before anything else imports TensorFlow or Keras.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.dont_write_bytecode = True  # that of AutoGraph's modules would stay in the folder for temporary files
    with _stderr_held_back(), _hidden("sklearn"):  # half a second, for wrappers of Keras's that nothing here uses
        import keras
        import tensorflow as tf

        keras.config.disable_interactive_logging()  # no bar for each prediction
        tf.config.set_visible_devices([], "GPU")
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(shards)


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Let no import of a package succeed that is not imported yet."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to say so
    try:
        yield
    finally:
        del sys.modules[name]


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Keep what is written to stderr and show it only after an exception.

    TensorFlow's C++ part tells of oneDNN and missing GPUs at each import, and TF_CPP_MIN_LOG_LEVEL no longer
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
