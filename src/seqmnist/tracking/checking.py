"""The usual mistakes of a tracking server that a team shares, looked for from a client: `seqmnist check-server`."""

import ipaddress
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.credentials import get_default_host_creds

from seqmnist.errors import UserError
from seqmnist.tracking.away import is_server, shown, telling

_Login = tuple[str, str] | Callable[[requests.PreparedRequest], requests.PreparedRequest]

_SEARCH = "/api/2.0/mlflow/experiments/search"
_DEFAULT = ("admin", "password1234")  # of MLflow before 3.17, published
_FOREIGN = "10.evil.example"  # MLflow takes 10.* for private addresses where it is given no names
_REQUEST_TIMEOUT_SECONDS = 30
_MAX_CLOCK_DIFFERENCE_SECONDS = 5
_METRIC = 0.1 + 0.2  # all of its bits must come back
_ARTIFACT = secrets.token_bytes(100_000)


@dataclass(frozen=True)
class Finding:
    """Result of one look at a server."""

    what: str
    problem: str = ""  # with what to do; empty where all is well


def check_server(uri: str) -> None:
    """Print a line for each thing that is looked at.

    The experiment that is made meanwhile is deleted, as MLflow deletes: `mlflow gc` on the server forgets it.

    Raises:
        UserError: something is wrong, or the server can't be asked.
    """
    if not is_server(uri):
        remedy = "give an address that begins with http:// or https://, or set MLFLOW_TRACKING_URI to it"
        raise UserError(f"{shown(uri)} is no server: {remedy}")
    uri = uri.rstrip("/")
    problems = 0
    with telling(uri):
        for finding in _findings(uri):
            problems += bool(finding.problem)
            print(f"{'WRONG' if finding.problem else 'ok   '}  {finding.what}", flush=True)
            if finding.problem:
                print(f"       {finding.problem}", flush=True)
    if problems:
        raise UserError(f"{problems} of these are wrong at {shown(uri)}")


def _findings(uri: str) -> Iterator[Finding]:
    if (sent_on := _ask(uri, _nobody)).is_redirect:
        raise UserError(f"{shown(uri)} sends on to {sent_on.headers['Location']}: give the address that answers itself")
    yield _encryption(uri)
    yield _anonymous(uri)
    yield _default_password(uri)
    answer = _ask(uri, _credentials(uri))
    answer.raise_for_status()
    yield _version(uri)
    yield _clock(answer)
    yield _foreign(uri, "Host", _FOREIGN, "--allowed-hosts: the server's names and ports")
    yield _foreign(uri, "Origin", f"https://{_FOREIGN}", "--cors-allowed-origins: the server's own address")
    with _experiment(uri) as (client, run):
        yield _metric(client, run)
        yield _artifact(client, run)


def _ask(uri: str, login: _Login, headers: dict[str, str] | None = None) -> requests.Response:
    """Ask for experiments."""
    return _send("POST", uri, _SEARCH, login, headers, json={"max_results": 1})


def _send(
    method: str, uri: str, path: str, login: _Login, headers: dict[str, str] | None = None, json: Any = None
) -> requests.Response:
    """Send a request with the certificates that MLflow's client is told of, and nothing of ~/.netrc."""
    told = get_default_host_creds(uri)
    return requests.request(
        method,
        uri + path,
        json=json,
        auth=login,
        headers=headers,
        timeout=_REQUEST_TIMEOUT_SECONDS,
        allow_redirects=False,
        verify=told.verify,
        cert=told.client_cert_path,
    )


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _credentials(uri: str) -> _Login:
    """Return what MLflow's client sends: a name and password, else a token."""
    told = get_default_host_creds(uri)
    if told.username and told.password:
        return told.username, told.password
    return _Bearer(told.token) if told.token else _nobody


@dataclass(frozen=True)
class _Bearer:
    """Sends a token."""

    token: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _encryption(uri: str) -> Finding:
    what, parts = "passwords are encrypted on their way, or stay on this machine", urlsplit(uri)
    if parts.scheme == "https" or _is_loopback(parts.hostname or ""):
        return Finding(what)
    return Finding(
        what, "all see the passwords: put a reverse proxy with TLS before it, and use https:// (docs/scale-server.md)"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _anonymous(uri: str) -> Finding:
    refused = _ask(uri, _nobody).status_code in {401, 403}
    return Finding(
        "who has no account is refused", "" if refused else "start it with --app-name basic-auth (deploy/server.sh)"
    )


def _default_password(uri: str) -> Finding:
    what = f"MLflow's published password of {_DEFAULT[0]} is refused"
    if not _ask(uri, _DEFAULT).ok:
        return Finding(what)
    return Finding(what, "set another: MLFLOW_AUTH_ADMIN_PASSWORD, at the next start of the server")


def _version(uri: str) -> Finding:
    answer = _send("GET", uri, "/version", _credentials(uri))
    version = answer.text.strip() if answer.ok else f"unknown ({answer.status_code})"
    what = f"it is MLflow {version}, the client {mlflow.__version__}"
    same = version == mlflow.__version__
    return Finding(what, "" if same else "install the same version on both sides: the lock file's, after a backup")


def _clock(answer: requests.Response) -> Finding:
    date = answer.headers.get("Date")
    if date is None:
        return Finding("its clock can't be seen")
    seconds = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    wrong = abs(seconds) > _MAX_CLOCK_DIFFERENCE_SECONDS
    return Finding(
        f"its clock is this machine's to {_MAX_CLOCK_DIFFERENCE_SECONDS} s",
        f"it differs by {seconds:.0f} s: let both follow a time server (chrony)" if wrong else "",
    )


def _foreign(uri: str, header: str, value: str, remedy: str) -> Finding:
    status = _ask(uri, _credentials(uri), {header: value}).status_code
    refused = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Finding(f"requests with a foreign {header} are refused", "" if refused else f"start it with {remedy}")


@contextmanager
def _experiment(uri: str) -> Iterator[tuple[MlflowClient, Run]]:
    """Make an experiment with a run for the time of the block."""
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment(f"seqmnist-check-{secrets.token_hex(8)}")
    try:
        yield client, client.create_run(experiment)
    finally:
        client.delete_experiment(experiment)  # with its runs


def _metric(client: MlflowClient, run: Run) -> Finding:
    client.log_metric(run.info.run_id, "check", _METRIC, step=7)
    points = client.get_metric_history(run.info.run_id, "check")
    same = [(point.step, point.value) for point in points] == [(7, _METRIC)]
    return Finding("a metric comes back as it was sent", "" if same else f"it came back as {points}: look at its log")


def _artifact(client: MlflowClient, run: Run) -> Finding:
    what, location = "artifacts go by way of the server and come back as they were sent", run.info.artifact_uri
    if not location.startswith("mlflow-artifacts:"):
        remedy = "start it with --serve-artifacts and --artifacts-destination, and make the experiments anew"
        return Finding(what, f"they go to {location}, where each client would need access: {remedy}")
    with tempfile.TemporaryDirectory() as folder:
        sent = Path(folder, "check.bin")
        sent.write_bytes(_ARTIFACT)
        client.log_artifact(run.info.run_id, str(sent))
        back = Path(folder, "back")
        back.mkdir()
        client.download_artifacts(run.info.run_id, sent.name, str(back))
        same = (back / sent.name).read_bytes() == _ARTIFACT
    get_artifact_repository(location, tracking_uri=client.tracking_uri).delete_artifacts()
    return Finding(what, "" if same else "the bytes differ: look at the disk of --artifacts-destination")
