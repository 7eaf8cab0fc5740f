import numpy as np
import pytest

from benchmarks.workload import Workload


def test_the_operations_of_an_lstm_epoch_match_a_count_by_hand() -> None:
    forward = 55_000 * 28 * 2 * (28 * 600 + 150 * 600)
    to_state = 55_000 * 28 * 2 * 150 * 600
    assert Workload("lstm").flop() == 2 * forward + to_state
    assert Workload("lstm").flop() / forward == pytest.approx(2.84, abs=0.005)


def test_operations_scale_with_gates_and_inputs_with_steps() -> None:
    assert Workload("lstm").flop() == 4 * Workload("rnn").flop()
    assert Workload("gru").flop() == 3 * Workload("rnn").flop()
    assert [Workload("rnn", steps=steps).inputs for steps in (28, 112, 784)] == [28, 7, 1]


def test_noise_images_are_the_same_each_time() -> None:
    work = Workload("rnn", images=7)
    images, labels = work.data()
    assert (images.shape, labels.shape) == ((7, 28, 28), (7,))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, work.data()[0])
