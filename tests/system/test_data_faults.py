"""The stage download accepts only raw files with the configured SHA-256."""

import gzip
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


def flip(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))


def truncate_gzip(folder: Path, name: str) -> None:
    (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes())[:-9])
    (folder / name).unlink()


def rename(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / NAMES[3]).read_bytes())


def html_page(folder: Path, name: str) -> None:
    (folder / name).write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>")


@pytest.mark.parametrize(
    ("damage", "name", "reason"),
    [
        *[pytest.param(flip, name, "SHA-256 is", id=f"wrong byte in {name}") for name in NAMES],
        pytest.param(truncate_gzip, NAMES[0], "broken gzip stream", id="truncated gz"),
        pytest.param(rename, NAMES[1], "bytes, expected", id="renamed file"),
        pytest.param(html_page, NAMES[2], "bytes, expected", id="HTML page"),
    ],
)
def test_a_damaged_raw_file_is_refused(
    unrun: Any, tiny_raw: Path, tmp_path: Path, damage: Any, name: str, reason: str
) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    for source in tiny_raw.iterdir():
        (folder / source.name).write_bytes(source.read_bytes())
    damage(folder, name)
    unrun.edit("conf/data/tiny.yaml", str(tiny_raw), str(folder))
    result = unrun.run("dvc", "repro", "preprocess")
    assert result.code != 0
    (error,) = [line for line in result.output.splitlines() if line.startswith("error: ")]
    assert name in error
    assert reason in error
    assert "data.directory" in error, "the error does not say what to do"
    assert "Traceback" not in result.output
    left = {path.name for path in (unrun.root / "data/raw").iterdir()}
    assert left <= set(NAMES) - {name}, "the refused file or a temporary one is left"
    assert not (unrun.root / "data/processed").exists()


def test_a_raw_file_that_changed_on_disk_is_fetched_again(project: Any) -> None:
    path = project.root / "data/raw" / NAMES[0]
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-1] + b"\0")
    result = project.succeed("dvc", "repro")
    assert path.read_bytes() == content
    assert "train@rnn" in result.stages_skipped


def test_raw_files_of_another_data_set_are_removed(project: Any, tmp_path: Path) -> None:
    other = yaml.safe_load((project.root / "conf/data/tiny.yaml").read_text())
    folder = tmp_path / "other"
    folder.mkdir()
    for file in other["files"].values():
        new_name = file["name"].replace("t10k", "second-test").replace("train", "second-train")
        (folder / new_name).write_bytes((Path(other["directory"]) / file["name"]).read_bytes())
        file["name"] = new_name
    other |= {"name": "second", "directory": str(folder)}
    (project.root / "conf/data/second.yaml").write_text(yaml.safe_dump(other))
    project.edit("conf/base.yaml", "data: tiny", "data: second")
    project.succeed("dvc", "repro", "preprocess")
    names = {path.name for path in (project.root / "data/raw").iterdir()}
    assert names == {file["name"] for file in other["files"].values()}


def test_a_quoted_folder_of_any_name_with_an_archive_is_found(unrun: Any, tiny_raw: Path, tmp_path: Path) -> None:
    name = "my [b] (1) #2 {x}, müller=100%"
    with zipfile.ZipFile(unrun.root / "archive", "w") as archive:
        for number, path in enumerate(tiny_raw.iterdir()):
            archive.writestr(f"{number}/{path.name.replace('-idx', '.idx')}", path.read_bytes())
    (tmp_path / name).mkdir()
    (unrun.root / "archive").rename(tmp_path / name / "archive.zip")
    home = {"HOME": str(tmp_path)}
    unquoted = unrun.run("python", "-m", "seqmnist.sweep", f"data.directory=~/{name}", PYTHONPATH="src")
    assert unquoted.code == 1
    (line,) = unquoted.output.splitlines()
    quoted = f'data.directory="~/{name}"'
    assert line.endswith(f"quote it: '{quoted}'")
    (unrun.root / "dvc.lock").unlink()  # an experiment would fail: this clone lacks the results that it names
    unrun.succeed("dvc", "exp", "run", "-S", quoted, "preprocess", **home)
    assert {path.name for path in (unrun.root / "data/raw").iterdir()} == set(NAMES)
    for path in (unrun.root / "data/raw").iterdir():
        path.unlink()
    unrun.edit("conf/data/tiny.yaml", str(tiny_raw), f"'{tmp_path / name}'")
    assert f"directory {tmp_path / name}: 4 files verified" in unrun.succeed("dvc", "repro", "preprocess").output
