from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.variants import PEAK_FLOP
from benchmarks.workload import Workload

VARIANTS = {"fast": [2.0, 1.0, 9.0], "keras": [4.0, 5.0, 6.0]}
MACHINE = {"processor": "Abacus", "avx512": True, "cores": 2, "python": "3.11", "keras": "3.15"}


@pytest.fixture
def measured() -> Callable[..., dict[str, Any]]:
    """Return a function that makes results of a cell, on a machine whose peak product takes 1, 2 and 3 seconds."""

    def figures(cell: str, **work: int) -> dict[str, Any]:
        variants = {name: {"seconds": seconds, "peak_mebibytes": 700.0} for name, seconds in VARIANTS.items()}
        workload = vars(Workload(cell, **work))
        return {"workload": workload, "flop": PEAK_FLOP // 4, "peak_seconds": [3.0, 1.0, 2.0], "variants": variants}

    return figures


@pytest.fixture
def results(measured: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    compared = [measured(cell) for cell in ("rnn", "lstm", "gru")]
    for one in compared:
        one["variants"]["fast"]["first_step_seconds"] = 7.25
    sizes: list[dict[str, int]] = [{"units": 50}, {}, {"steps": 784}, {"batch": 1024}]
    scaling = [measured(cell, images=550, **size) for cell in ("rnn", "lstm", "gru") for size in sizes]
    return {"machine": dict(MACHINE), "compared": compared, "scaling": scaling}


@pytest.fixture
def pipeline_results() -> dict[str, Any]:
    runs = {"the stage": [(9.0, 3.0), (5.0, 3.0), (6.0, 2.0)], "Keras's layers in fit": [(10.0, 8.0), (12.0, 7.0)]}
    sides = {
        side: [{"seconds": seconds, "training_seconds": training} for seconds, training in pairs]
        for side, pairs in runs.items()
    }
    return {"machine": dict(MACHINE), "epochs": 15, "cells": {"rnn": sides}}
