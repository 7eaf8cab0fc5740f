import pytest

from seqmnist.measure.convergence import area, epochs_to, reached


@pytest.mark.parametrize(("threshold", "epochs"), [(0.5, 1), (0.9, 2), (0.95, 4), (0.99, None)])
def test_epochs_count_those_trained_when_it_is_first_reached(threshold: float, epochs: int | None) -> None:
    assert epochs_to([0.8, 0.92, 0.89, 0.96], threshold) == epochs


def test_the_area_is_larger_for_a_curve_that_rises_earlier() -> None:
    assert area([0.5, 1.0]) == 0.75
    assert area([0.5, 0.9, 0.9]) > area([0.5, 0.6, 0.9])


def test_epochs_and_examples_to_each_threshold_are_counted() -> None:
    assert reached([0.9, 0.955, 0.975, 0.96], 55_000) == {
        "epochs_to_95": 2,
        "epochs_to_97": 3,
        "examples_to_95": 110_000,
        "examples_to_97": 165_000,
    }
    assert reached([0.1], 55_000) == {}
