"""One-line messages for a store's errors, and runs whose tracking server goes away at any request."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as Logged
from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException, RestException
from mlflow.models import Model
from requests import HTTPError, Response
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import SSLError

from accord.errors import UserError
from accord.settings import Tracking
from accord.tracking import stale
from accord.tracking.connection import ServerAway, StoreConnection, reason, refused
from accord.tracking.restore import found_or_restored
from accord.tracking.runs import Run, RunRequest, stage_run
from accord.tracking.store import open_store
from tests.accord.tracking.flavour import Flavour

SERVER = "http://name:secret@server:5000"
REQUESTS = 16  # number of requests that `train` sends
IDENTITY = {"train.sha256": "abc"}
CELL = {"cell": "rnn"}
ANSWER = "API request to endpoint /api/2.0/mlflow/runs/create failed with error code {} != 200. Response body: ''"
POINTS = {"val.loss": [(0, 0.5), (1, 0.1 + 0.2)], "selected.epoch": [(0, 1.0)]}

Log = Callable[[Run], None]


def log(run: Run) -> None:
    """Log all that a training logs except its model."""
    run.params({"cell": {"units": 4}, "seed": 42})
    for number, name in enumerate(("train", "validation", "test")):
        run.dataset(f"digits.{name}", str(number) * 64, Path("data"), {"examples": 3}, name)
    for step, value in POINTS["val.loss"]:
        run.metrics({"val.loss": value, "time.epoch_seconds": step + 1.5}, step=step)
    run.artifact(Path("params.yaml"), "more")
    run.metrics({"selected.epoch": 1})


def log_from_files(run: Run) -> None:
    """Log the same as `log` without times, which are in no output."""
    run.params({"cell": {"units": 4}, "seed": 42})
    for number, name in enumerate(("train", "validation", "test")):
        run.dataset(f"digits.{name}", str(number) * 64, Path("data"), {"examples": 3}, name)
    for name, points in POINTS.items():
        for step, value in points:
            run.metrics({name: value}, step=step)
    run.artifact(Path("params.yaml"), "more")


def train(tracking: Tracking, tell: Log | None = None, **arguments: Any) -> Run:
    """Log a training with the tags of another process, so that the run seems stale afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        tags = stale.process_tags() | {stale.STARTED: "1.0"}
        patch.setattr("accord.tracking.runs.process_tags", lambda: tags)
        with stage_run(tracking, RunRequest("train", "train@rnn", CELL, **arguments)) as run:
            (tell or log)(run)
            run.tags(IDENTITY)
    return run


def complete(tracking: Tracking, tell: Log | None = None, identity: dict[str, str] = IDENTITY) -> str:
    request = RunRequest("train", "train@rnn", CELL, {"note": "a note"})
    return found_or_restored(tracking, request, identity, tell or log_from_files)


def runs(tracking: Tracking) -> list[Logged]:
    client, experiment = open_store(tracking)
    return list(client.search_runs([experiment]))


def points(tracking: Tracking, run_id: str) -> dict[str, list[tuple[int, float]]]:
    client, _ = open_store(tracking)
    names = client.get_run(run_id).data.metrics
    return {name: [(one.step, one.value) for one in client.get_metric_history(run_id, name)] for name in names}


def test_a_run_sends_the_expected_number_of_requests(remote: Tracking, proxy: Any) -> None:
    open_store(remote)
    proxy.pass_on()
    assert train(remote).is_whole
    assert proxy.count == REQUESTS


@pytest.mark.parametrize(
    ("fault", "after"),
    [
        *[("drops requests", after) for after in range(REQUESTS)],
        *[("loses answers", after) for after in range(0, REQUESTS, 2)],
        *[("answers 500", after) for after in (0, 7)],
    ],
)
def test_any_failed_request_is_reported_once_and_the_rest_is_sent_later(
    remote: Tracking, proxy: Any, capsys: pytest.CaptureFixture[str], fault: Any, after: int
) -> None:
    open_store(remote)
    proxy.fail(fault, after)

    run = train(remote)

    (told,) = [line for line in capsys.readouterr().out.splitlines() if "is away" in line]
    reason = "it answers 500" if fault == "answers 500" else "no connection"
    away = f"the tracking server {proxy.uri} is away ({reason})"
    assert told == f"train@rnn: {away}: going on without it; `seqmnist sync` sends the rest"
    assert not run.is_whole
    assert proxy.count == after + 1, "nothing more was tried"

    proxy.pass_on()
    begun = {one.info.run_id for one in runs(remote)}
    run_id = complete(remote)

    (finished,) = runs(remote)
    assert (finished.info.run_id, finished.info.status) == (run_id, "FINISHED")
    assert finished.data.params == {"cell.units": "4", "seed": "42"}
    logged = points(remote, run_id)
    assert {name: logged[name] for name in POINTS} == POINTS
    assert len(finished.inputs.dataset_inputs) == 3
    client, _ = open_store(remote)
    assert [one.path for one in client.list_artifacts(run_id)] == ["more", "params.yaml"]
    assert finished.data.tags["train.sha256"] == "abc"
    assert begun <= {run_id}
    assert ("source" in finished.data.tags) is not bool(begun), "completed where there was something"
    assert complete(remote) == run_id
    assert len(runs(remote)) == 1


