import json
import shutil
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from accord.errors import UserError
from seqmnist.config import validate
from seqmnist.measure.metrics import figures_of_seeds
from seqmnist.measure.statistics import sign_flip
from seqmnist.report import publish

ROOT = Path(__file__).parents[3]
CLAIM = {"verdict": "shown", "effect": 0.0125, "interval": [0.01, 0.0151], "confidence": 0.96875, "p": 0.03125, "n": 6}
AFTER = {f"{kind}_{rows}": 0.25 for kind in ("blank", "noise") for rows in (28, 112)} | {"mean": 0.25}
PAGE = "Before.\n<!-- {name} -->\nan old table\n<!-- end -->\nAfter.\n"


def seed(accuracy: float, **epochs: int) -> dict[str, Any]:
    return {
        "selected": {"test": {"accuracy": accuracy, "loss": 0.1}},
        "convergence": {"area": accuracy - 0.01, **epochs},
        "after": AFTER,
        "flow": {"start": 0.5, "end": 2.0},
    }


@pytest.fixture
def evidence() -> dict[str, Any]:
    """Evidence of two cells and two seeds; the second seed of rnn never reached 97 %."""
    claims = {name: {**CLAIM, "test": "a test"} for name in ("better", "converges_faster", "remembers_longer")}
    rnn: dict[str, Any] = {
        "seeds": {"42": seed(0.96, epochs_to_95=2, epochs_to_97=3), "43": seed(0.98, epochs_to_95=1)}
    }
    lstm = {"seeds": {"42": seed(0.99, epochs_to_95=1), "43": seed(0.99, epochs_to_95=1)}}
    seconds = {"rnn": {"42": [1.0, 1.5, 2.0], "43": [0.5, 9.0, 9.0]}}
    return {"metrics": {"rnn": rnn, "lstm": lstm, "claims": claims}, "epoch_seconds": seconds}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evidence: dict[str, Any]) -> Path:
    """A folder with pages, two of which have tables of the experiment, and evaluate's reports in `reports`."""
    monkeypatch.chdir(tmp_path)
    for path, name in (("docs/any.md", "tuned: seeds"), ("docs/other.md", "z: seeds"), ("README.md", "tuned: claims")):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(PAGE.format(name=name), encoding="utf-8")
    Path(".dvc").mkdir()
    Path("reports/figures").mkdir(parents=True)
    Path("reports/figures/beliefs.png").write_bytes(b"a figure")
    Path("reports/metrics.json").write_text(json.dumps(evidence["metrics"]), encoding="utf-8")
    return tmp_path


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_tables_are_written_between_their_marks_and_figures_beside(
    repository: Path, evidence: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    old = repository / "docs/figures/tuned/confusion_mgu.png"
    old.parent.mkdir(parents=True)
    old.touch()

    publish.publish("tuned", Path("reports"), evidence["epoch_seconds"])

    assert json.loads(Path("docs/tuned.json").read_text(encoding="utf-8")) == evidence
    tables = publish.tables(evidence)
    page = Path("README.md").read_text(encoding="utf-8")
    assert page == f"Before.\n<!-- tuned: claims -->\n{tables['claims']}<!-- end -->\nAfter.\n"
    page = Path("docs/any.md").read_text(encoding="utf-8")
    assert page == f"Before.\n<!-- tuned: seeds -->\n{tables['seeds']}<!-- end -->\nAfter.\n"
    assert Path("docs/other.md").read_text(encoding="utf-8") == PAGE.format(name="z: seeds")
    assert [path.name for path in old.parent.iterdir()] == ["beliefs.png"]
    assert "docs/tuned.json" in capsys.readouterr().out


def test_the_tables_hold_means_deviations_and_every_value(evidence: dict[str, Any]) -> None:
    tables = {name: rows(table) for name, table in publish.tables(evidence).items()}

    assert tables["claims"][2][1:] == ["**shown**", "+0.0125", "+0.0100 to +0.0151 (97%)", "0.031", "6"]
    assert tables["accuracies"][2] == ["rnn", "**0.9700 ± 0.0141**", "0.9600, 0.9800"]
    assert tables["cells"][2] == ["test accuracy", "0.9700 ± 0.0141", "0.9900 ± 0.0000"]
    assert tables["seeds"][2] == ["rnn", "42", "0.9600", "0.9500", "0.2500", "2", "3", "never"]
    assert len(tables["seeds"]) == 2 + 4


def test_seconds_are_summed_to_each_accuracy_over_the_seeds_that_reached_it(evidence: dict[str, Any]) -> None:
    _, _, rnn, lstm = rows(publish.tables(evidence)["seconds"])

    assert rnn == ["rnn", "1.5 s (0.5 to 2.5)", "4.5 s (4.5 to 4.5), 1 of 2 seeds", "never"]
    assert lstm == ["lstm", "MLflow has no times", "never", "never"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name an experiment"),
        (["tuned", "a", "b"], "name an experiment"),
        (["nothing"], r"no page in docs has a mark such as <!-- nothing: claims -->"),
    ],
)
def test_a_call_that_names_no_experiment_is_refused(
    repository: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["publish", *arguments])

    with pytest.raises(UserError, match=said):
        publish.main()

    assert "an old table" in (repository / "README.md").read_text()


