import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import kept
from benchmarks.kept import keep_layers, keep_pipeline, write_page
from benchmarks.machine import slug
from benchmarks.report import pipeline_table, tables


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def folder(results: dict[str, Any], tmp_path: Path) -> Path:
    """Return a results folder that holds the results of one processor."""
    keep_layers(results, tmp_path / "results")
    return tmp_path / "results"


def test_results_of_a_processor_are_kept_as_a_json_file_a_figure_and_tables(
    results: dict[str, Any], folder: Path
) -> None:
    assert sorted(contents(folder)) == ["abacus-avx512-2-cores.json", "abacus-avx512-2-cores.png"]
    assert json.loads((folder / "abacus-avx512-2-cores.json").read_text()) == results
    page = folder.with_name("results.md").read_text()
    assert "## Abacus with AVX-512, 2 cores\n" in page
    assert tables(results) in page
    assert "(results/abacus-avx512-2-cores.png)" in page


def test_results_of_another_processor_replace_no_files(results: dict[str, Any], folder: Path) -> None:
    before = contents(folder)
    other = copy.deepcopy(results)
    other["machine"]["avx512"] = False
    other["compared"][0]["variants"]["fast"]["seconds"] = [2.5]

    keep_layers(other, folder)

    after = contents(folder)
    assert sorted(after.keys() - before.keys()) == ["abacus-2-cores.json", "abacus-2-cores.png"]
    assert before.items() <= after.items()
    page = folder.with_name("results.md").read_text()
    assert page.index(tables(other)) < page.index(tables(results))


def test_a_second_run_on_the_same_processor_replaces_its_file(results: dict[str, Any], folder: Path) -> None:
    old = tables(results)
    results["compared"][0]["variants"]["fast"]["seconds"] = [2.5]

    keep_layers(results, folder)

    assert json.loads((folder / "abacus-avx512-2-cores.json").read_text()) == results
    page = folder.with_name("results.md").read_text()
    assert tables(results) in page
    assert old not in page


def test_pipeline_results_are_kept_beside_epoch_results(pipeline_results: dict[str, Any], folder: Path) -> None:
    before = contents(folder)

    keep_pipeline(pipeline_results, folder)

    after = contents(folder)
    assert after.keys() - before.keys() == {"abacus-avx512-2-cores.pipeline.json"}
    assert before.items() <= after.items()
    page = folder.with_name("results.md").read_text()
    assert page.count("## Abacus") == 1
    assert pipeline_table(pipeline_results) in page


def test_the_page_shows_a_processor_with_pipeline_results_only(
    pipeline_results: dict[str, Any], tmp_path: Path
) -> None:
    keep_pipeline(pipeline_results, tmp_path / "results")

    assert "## Abacus with AVX-512, 2 cores\n" in (tmp_path / "results.md").read_text()


def test_the_repositorys_page_matches_its_json_files(tmp_path: Path) -> None:
    shutil.copytree(kept.FOLDER, tmp_path / "results")
    write_page(tmp_path / "results")
    assert (tmp_path / "results.md").read_text() == kept.FOLDER.with_name("results.md").read_text()
    for path in kept.FOLDER.glob("*.json"):
        assert path.name.startswith(f"{slug(json.loads(path.read_text())['machine'])}.")
