"""A wrong value in seqmnist's configuration stops the pipeline before any work, with one line."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("conf/cell/rnn.yaml", "units: 8", "units: 0", ["cells.rnn.units", "0", "greater than or equal to 1"]),
        ("conf/data/tiny.yaml", "validation: 10", "validation: 60", ["data.validation", "60", "1 to 59"]),
        ("conf/sequence/rows.yaml", "view: rows", "view: spiral", ["sequence.view", "'spiral'", "'columns'"]),
        ("conf/train/notebook.yaml", "smoothing: 0.0", "smoothing: 1.5", ["label_smoothing", "1.5", "equal to 1"]),
    ],
    ids=["zero units", "validation", "view", "probability"],
)
def test_a_wrong_value_is_reported_in_one_line_and_leaves_params_yaml_alone(
    project: Any, file: str, old: str, new: str, expected: list[str]
) -> None:
    project.refuses_edit(file, old, new, expected)


def test_dvc_sends_no_analytics_and_checks_for_no_update(reproduced: Any) -> None:
    assert reproduced.succeed("dvc", "config", "core.analytics").output.strip() == "false"
    assert reproduced.succeed("dvc", "config", "core.check_update").output.strip() == "false"
