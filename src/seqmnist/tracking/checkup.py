"""The usual mistakes of a team's tracking server, as far as they can be seen from outside: `seqmnist check-server`."""

import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.utils.credentials import read_mlflow_creds

from seqmnist import config
from seqmnist.errors import UserError
from seqmnist.local import NAMES
from seqmnist.tracking.away import is_server, refused, shown, telling
from seqmnist.tracking.store import open_store, tracking_uri

_ANY = "/api/2.0/mlflow/experiments/search?max_results=1"  # what any user may ask
_OLD_DEFAULT = ("admin", "password1234")  # MLflow's until 3.17
_FOREIGN = "seqmnist.invalid"  # a name that no server has (RFC 2606)
_SITE = f"http://{_FOREIGN}"
_SECONDS = 10

Login = tuple[str, str]


def check_server() -> None:
    """Print a line for each thing that is looked at of the server which is configured.

    It makes an experiment with a run, and deletes them.

    Raises:
        UserError: the store is no server, is away or refuses the user; or something is wrong with it.
    """
    tracking = config.load().tracking
    uri = tracking_uri(tracking).rstrip("/")
    if not is_server(uri):
        raise UserError(f"tracking: {shown(uri)} is no server: set MLFLOW_TRACKING_URI=https://...")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    client, _ = open_store(tracking)  # which says what is wrong with the user's own name and password
    checks: dict[str, Callable[[], str | None]] = {
        "its MLflow has the version of the one here": lambda: _other_version(uri),
        "nobody on the way can read names and passwords": lambda: _readable(uri),
        "who is not known is refused": lambda: _open(uri),
        "it answers to its own names alone": lambda: _any_name(uri),
        "pages of other sites can't use it": lambda: _any_origin(uri),
        "metrics and artifacts go there and come back": lambda: _round_trip(client),
    }
    problems = 0
    for right, look in checks.items():
        try:
            problem = look()
        except requests.RequestException as error:
            raise refused(uri, error) from None
        problems += problem is not None
        print(f"problem: {problem}" if problem else f"ok: {right}", flush=True)
    if problems:
        raise UserError(f"{shown(uri)}: {problems} of {len(checks)} things are wrong")


def _other_version(uri: str) -> str | None:
    version = _get(f"{uri}/version", _own()).text
    return None if version == mlflow.__version__ else f"its MLflow is {version!r}, here it is {mlflow.__version__}"


def _readable(uri: str) -> str | None:
    parts = urlsplit(uri)
    is_safe = parts.scheme == "https" or parts.hostname in NAMES
    return None if is_safe else "http sends passwords in the clear: let a proxy with TLS stand before it"


def _open(uri: str) -> str | None:
    if _get(f"{uri}{_ANY}").ok:
        return "anyone may read and write: start it with --app-name basic-auth"
    is_known = _get(f"{uri}{_ANY}", _OLD_DEFAULT).ok
    return "admin has the password that MLflow used to come with: change it" if is_known else None


def _any_name(uri: str) -> str | None:
    is_answered = _get(f"{uri}{_ANY}", _own(), {"Host": _FOREIGN}).ok
    return "it answers to any name: start it with --allowed-hosts" if is_answered else None


def _any_origin(uri: str) -> str | None:
    """What a page of another site would have a browser ask, with the name and password that it knows."""
    answer = _send("GET", f"{uri}{_ANY}", _own(), {"Origin": _SITE})
    allowed = answer.headers.get("Access-Control-Allow-Origin")
    return "pages of any site may use it: start it with --cors-allowed-origins" if allowed in {"*", _SITE} else None


def _round_trip(client: MlflowClient) -> str | None:
    with telling(client.tracking_uri):
        # Of its own: who did not make an experiment may not delete in it.
        experiment = client.create_experiment(f"check-server {uuid.uuid4()}")
        try:
            location = client.get_experiment(experiment).artifact_location
            return _lost(client, client.create_run(experiment).info.run_id, location)
        finally:
            client.delete_experiment(experiment)


def _lost(client: MlflowClient, run: str, location: str) -> str | None:
    if not location.startswith("mlflow-artifacts:"):
        return f"artifacts don't go through the server but to {location}: start it with --artifacts-destination"
    client.log_metric(run, "check", 0.5)
    with tempfile.TemporaryDirectory() as folder:
        sent = Path(folder, "check.txt")
        sent.write_text("check\n")
        client.log_artifact(run, str(sent))
        received = Path(client.download_artifacts(run, sent.name, tempfile.mkdtemp(dir=folder)))
        if received.read_text() != sent.read_text():
            return "an artifact came back with other bytes"
    return None if client.get_run(run).data.metrics == {"check": 0.5} else "a metric did not come back"


def _get(url: str, auth: Login | None = None, headers: Mapping[str, str] | None = None) -> requests.Response:
    return _send("GET", url, auth, headers)


def _send(method: str, url: str, auth: Login | None, headers: Mapping[str, str] | None) -> requests.Response:
    """A request with this name and password, not with those of the environment or ~/.netrc."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, headers=headers, auth=auth, timeout=_SECONDS, allow_redirects=False)


def _own() -> Login | None:
    """The user's own name and password, if any."""
    found = read_mlflow_creds()
    return (found.username, found.password) if found.username and found.password else None
