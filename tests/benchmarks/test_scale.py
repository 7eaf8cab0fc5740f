import json
from pathlib import Path

import pytest

from benchmarks import scale_model
from seqmnist.report.publish import filled

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_tables_in_scale_md_match_the_measured_values() -> None:
    text = (BENCHMARKS / "scale.md").read_text()
    tables = scale_model.tables(json.loads((BENCHMARKS / "scale.json").read_text()))
    assert all(table in text for table in tables.values())
    assert filled(text, "scale", tables) == text


def test_costs_of_a_million_trials_are_extrapolated_linearly() -> None:
    def store(runs: int) -> dict[str, float]:
        return {
            "runs": runs,
            "bytes": 1024.0 * runs,
            "trials_seconds": 1 + 0.002 * runs,
            "peak_mebibytes": 200 + 0.1 * runs,
            "find_seconds": 0.004,
            "stale_seconds": 0.004,
        }

    def hydra(jobs: int) -> dict[str, float]:
        return {"jobs": jobs, "seconds": 0.1 * jobs, "peak_mebibytes": 40 + 0.1 * jobs, "inodes": 6}

    found = scale_model.million({"store": [store(1), store(1_000)], "hydra": [hydra(100), hydra(1_000)]})
    assert found["read_seconds"] == pytest.approx(2_001)
    assert found["read_gib"] == pytest.approx(100_200 / 1024)
    assert found["find_seconds"] == pytest.approx(0.004)
    assert found["driver_gib"] == pytest.approx(100_040 / 1024)
    assert found["driver_hours"] == pytest.approx(100_000 / 3600)
    assert found["database_gib"] == pytest.approx(1e6 / 2**20)
    assert found["hydra_inodes"] == 6_000_000
