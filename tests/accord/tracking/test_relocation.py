import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from accord.settings import Tracking
from accord.tracking.relocation import follow
from accord.tracking.store import open_store, tracking_uri
from accord.tracking.sweeps import Sweep

LOCAL = Tracking(uri=None, experiment="seqmnist")
# Six processes open a moved store at the same moment.
OPENERS = """
import json, multiprocessing
from accord.settings import Tracking
from accord.tracking.store import open_store
forked = multiprocessing.get_context("fork")
barrier = forked.Barrier(6)
def open_it(_):
    barrier.wait(60)
    return open_store(Tracking(uri=None, experiment="seqmnist"))[1]
with forked.Pool(6) as pool:
    print(json.dumps(pool.map(open_it, range(6), chunksize=1)))
"""


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Make a repository whose store has a run, a model, its version and experiments elsewhere; return root and ids."""
    root = tmp_path_factory.mktemp("made") / "a_%b"  # the name has wildcards of SQL's LIKE
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        patch.chdir(root)  # as DVC's stages do: MLflow's default experiment is below the working directory
        patch.setenv("MLFLOW_TRACKING_URI", "")  # MLflow sets it; monkeypatch restores it afterwards
        client, experiment = open_store(LOCAL)
        tags = {"sweep.folder": str(root / "sweeps/one"), "note": f"see {root}/x", "odd": "file://[x"}
        run = client.create_run(experiment, tags=tags)
        client.log_text(run.info.run_id, "first", "note.txt")
        model = client.create_logged_model(experiment, "model", run.info.run_id)
        source = Path(model.artifact_location.removeprefix("file://").replace("%25", "%"))
        source.mkdir(parents=True)
        (source / "MLmodel").write_text("flavors: {}\n")
        client.finalize_logged_model(model.model_id, "READY")
        mlflow.set_tracking_uri(client.tracking_uri)
        client.create_registered_model("digits")
        client.create_model_version("digits", f"models:/{model.model_id}", run.info.run_id, model_id=model.model_id)
        client.create_experiment("bucket", "s3://bucket/mlartifacts")
        client.create_experiment("neighbour", (root.parent / "a_%b-2" / "mlartifacts").as_uri())
        client.create_experiment("like", (root.parent / "axxb" / "mlartifacts").as_uri())
        client.create_experiment("plain", str(root / "mine"))
        mlflow.set_tracking_uri(None)
    return root, run.info.run_id, model.model_id


@pytest.fixture
def original(_made: tuple[Path, str, str], tmp_path: Path) -> Iterator[Path]:
    """Copy the repository of `_made` to another path, and open its store there once."""
    yield _opened(Path(shutil.copytree(_made[0], tmp_path / "r_%" / "seqmnist")))
    mlflow.set_tracking_uri(None)


@pytest.fixture
def ids(_made: tuple[Path, str, str]) -> tuple[str, str]:
    return _made[1:]


def _opened(root: Path, tracking: Tracking = LOCAL) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        open_store(tracking)
    return root


def _client(root: Path) -> MlflowClient:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(root))
        return MlflowClient(tracking_uri=tracking_uri(LOCAL))


def _note(client: MlflowClient, run: str) -> str:
    """Read an artifact by its address, because MLflow's client caches the address of a run's artifacts."""
    address = f"{client.get_run(run).info.artifact_uri}/note.txt"
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=address)).read_text(encoding="utf-8")


def _places(root: Path) -> dict[str, str]:
    return {one.name: one.artifact_location for one in _client(root).search_experiments()}


def _content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _mentions(root: Path, text: str) -> list[str]:
    """Return the columns of a store in which a value begins with a text, or contains it after `file://`."""
    found = []
    with closing(sqlite3.connect(root / "mlflow.db")) as store:
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in [row[1] for row in store.execute(f"PRAGMA table_xinfo('{table}')")]:
                condition = f'instr(\'|\' || "{column}", ?) OR instr("{column}", ?)'
                query = f'SELECT count(*) FROM "{table}" WHERE {condition}'
                if store.execute(query, [f"|{text}", Path(text).as_uri()]).fetchone()[0]:
                    found.append(f"{table}.{column}")
    return found


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("move", "away/seqmnist"),
        ("move", "r_%/seqmnist/inner"),
        ("move", "r_%"),
        ("move", "mü (1) #2"),
        ("copy", "r_%/seqmnist-2"),
        ("copy", "100%25 off?"),
        ("copy", "o'neil;x&y"),
        ("copy", "[x] "),
    ],
)
def test_artifacts_go_and_are_found_where_the_repository_is(
    original: Path, ids: tuple[str, str], tmp_path: Path, kind: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run, model), target, aside = ids, tmp_path / name, tmp_path / "aside"
    shutil.copytree(original, aside)
    if kind == "move":
        shutil.rmtree(original)
    before = {} if kind == "move" else _content(original)
    shutil.copytree(aside, target, dirs_exist_ok=True)
    shutil.rmtree(aside)
    capsys.readouterr()

    _opened(target)

    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert (
        f"the store moved from {original} to {target}: corrected the artifact paths of its runs (1) and models (1)"
        in printed
    )
    client = _client(target)
    assert _note(client, run) == "first"
    client.log_text(client.create_run(client.get_run(run).info.experiment_id).info.run_id, "second", "later.txt")
    assert len(list((target / "mlartifacts").rglob("later.txt"))) == 1
    assert client.get_logged_model(model).artifact_location.startswith((target / "mlartifacts").as_uri())
    version = client.get_model_version("digits", "1")
    assert client.get_model_version_download_uri("digits", "1").startswith((target / "mlartifacts").as_uri())
    assert version.source == f"models:/{model}"
    assert Sweep(client, client.get_run(run).info.experiment_id, str(target / "sweeps/one")).run_id == run
    assert client.get_run(run).data.tags["note"].startswith("see ")  # a text that begins otherwise
    if kind == "copy" and not target.is_relative_to(original) and not original.is_relative_to(target):
        assert _content(original) == before
    if not target.is_relative_to(original) and not str(target).startswith(str(original)):
        assert _mentions(target, str(original)) == []
    _opened(target)
    assert capsys.readouterr().out == ""


def test_addresses_outside_the_repository_stay(original: Path, tmp_path: Path) -> None:
    before = _places(original)
    target = _opened(Path(shutil.move(original, tmp_path / "moved")))
    after = _places(target)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"seqmnist", "plain", "Default"}
    assert after["plain"] == str(target / "mine")
    assert after["bucket"] == "s3://bucket/mlartifacts"


def test_a_store_can_be_moved_several_times(original: Path, ids: tuple[str, str], tmp_path: Path) -> None:
    first = Path(shutil.move(original, tmp_path / "first"))
    second = _opened(Path(shutil.move(first, tmp_path / "second")))  # not opened in between
    third = _opened(Path(shutil.move(second, tmp_path / "third")))
    back = _opened(Path(shutil.move(third, original)))
    assert _note(_client(back), ids[0]) == "first"
    assert _mentions(back, str(tmp_path / "second")) == []


def test_a_link_to_the_repository_is_not_a_move(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _places(original)
    (tmp_path / "link").symlink_to(original)
    (tmp_path / "database").mkdir()
    (tmp_path / "database" / "mlflow.db").symlink_to(original / "mlflow.db")
    capsys.readouterr()
    _opened(tmp_path / "link")
    _opened(tmp_path / "database")
    assert (capsys.readouterr().out, _places(original)) == ("", before)


def test_a_database_with_two_paths_is_left_alone(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _places(original)
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "mlflow.db").hardlink_to(original / "mlflow.db")  # like a folder that is mounted twice
    capsys.readouterr()
    _opened(tmp_path / "second")
    assert (capsys.readouterr().out, _places(original)) == ("", before)
    (original / "mlflow.db").unlink()  # the only path left is not the one in the addresses
    _opened(tmp_path / "second")
    assert capsys.readouterr().out.startswith(f"tracking: the store moved from {original} to ")
    assert _places(tmp_path / "second")["seqmnist"] == (tmp_path / "second" / "mlartifacts").as_uri()


def test_a_move_behind_a_link_is_noticed_once_the_link_is_gone(
    original: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Path(shutil.move(original, tmp_path / "target"))
    original.symlink_to(target)
    before = _places(target)
    capsys.readouterr()
    _opened(original)
    assert (capsys.readouterr().out, _places(target)) == ("", before)  # the addresses lead to the target by the link
    original.unlink()
    _opened(target)
    assert capsys.readouterr().out.startswith(f"tracking: the store moved from {original} to ")
    assert _places(target)["seqmnist"] == (target / "mlartifacts").as_uri()


def test_a_database_elsewhere_keeps_its_artifacts_beside_it(
    original: Path, ids: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stores").mkdir()
    database = Path(shutil.copy(original / "mlflow.db", tmp_path / "stores" / "runs.db"))
    tracking = Tracking(uri=f"sqlite:///{database}?timeout=30", experiment="seqmnist")
    capsys.readouterr()
    _opened(tmp_path, tracking)
    assert capsys.readouterr().out.endswith(f"{tmp_path}/stores has no folder mlartifacts: copy it from there\n")
    client = MlflowClient(tracking_uri=f"sqlite:///{database}")
    client.log_text(client.create_run(client.get_run(ids[0]).info.experiment_id).info.run_id, "second", "later.txt")
    assert len(list((tmp_path / "stores" / "mlartifacts").rglob("later.txt"))) == 1
    assert not list(original.rglob("later.txt"))
    other = Path(shutil.copytree(original, tmp_path / "another"))  # the repository moves, the database stays
    _opened(other, tracking)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_processes_that_open_a_moved_store_together_rewrite_it_once(original: Path, tmp_path: Path) -> None:
    target = Path(shutil.move(original, tmp_path / "target"))
    environment = os.environ | {"DVC_ROOT": str(target)}
    result = subprocess.run(
        [sys.executable, "-c", OPENERS], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    *lines, opened = result.stdout.splitlines()
    assert [line.startswith(f"tracking: the store moved from {original} to ") for line in lines] == [True]
    assert len(set(json.loads(opened))) == 1
    assert _mentions(target, str(original)) == []


def test_a_read_only_database_is_read(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Path(shutil.copytree(original, tmp_path / "target"))
    before = _content(target)
    connect = sqlite3.connect

    def connect_to_read(path: Path, *options: Any, **named: Any) -> Any:
        return connect(f"{path.as_uri()}?mode=ro", *options, uri=True, **named)

    monkeypatch.setattr(sqlite3, "connect", connect_to_read)  # file modes do not keep root from writing
    follow(target / "mlflow.db")
    printed = capsys.readouterr().out
    assert printed == (
        f"tracking: {target}/mlflow.db can't be written: its artifacts are still looked for in {original}\n"
    )
    assert _content(target) == before
