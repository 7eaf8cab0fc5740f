import numpy as np
import pytest
import tensorflow as tf

from seqmnist.cells.gradients import parted, weight_gradients


@pytest.mark.parametrize("steps", [1, 7, 8, 28])
def test_the_weights_gradients_are_the_sum_of_each_steps(steps: int) -> None:
    random = np.random.default_rng(steps)
    x, h, dz = (random.normal(size=(steps, 5, width)) for width in (2, 3, 4))
    read = [[tf.constant(x[t]), tf.constant(h[t])] for t in range(steps)]

    kernel, bias = weight_gradients(read, list(tf.constant(dz)))

    expected = sum(np.hstack([x[t], h[t]]).T @ dz[t] for t in range(steps))
    np.testing.assert_allclose(kernel, expected, atol=1e-12)
    np.testing.assert_allclose(bias, dz.sum((0, 1)), atol=1e-12)


def test_upstream_gradients_are_split_into_outputs_and_final_states() -> None:
    outputs, h, c = tf.ones([2, 3, 4]), tf.zeros([3, 4]), tf.zeros([3, 4])

    assert parted([h, c], 2, 2) == ([None, None], [h, c])
    each, final = parted([outputs, h, c], 2, 2)
    assert [one.shape for one in each] == [(3, 4)] * 2
    assert final == [h, c]
