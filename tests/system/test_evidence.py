"""`make evidence` trains several seeds, leaves the default results alone and writes its results into docs."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_evidence_is_written_into_docs_and_leaves_the_default_results_alone(project: Any) -> None:
    project.edit("conf/experiment/evidence.yaml", "[42, 43, 44, 45, 46, 47]", "[42, 43]")
    outputs, params, metrics = project.output_hashes(), (project.root / "params.yaml").read_bytes(), project.metrics()

    result = project.succeed("make", "-o", "setup", "evidence")

    assert project.output_hashes() == outputs
    assert (project.root / "params.yaml").read_bytes() == params
    assert project.metrics() == metrics
    docs = project.root / "docs"
    evidence = json.loads((docs / "evidence.json").read_text())
    for cell in ("rnn", "lstm"):
        assert list(evidence["metrics"][cell]["seeds"]) == ["42", "43"]
        assert [len(seconds) for seconds in evidence["epoch_seconds"][cell].values()] == [2, 2]
        # Seed 42 has the same weights as in the default results.
        assert evidence["metrics"][cell]["seeds"]["42"] == metrics[cell]["seeds"]["42"]
    verdict = evidence["metrics"]["claims"]["converges_faster"]["verdict"]
    assert verdict == "not shown", "two seeds are too few to show a claim"
    assert f"**{verdict}**" in (docs / "evidence.md").read_text()
    assert {path.name for path in (docs / "figures/evidence").iterdir()} == {
        path.name for path in (project.root / "reports/figures").iterdir()
    }
    assert "wrote docs/evidence.json" in result.output
