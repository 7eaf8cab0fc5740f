"""A mistake in a value of seqmnist's own stops everything before any work, in one line."""

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
def test_mistake_is_told_in_one_line_and_changes_nothing(
    project: Any, file: str, old: str, new: str, expected: list[str]
) -> None:
    project.refuses_edit(file, old, new, expected)


def test_nothing_reports_to_its_makers(reproduced: Any) -> None:
    assert reproduced.succeed("dvc", "config", "core.analytics").output.strip() == "false"
    assert reproduced.succeed("dvc", "config", "core.check_update").output.strip() == "false"
