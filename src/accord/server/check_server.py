"""The command `check-server`: check from a client whether a team's tracking server has common mistakes."""

import ipaddress
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import MlflowHostCreds, http_request
from requests import Response

from accord.errors import UserError
from accord.tracking.connection import is_server, shown, user_errors

_DEFAULT = ("admin", "password1234")  # published default account of MLflow before 3.17
_FOREIGN = "10.evil.example"  # without --allowed-hosts MLflow takes any name 10.* for a private address
_MAX_CLOCK_DIFFERENCE_SECONDS = 5
_METRIC = 0.1 + 0.2  # has no short decimal form: a server that rounds it is noticed
_ARTIFACT = secrets.token_bytes(100_000)


def check_server(uri: str) -> None:
    """Check a tracking server, and print a line for each check.

    The checks create an experiment and delete it. MLflow keeps a deleted experiment until `mlflow gc` on the server.

    Args:
        uri: Address of the server, http:// or https://.

    Raises:
        UserError: A check found a mistake, or the server can't be reached.
    """
    if not is_server(uri):
        remedy = "give an address that begins with http:// or https://, or set MLFLOW_TRACKING_URI to it"
        raise UserError(f"{shown(uri)} is no server: {remedy}")
    uri = uri.rstrip("/")
    problems = 0
    with user_errors(uri):
        for what, problem in _findings(uri):
            problems += bool(problem)
            print(f"WRONG  {what}\n       {problem}" if problem else f"ok     {what}", flush=True)
    if problems:
        raise UserError(f"{problems} of these are wrong at {shown(uri)}")


def _findings(uri: str) -> Iterator[tuple[str, str]]:
    """Yield a description of each check, with the problem and its remedy, or "" if the check passed."""
    login = get_default_host_creds(uri)
    if (sent_on := _ask(_account(uri))).is_redirect:
        raise UserError(
            f"{shown(uri)} redirects to {sent_on.headers['Location']}: give the address of the server itself"
        )
    yield from _who_may(uri)
    answer = _ask(login)
    answer.raise_for_status()
    yield _version(_ask(login, method="GET", page="/version"))
    yield _clock(answer)
    for header, value, remedy in (
        ("Host", _FOREIGN, "--allowed-hosts: the server's names and ports"),
        ("Origin", f"https://{_FOREIGN}", "--cors-allowed-origins: the server's own address"),
    ):
        status = _ask(login, {header: value}).status_code
        refused = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        yield f"requests with a foreign {header} are refused", "" if refused else f"start it with {remedy}"
    yield from _what_comes_back(MlflowClient(tracking_uri=uri))


def _account(uri: str, name: str | None = None, password: str | None = None) -> MlflowHostCreds:
    """Return the credentials of MLflow's client for a server, with the given account or none."""
    login = get_default_host_creds(uri)
    login.username, login.password, login.token, login.auth, login.aws_sigv4 = name, password, None, None, False
    return login


def _ask(
    login: MlflowHostCreds,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
    page: str = "/api/2.0/mlflow/experiments/search",
) -> Response:
    """Send one request as MLflow's client does, without retries, redirects or credentials from ~/.netrc."""
    answer: Response = http_request(
        login,
        page,
        method,
        max_retries=0,
        extra_headers=headers,
        timeout=30,
        raise_on_status=False,
        json={"max_results": 1},
        allow_redirects=False,
        auth=lambda request: request,
    )
    return answer


def _who_may(uri: str) -> Iterator[tuple[str, str]]:
    """Check that passwords are encrypted on their way, and that the server refuses clients without an account."""
    parts = urlsplit(uri)
    remedy = "others on the network can read the passwords: put a reverse proxy with TLS before it, and use https://"
    is_safe = parts.scheme == "https" or _is_loopback(parts.hostname or "")
    yield "passwords are encrypted on their way, or stay on this machine", "" if is_safe else remedy
    is_refused = _ask(_account(uri)).status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    remedy = "start it with --app-name basic-auth"
    yield "who has no account is refused", "" if is_refused else remedy
    remedy = "set another: MLFLOW_AUTH_ADMIN_PASSWORD, at the next start of the server"
    is_known = _ask(_account(uri, *_DEFAULT)).ok
    yield f"MLflow's published password of {_DEFAULT[0]} is refused", remedy if is_known else ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _version(answer: Response) -> tuple[str, str]:
    version = answer.text.strip() if answer.ok else f"unknown ({answer.status_code})"
    remedy = "install the same version on both sides: the lock file's, after a backup"
    what = f"the server has MLflow {version}, the client {mlflow.__version__}"
    return what, "" if version == mlflow.__version__ else remedy


def _clock(answer: Response) -> tuple[str, str]:
    date = answer.headers.get("Date")
    if date is None:
        return "its clock can't be seen", ""
    seconds = (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    wrong = abs(seconds) > _MAX_CLOCK_DIFFERENCE_SECONDS
    what = f"its clock agrees with this machine's to {_MAX_CLOCK_DIFFERENCE_SECONDS} s"
    return what, f"it differs by {seconds:.0f} s: let both follow a time server (chrony)" if wrong else ""


def _what_comes_back(client: MlflowClient) -> Iterator[tuple[str, str]]:
    """Check that a metric and an artifact come back as they were sent, in an experiment that is deleted at the end."""
    experiment = client.create_experiment(f"accord-check-{secrets.token_hex(8)}")
    try:
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "check", _METRIC, step=7)
        points = client.get_metric_history(run.info.run_id, "check")
        same = [(point.step, point.value) for point in points] == [(7, _METRIC)]
        yield "a metric comes back as it was sent", "" if same else f"it came back as {points}: see the server's log"
        yield "artifacts go by way of the server and come back as they were sent", _artifact(client, run)
    finally:
        client.delete_experiment(experiment)  # deletes its runs, too


def _artifact(client: MlflowClient, run: Run) -> str:
    location = run.info.artifact_uri
    if not location.startswith("mlflow-artifacts:"):
        remedy = "start it with --serve-artifacts and --artifacts-destination, and make the experiments anew"
        return f"they go to {location}, where each client would need access: {remedy}"
    with tempfile.TemporaryDirectory() as folder:
        sent = Path(folder, "check.bin")
        sent.write_bytes(_ARTIFACT)
        client.log_artifact(run.info.run_id, str(sent))
        sent.unlink()
        back = Path(client.download_artifacts(run.info.run_id, sent.name, folder)).read_bytes()
    get_artifact_repository(location, tracking_uri=client.tracking_uri).delete_artifacts()
    return "" if back == _ARTIFACT else "the bytes differ: check the disk of --artifacts-destination"