def test_a_stalled_server_is_waited_for_once(
    remote: Tracking, proxy: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(remote)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    proxy.fail("stalls")

    train(remote)

    assert capsys.readouterr().out.count("is away (no answer in time)") == 1
    assert proxy.count == 1


def test_ctrl_c_sends_nothing_to_a_server_that_is_away(remote: Tracking, proxy: Any) -> None:
    def interrupted(run: Run) -> None:
        proxy.fail("drops requests")
        run.metrics({"val.loss": 0.5}, step=0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(remote, interrupted)

    assert proxy.count == 1


def test_a_training_that_starts_anew_has_no_run_while_the_server_is_away(remote: Tracking, proxy: Any) -> None:
    proxy.fail("drops requests")

    assert train(remote, resume="0123", starts_anew=True).id == ""


def test_a_resumed_training_keeps_its_run_while_the_server_is_away(remote: Tracking, proxy: Any) -> None:
    proxy.fail("drops requests")
    assert not train(remote).id
    assert train(remote, resume="0123").id == "0123"


def test_a_server_known_to_be_away_is_not_asked(
    remote: Tracking, proxy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    train(remote, away=ServerAway(proxy.uri, "no connection"), remedy="`this` sends the rest")

    assert proxy.count == 0
    assert "is away (no connection): going on without it; `this` sends the rest" in capsys.readouterr().out


@pytest.mark.parametrize("after", [0, 4, 12])
def test_completing_a_run_without_the_server_is_an_error(remote: Tracking, proxy: Any, after: int) -> None:
    open_store(remote)
    proxy.fail("drops requests", after)

    with pytest.raises(ServerAway, match=r"can't be used: the server is away \(no connection\)$"):
        complete(remote)

    proxy.pass_on()
    complete(remote)
    assert [run.info.status for run in runs(remote)].count("FINISHED") == 1


@pytest.mark.parametrize("difference", ["a metric", "a parameter", "an epoch more"])
def test_a_partial_run_of_another_training_is_left_alone(remote: Tracking, proxy: Any, difference: str) -> None:
    def other(run: Run) -> None:
        if difference == "a parameter":
            run.params({"cell": {"units": 5}})
        step, value = (2, 0.5) if difference == "an epoch more" else (0, 0.6)
        run.metrics({"val.loss": value if difference == "a metric" else 0.5}, step=step)
        proxy.fail("drops requests")

    part = train(remote, other)
    proxy.pass_on()

    run_id = complete(remote)

    assert run_id != part.id
    statuses = {run.info.run_id: (run.info.status, run.data.tags.get("source")) for run in runs(remote)}
    assert statuses == {part.id: ("KILLED", None), run_id: ("FINISHED", "dvc-cache")}


def test_a_run_of_a_living_process_is_left_alone(remote: Tracking) -> None:
    with stage_run(remote, RunRequest("train", "train@rnn", CELL)) as running:
        run_id = complete(remote)
        assert run_id != running.id


def log_model(run_id: str) -> None:
    client = MlflowClient()
    made = client.create_logged_model(client.get_run(run_id).info.experiment_id, "model", run_id)
    Model.log(artifact_path=None, flavor=Flavour, model_id=made.model_id, run_id=run_id)


@pytest.mark.slow
def test_a_partly_logged_model_is_logged_again(remote: Tracking, proxy: Any) -> None:
    def tell(run: Run) -> None:
        def picture() -> None:
            run.artifact(Path("params.yaml"), "graph")
            run.artifact(Path("params.yaml"), "graph/marker")

        run.once("graph/marker", picture)
        run.model(log_model)

    open_store(remote)
    proxy.pass_on()
    whole = train(remote, tell)
    requests = proxy.count
    assert complete(remote, tell) == whole.id

    for after in range(5, requests, 3):
        identity = {"train.sha256": f"cut after {after}"}
        proxy.fail("drops requests", after)
        part = train(remote, tell)
        assert not part.is_whole
        proxy.pass_on()
        assert complete(remote, tell, identity) == part.id
        client, _ = open_store(remote)
        outputs = client.get_run(part.id).outputs.model_outputs
        assert [client.get_logged_model(one.model_id).status for one in outputs].count("READY") == 1
        files = {one.path for one in client.list_artifacts(part.id, "graph")}
        assert files == {"graph/params.yaml", "graph/marker"}


def answer(status: int) -> HTTPError:
    response = Response()
    response.status_code = status
    return HTTPError("from the files", response=response)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MlflowException("API request to http://x/api failed with exception HTTPPool: refused"), "no connection"),
        (MlflowException("API request to http://x/api failed with timeout exception: Read timed out."), "no answer"),
        (MlflowException("API request to http://x/api failed with exception too many 503 error responses"), "503"),
        (MlflowException("API request to http://x/api failed with exception too many 429 error responses"), "429"),
        (MlflowException("API request to endpoint /api failed with error code 502 != 200."), "502"),
        (MlflowException("API request to endpoint /api failed with error code 413 != 200."), None),
        (MlflowException("API request to endpoint was successful but the response body was not JSON"), None),
        (RestException({"error_code": "INTERNAL_ERROR", "message": "the disk is full"}), "500"),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}), "503"),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}), None),
        (MlflowException("a parameter is changed", INVALID_PARAMETER_VALUE), None),
        (MlflowException("anything else"), None),
        (answer(503), "503"),
        (answer(403), None),
        (NoConnection("reset"), "no connection"),
        (SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"), None),
    ],
    ids=str,
)
def test_only_a_server_that_does_not_serve_is_away(error: Exception, reason: str | None) -> None:
    told = refused(SERVER, error)

    assert isinstance(told, ServerAway) is bool(reason)
    assert "secret" not in str(told)
    assert (reason or "http://server:5000") in str(told)


