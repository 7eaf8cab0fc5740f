"""How this process runs TensorFlow: quiet, deterministic, on few threads."""

import os
from types import ModuleType


def start_tensorflow(shards: int) -> ModuleType:
    """Import TensorFlow with single-threaded operations and `shards` operations side by side.

    A product that is summed by one thread gives the same bits every time, so the parts of a batch, not the
    parts of a product, share the cores. Call it once, before anything else imports TensorFlow or Keras.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no notes about instruction sets and missing GPUs
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(shards)
    return tf  # type: ignore[no-any-return]
