import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import BAD_REQUEST, PERMISSION_DENIED, MlflowException

from accord.errors import UserError
from accord.settings import Tracking
from accord.tracking.store import open_store, tracking_uri

ROOT = Path(__file__).parents[3]
LOCAL = Tracking(uri=None, experiment="seqmnist")

# Six processes open a store, and then an experiment, at the same moment. They are forked to import MLflow only once.
OPENERS = """
import json, multiprocessing
from accord.settings import Tracking
from accord.tracking.store import open_store
forked = multiprocessing.get_context("fork")
barrier = forked.Barrier(6)
def open_twice(_):
    experiments = []
    for name in ("seqmnist", "added"):
        barrier.wait(60)
        experiments.append(open_store(Tracking(uri=None, experiment=name))[1])
    return experiments
with forked.Pool(6) as pool:
    print(json.dumps(pool.map(open_twice, range(6), chunksize=1)))
"""

TELEMETRY = """
import sys
import accord.tracking.store
assert "mlflow" in sys.modules
from mlflow.telemetry import get_telemetry_client
print(get_telemetry_client())
"""


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another file": (lambda _: b"no database\n" * 1000, "file is not a database: move the file away"),
    "cut": (lambda content: content[: len(content) // 2], "database disk image is malformed: move the file away"),
}

# Start a run and log to it while no file may grow, as on a full disk.
FULL = """
import resource
from accord.settings import Tracking
from accord.process import run_command
from accord.tracking.connection import user_errors
from accord.tracking.store import open_store

def main() -> None:
    client, experiment = open_store(Tracking(uri=None, experiment="seqmnist"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with user_errors(client.tracking_uri):
        client.create_run(experiment)

run_command(main)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("variable", "configured", "expected"),
    [
        (None, None, "sqlite:////repository/mlflow.db"),
        (None, "http://configured", "http://configured"),
        ("http://variable", None, "http://variable"),
        ("http://variable", "http://configured", "http://variable"),
        ("", "http://configured", "http://configured"),
    ],
    ids=["neither", "configured", "variable", "both", "empty variable"],
)
def test_the_variable_overrides_the_configuration_which_overrides_the_default(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, configured: str | None, expected: str
) -> None:
    monkeypatch.setenv("DVC_ROOT", "/repository")
    if variable is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)

    assert tracking_uri(Tracking(uri=configured, experiment="seqmnist")) == expected


@pytest.mark.parametrize("variable", [None, ""], ids=["not set", "empty"])
def test_outside_dvc_the_store_is_at_the_projects_root(monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    if variable is not None:
        monkeypatch.setenv("DVC_ROOT", variable)

    assert tracking_uri(LOCAL) == f"sqlite:///{ROOT}/mlflow.db"


def test_a_store_is_made_at_the_repositorys_root_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, elsewhere = tmp_path / "the repository", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("DVC_ROOT", str(root))

    client, experiment = open_store(LOCAL)

    described = client.get_experiment(experiment)
    assert described.name == "seqmnist"
    assert described.artifact_location == (root / "mlartifacts").as_uri()
    assert "Compare" in described.tags["mlflow.note.content"]
    assert names(root) == ["mlflow.db"]
    assert names(elsewhere) == []


def test_a_relative_database_is_below_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///stores/runs.db")

    client, experiment = open_store(LOCAL)

    assert client.get_experiment(experiment).artifact_location == (tmp_path / "stores" / "mlartifacts").as_uri()
    assert names(tmp_path / "stores") == ["runs.db"]


def test_opening_again_finds_the_experiment(project: Path) -> None:
    client, first = open_store(LOCAL)
    run = client.create_run(first)

    client, again = open_store(LOCAL)

    assert again == first
    assert client.get_run(run.info.run_id).info.experiment_id == first
    assert "mlflow.db" in names(project)


@pytest.mark.parametrize(
    ("note", "renewed"),
    [
        ("", True),
        ("What my group agreed on.", False),
    ],
    ids=["none", "a user's"],
)
@pytest.mark.usefixtures("project")
def test_a_description_is_renewed_unless_a_user_wrote_it(note: str, renewed: bool) -> None:
    tracking = Tracking(uri=None, experiment=f"noted {len(note)}")
    client, experiment = open_store(tracking)
    written = client.get_experiment(experiment).tags["mlflow.note.content"]
    client.set_experiment_tag(experiment, "mlflow.note.content", note)

    open_store(tracking)

    assert client.get_experiment(experiment).tags["mlflow.note.content"] == (written if renewed else note)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("code", "is_refused"), [(BAD_REQUEST, False), (PERMISSION_DENIED, True)])
def test_processes_can_describe_an_experiment_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, code: int, is_refused: bool
) -> None:
    tracking = Tracking(uri=None, experiment=f"not described {code}")
    open_store(LOCAL)[0].create_experiment(tracking.experiment)

    def fail(*_: object) -> None:
        raise MlflowException("duplicate key value violates unique constraint", code)

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", fail)
    with pytest.raises(UserError, match="duplicate key") if is_refused else nullcontext():
        open_store(tracking)


def test_another_experiment_is_added_to_an_existing_store(project: Path) -> None:
    _, first = open_store(LOCAL)

    client, other = open_store(Tracking(uri=None, experiment="another"))

    assert other != first
    assert client.get_experiment(other).artifact_location == (project / "mlartifacts").as_uri()


@pytest.mark.slow
def test_processes_that_start_together_share_one_store(tmp_path: Path) -> None:
    environment = os.environ | {"DVC_ROOT": str(tmp_path)}

    result = subprocess.run(
        [sys.executable, "-c", OPENERS], env=environment, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stderr) == (0, "")
    opened = json.loads(result.stdout)
    assert opened == [opened[0]] * 6
    assert names(tmp_path) == ["mlflow.db"]
    client, experiment = open_store(Tracking(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="seqmnist"))
    assert experiment == opened[0][0]
    assert sorted(one.name for one in client.search_experiments()) == ["Default", "added", "seqmnist"]


@pytest.mark.usefixtures("project")
def test_a_deleted_experiment_is_not_used() -> None:
    tracking = Tracking(uri=None, experiment="deleted")
    client, experiment = open_store(tracking)
    client.delete_experiment(experiment)

    with pytest.raises(
        UserError, match=r"^tracking\.experiment = 'deleted' was deleted in sqlite:.*restore it"
    ) as caught:
        open_store(tracking)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "per%20cent",
        "100%",
        "%2F..%2Fup",
        "qu?estion",
        "a b#c",
        "u\u0308 decomposed",
        "müller (1) #2",
        "[x]",
        "o'neil; $HOME",
        "trailing ",
    ],
)
def test_a_repository_may_have_any_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    root = tmp_path / name / "repository"
    root.mkdir(parents=True)
    monkeypatch.setenv("DVC_ROOT", str(root))

    client, experiment = open_store(Tracking(uri=None, experiment="seqmnist"))

    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "here", "note.txt")
    assert [artifact.path for artifact in client.list_artifacts(run.info.run_id)] == ["note.txt"]
    assert Path(client.download_artifacts(run.info.run_id, "note.txt")).read_text(encoding="utf-8") == "here"
    assert names(root) == ["mlartifacts", "mlflow.db"]
    assert len(list((root / "mlartifacts").rglob("note.txt"))) == 1
    assert (names(tmp_path), names(tmp_path / name)) == ([name], ["repository"])  # and no folder of a quoted name


@pytest.mark.parametrize("options", ["", "?timeout=30", "?uri=true"], ids=["plain", "options", "SQLite's own"])
@pytest.mark.parametrize("is_quoted", [False, True], ids=["as it is", "quoted"])
def test_an_address_may_be_quoted_and_have_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: str, is_quoted: bool
) -> None:
    folder = tmp_path / "My Disk, ü"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    path = quote(str(folder)) if is_quoted else str(folder)
    if "uri=true" in options:
        path = f"file:{path}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}/runs.db{options}")

    client, experiment = open_store(LOCAL)

    assert client.get_run(client.create_run(experiment).info.run_id).info.experiment_id == experiment
    assert (names(tmp_path), names(folder)) == (["My Disk, ü"], ["runs.db"])


@pytest.mark.parametrize(
    "address",
    ["a b.db", "a b.db?timeout=30", "a%20b.db?timeout=30&check_same_thread=0"]
    + [f"file:{path}?{options}" for path in ("a b.db", "a%2520b.db") for options in ("uri=true", "mode=rwc&uri=TRUE")],
)
def test_a_relative_address_of_any_form_starts_at_the_repository(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    repository, tree = tmp_path / "repository", tmp_path / "tree"
    repository.mkdir()
    tree.mkdir()
    monkeypatch.chdir(tree)
    monkeypatch.setenv("DVC_ROOT", str(repository))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{address}")

    client, experiment = open_store(LOCAL)
    for one in (experiment, "0"):
        run = client.create_run(one)
        client.log_text(run.info.run_id, "here", "note.txt")
    client.create_logged_model(experiment)

    assert (names(tree), names(repository)) == ([], ["a b.db", "mlartifacts"])
    assert len(list((repository / "mlartifacts").rglob("note.txt"))) == 2
    with closing(sqlite3.connect(repository / "a b.db")) as store:
        ((location,),) = store.execute("SELECT artifact_location FROM logged_models").fetchall()
    assert location.startswith((repository / "mlartifacts").as_uri())


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_store_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(UserError, match="is a store in memory, which ends with each process: name a file"):
        open_store(LOCAL)


@pytest.mark.parametrize("kind", ["other content", "folder"])
@pytest.mark.usefixtures("project")
def test_a_file_that_is_not_a_database_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    if kind == "folder":
        (tmp_path / "mlflow.db").mkdir()
    else:
        (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)

    with pytest.raises(UserError) as caught:
        open_store(Tracking(uri=None, experiment="seqmnist"))

    assert "mlflow.db" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    ["nonsense://store", "mlruns", "http://127.0.0.1:1", "postgresql://localhost/runs"],
    ids=["scheme", "folder", "no server", "no driver"],
)
def test_a_store_that_cannot_be_used_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(UserError) as caught:
        open_store(Tracking(uri=uri, experiment="seqmnist"))

    assert str(caught.value).startswith(f"tracking: the MLflow store {uri} can't be used: ")
    assert "\n" not in str(caught.value)


def test_no_telemetry_is_sent_to_mlflow() -> None:
    # MLflow sends no telemetry in tests and continuous integration, so a plain process is started.
    telling = ("CI", "PYTEST", "MLFLOW", "GITHUB", "DO_NOT_TRACK")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(telling)}

    result = subprocess.run(
        [sys.executable, "-c", TELEMETRY], env=environment, capture_output=True, text=True, check=False
    )

    assert (result.stdout, result.returncode) == ("None\n", 0), result.stderr


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a new store's database."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("store")
        patch.setenv("DVC_ROOT", str(folder))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        open_store(LOCAL)
        return (folder / "mlflow.db").read_bytes()


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_database_is_one_line_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: bytes, damage: Callable[[bytes], bytes], reason: str
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "mlflow.db").write_bytes(damage(database))
    with pytest.raises(UserError, match=reason) as caught:
        open_store(LOCAL)
    assert str(tmp_path / "mlflow.db") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_read_only_database_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: bytes
) -> None:
    (tmp_path / "mlflow.db").write_bytes(database)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{tmp_path}/mlflow.db?mode=ro&uri=true")
    with pytest.raises(UserError, match="attempt to write a readonly database: allow this user to write the file"):
        open_store(Tracking(uri=None, experiment="new"))


@pytest.mark.slow
def test_a_full_disk_is_reported_in_one_line(tmp_path: Path, database: bytes) -> None:
    (tmp_path / "mlflow.db").write_bytes(database)
    environment = os.environ | {"DVC_ROOT": str(tmp_path)}
    command = [sys.executable, "-c", FULL]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == (
        f"error: tracking: sqlite:///{tmp_path}/mlflow.db: "
        "disk I/O error: free space on its disk, then give the command again\n"
    )
