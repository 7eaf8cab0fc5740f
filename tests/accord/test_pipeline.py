from pathlib import Path

import pytest

from accord.errors import UserError
from accord.pipeline import check_matrix, maker

STAGES = """
stages:
  fetch:
    cmd: fetch
    params: [source.url, {other.yaml: [ignored]}]
    outs: [data/raw: {cache: false}]
  prepare:
    cmd: prepare
    deps: [data/raw, src/prepare.py]
    params: [data]
    outs: [data/prepared]
  train:
    matrix: {cell: [rnn, lstm], size: "${sizes}"}
    cmd: train ${item.cell}
    deps: [data/prepared]
    params: [train]
    outs: ["models/${item.cell}"]
  scale:
    wdir: below
    cmd: scale
    deps: [../data/raw/images.csv]
    params: [scale.by]
    outs: [./out]
  score:
    foreach: [a, b]
    do:
      cmd: score ${item}
      deps: [models]
      params: [score]
      outs: ["scores/${item}"]
"""


@pytest.fixture(autouse=True)
def _pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dvc.yaml").write_text(STAGES)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("folder", "stage", "sections"),
    [
        ("data/raw", "fetch", {"source"}),
        ("data/prepared", "prepare", {"source", "data"}),
        ("models/${item.cell}", "train", {"source", "data", "train"}),
        ("scores/${item}", "score", {"score"}),
        ("data/prepared/", "prepare", {"source", "data"}),
        ("data/raw/images", "fetch", {"source"}),
        ("below/out", "scale", {"source", "scale"}),
        ("elsewhere", "", set()),
    ],
)
def test_sections_of_a_folder_include_those_of_its_inputs(folder: str, stage: str, sections: set[str]) -> None:
    assert maker(folder) == (stage, sections)


def test_without_a_pipeline_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").unlink()
    assert maker("data/raw") == ("", set())
    check_matrix("cell", ["rnn"])


@pytest.mark.parametrize("configured", [["rnn"], ["rnn", "lstm", "gru"], ["rnn", "gru"]])
def test_variants_that_differ_from_the_matrix_are_refused(configured: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        check_matrix("cell", configured)
    ours = ", ".join(configured)
    assert str(caught.value) == f"conf/config.yaml has the cells {ours}, dvc.yaml trains rnn, lstm: make them equal"


@pytest.mark.parametrize(("variant", "configured"), [("cell", ["lstm", "rnn"]), ("size", ["1"]), ("model", ["x"])])
def test_equal_variants_and_those_without_a_list_are_allowed(variant: str, configured: list[str]) -> None:
    check_matrix(variant, configured)