def test_a_database_is_never_away() -> None:
    error = MlflowException("API request to http://x failed with exception: refused")
    assert not isinstance(refused("sqlite:///mlflow.db", error), ServerAway)


def test_a_wrong_request_is_an_error_on_a_server_too(remote: Tracking, proxy: Any) -> None:
    def mistaken(run: Run) -> None:
        run.params({"a": 1})
        run.params({"a": 2})

    with pytest.raises(UserError, match=rf"\Atracking: {proxy.uri}: .+\Z"):
        train(remote, mistaken)

    (run,) = runs(remote)
    assert run.info.status == "FAILED"


def test_a_connection_returns_the_result_of_a_request() -> None:
    assert StoreConnection("a run", SERVER, None).attempt(lambda: 3) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            ANSWER.format(401),
            "error code 401: the server does not know this user and password: set MLFLOW_TRACKING_USER",
        ),
        (ANSWER.format(403), "error code 403: this user lacks a permission: ask for EDIT on"),
        ("Invalid Host header - possible DNS rebinding attack detected", "Invalid Host header: the server does not kn"),
        (
            "API request to https://x failed with exception SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]')",
            "CERTIFICATE_VERIFY_FAILED: this machine does not trust",
        ),
        (
            "invalid interpolation syntax in '/a%20b/.venv/lib/mlflow/store/db_migrations' at position 2",
            "invalid interpolation syntax: MLflow can't work from an environment below a path with a %",
        ),
        (
            "'utf-8' codec can't encode character '\\udcff' in position 18: surrogates not allowed",
            "surrogates not allowed: the name of a folder above it is no UTF-8: rename that",
        ),
        ("(sqlite3.OperationalError) database is locked", "database is locked: another process writes it"),
    ],
)
def test_known_errors_say_what_to_do(text: str, told: str) -> None:
    assert reason(MlflowException(text)).startswith(told)


def test_other_errors_are_one_shortened_line() -> None:
    line = reason(ValueError("a\n  b " + 100 * "long "))
    assert line.startswith("a b long")
    assert len(line) <= 200


def test_sqlalchemys_links_are_left_out() -> None:
    text = 'FATAL: database "x" does not exist\n(Background on this error at: https://sqlalche.me/e/21/e3q8)'
    assert reason(ValueError(text)) == 'FATAL: database "x" does not exist'