@pytest.mark.parametrize(
    ("cells", "seeds", "said"),
    [
        (
            {"rnn": ["42"], "lstm": ["42"]},
            [42, 43],
            r"{rnn: \[42\], lstm: \[42\]}, the experiment is of {rnn: \[42, 43\]",
        ),
        ({"rnn": ["42", "43"]}, [42, 43], r"is of the cells and seeds {rnn: \[42, 43\]}, the"),
        ({"rnn": ["42"], "lstm": ["42"], "gru": ["42"]}, [42], r"gru: \[42\]}, the"),
        ({"rnn": ["43", "42"], "lstm": ["43", "42"]}, [42, 43], r"rnn: \[43, 42\]"),
        ({"rnn": ["42", "43"], "lstm": ["42"]}, [42, 43], r"lstm: \[42\]}, the"),
    ],
    ids=["a seed less", "a cell less", "a cell more", "order", "unequal"],
)
def test_metrics_of_other_cells_or_seeds_are_refused(
    tmp_path: Path, tiny_values: dict[str, Any], cells: dict[str, list[str]], seeds: list[int], said: str
) -> None:
    metrics = tmp_path / "metrics.json"
    metrics.write_text(json.dumps({cell: {"seeds": {seed: {} for seed in each}} for cell, each in cells.items()}))

    with pytest.raises(UserError, match=rf"\A.*{said}.*\Z"):
        publish.check(validate(tiny_values | {"seeds": seeds}, "test"), metrics)


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "broken",
    ["docs/tuned.json", "docs/figures/tuned", "docs/figures", "docs/figures/tuned/beliefs.png", "README.md"],
)
def test_docs_stay_as_they_are_when_one_of_them_cannot_be_written(
    repository: Path, evidence: dict[str, Any], broken: str
) -> None:
    figures = repository / "docs/figures/tuned"
    figures.mkdir(parents=True)
    (figures / "beliefs.png").write_bytes(b"an old figure")
    (figures / "old.png").write_bytes(b"an old figure")
    path = repository / broken
    if path.is_dir():
        shutil.rmtree(path)
        path.write_text("a file")
    elif path.exists():
        path.unlink()
        path.mkdir()
    else:
        path.mkdir()
    before = state(repository)

    with pytest.raises((OSError, UserError), match=r"is a folder|Not a directory|File exists|Is a directory"):
        publish.publish("tuned", Path("reports"), evidence["epoch_seconds"])

    assert state(repository) == before


@pytest.mark.parametrize(
    ("name", "page", "titles"),
    [
        ("evidence", "docs/evidence.md", {"claims", "cells", "seeds"}),
        ("evidence", "docs/speed.md", {"seconds"}),
        ("pixels", "docs/evidence.md", {"claims"}),
        ("tuned", "docs/tuned.md", {"accuracies", "claims", "cells"}),
    ],
)
def test_the_tables_in_docs_are_those_of_what_was_measured(name: str, page: str, titles: set[str]) -> None:
    text = (ROOT / page).read_text()
    measured = json.loads((ROOT / f"docs/{name}.json").read_text())

    tables = publish.tables(measured)
    assert {
        title for title, table in tables.items() if f"<!-- {name}: {title} -->\n{table}<!-- end -->" in text
    } == titles
    assert publish.filled(text, name, tables) == text


@pytest.mark.parametrize("name", ["evidence", "pixels", "tuned"])
@pytest.mark.parametrize(
    ("claim", "key"),
    [
        ("better", "selected.test.accuracy"),
        ("converges_faster", "convergence.area"),
        ("remembers_longer", "after.mean"),
    ],
)
def test_the_verdicts_in_docs_follow_from_the_values_of_six_seeds(name: str, claim: str, key: str) -> None:
    metrics = json.loads((ROOT / f"docs/{name}.json").read_text())["metrics"]
    rnn, lstm = (figures_of_seeds(metrics[cell], key) for cell in ("rnn", "lstm"))
    differences = [other - base for base, other in zip(rnn, lstm, strict=True)]

    test = sign_flip(differences)

    assert len(differences) == 6
    assert metrics["claims"][claim]["verdict"] == test.verdict
    assert metrics["claims"][claim]["p"] == test.p
    assert metrics["claims"][claim]["effect"] == pytest.approx(fmean(differences))
