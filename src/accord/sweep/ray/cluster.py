"""The driver's side of a sweep on Ray: connect, send code and inputs, print the trials' results, stop, disconnect.

Hydra's launcher uses this connection and submits each trial as a task. The trial's side is `accord.sweep.trial_hosts`.
"""

import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from accord.errors import UserError
from accord.project import find_project, project_environment
from accord.sweep.folders import SweepRequest
from accord.sweep.ray import file_sync
from accord.sweep.ray.file_exchange import FileExchange, Supplies

NAME = "sweep of job {job}"  # name of the actor that exchanges files; `job` is Ray's id of the driver's job
MISSING = "Ray is not installed: activate an environment with accord[ray]"
_KEY = "hydra.launcher.ray.init.address"
# A sweep's folder for each trial, so that it can be removed with the trial. The node resolves TMPDIR.
_NODE_FOLDER = "${{oc.env:TMPDIR,/tmp}}/accord-{key}-${{hydra.job.num}}"
_QUIET = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105  (a variable's name)
_CONNECT_TIMEOUT_SECONDS = 5.0
_POLL_SECONDS = 0.5  # poll interval for lines to print and for the end of trials
_STOP_TIMEOUT_SECONDS = 60  # for trials to end; they poll once a second whether they shall


class Cluster:
    """Connection of this process to the Ray cluster that a sweep runs on."""

    def __init__(self, init: Any) -> None:
        """Connect to the cluster that a launcher's `ray.init` names, or start a local one.

        Raises:
            UserError: Ray is not installed, or the cluster does not answer or refuses the connection.
        """
        _connect(init)
        self._exchange: Any = None
        self._is_over = threading.Event()
        self._news = threading.Thread(target=self._print_news, daemon=True)

    def supply(self, sweep: Path, uri: str, request: SweepRequest) -> str:
        """Start the exchange of files with trials, and the thread that prints their results.

        Args:
            sweep: Absolute path of the sweep's folder.
            uri: URI of the MLflow store.
            request: Command of the sweep.

        Returns:
            Override for Hydra that places a trial's folder on the node where the trial runs.

        Raises:
            UserError: The nodes can't reach the store, or Ray fails.
        """
        import ray

        check_store(uri, sum(node["Alive"] for node in ray.nodes()))
        with ray_errors():  # e.g. the inputs do not fit into Ray's object store
            self._exchange = _open_exchange(sweep, uri, request)
        self._news.start()
        return f"hydra.sweep.dir={_NODE_FOLDER.format(key=uuid.uuid4().hex)}"

    def leave(self, *, stopped: bool) -> None:
        """Print the last results and disconnect.

        Args:
            stopped: Ask running trials to end, which end their MLflow runs, and wait for them until a timeout.
        """
        import ray

        if self._exchange:
            with suppress(ray.exceptions.RayError):  # the cluster itself may have failed
                if stopped:
                    ray.get(self._exchange.stop.remote())
                    until = time.monotonic() + _STOP_TIMEOUT_SECONDS
                    while not ray.get(self._exchange.is_idle.remote()) and time.monotonic() < until:
                        time.sleep(_POLL_SECONDS)
            self._is_over.set()
            self._news.join()
        ray.shutdown()

    def _print_news(self) -> None:
        """Print the lines that trials send: Ray's own output would begin each with a process id."""
        import ray

        with suppress(ray.exceptions.RayError):
            is_last = False
            while not is_last:
                is_last = self._is_over.wait(_POLL_SECONDS)
                for line in ray.get(self._exchange.lines.remote()):
                    print(line, flush=True)


def _open_exchange(sweep: Path, uri: str, request: SweepRequest) -> Any:
    """Start the actor `FileExchange` of a sweep on this machine and return it; it ends with this process."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context()
    inputs = Path(find_project().inputs)
    files = file_sync.pack(inputs, sorted(file_sync.stamps(inputs)))
    environment = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    environment |= {"MLFLOW_TRACKING_URI": uri, **project_environment()}
    options = {
        "name": NAME.format(job=here.get_job_id()),
        "num_cpus": 0,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(here.get_node_id(), soft=False),
    }
    supplies = Supplies(str(sweep), request, environment, file_sync.digest(files), [ray.put(files)])
    return ray.remote(FileExchange).options(**options).remote(supplies)


@contextmanager
def ray_errors() -> Iterator[None]:
    """Turn an exception of Ray into a `UserError` of one line."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("ray."):
            raise
        raise UserError(f"Ray: {_first_line(error)}") from None


def check_store(uri: str, nodes: int) -> None:
    """Refuse a database file as the MLflow store of a cluster with several nodes.

    Args:
        uri: URI of the store.
        nodes: Number of nodes of the cluster that are alive.

    Raises:
        UserError: The cluster has other nodes, and the store is no server.
    """
    from accord.tracking.connection import is_server

    if nodes > 1 and not is_server(uri):
        raise UserError(
            f"the Ray cluster has {nodes} nodes, and the others can't reach {urlsplit(uri).scheme} on this machine:"
            " start an MLflow server and set MLFLOW_TRACKING_URI"
        )


def _connect(init: dict[str, Any]) -> None:
    """Connect to the cluster at the configured address, or start one; Ray sends the project's code to its nodes."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    address = init.get("address") or os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's default gives its workers a low priority
        if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
            os.environ.setdefault(_TOKEN, secrets.token_hex(32))  # other users of this machine can reach the ports
    check_address(address)
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError(MISSING) from None

    code = {"py_modules": packages([find_project().functions.partition(".")[0]]), "excludes": ["**/__pycache__"]}
    on_terminate = signal.getsignal(signal.SIGTERM)
    with _stderr_kept() as kept:
        try:
            ray.init(**_QUIET | init | {"address": address, "runtime_env": code})
        except (Exception, SystemExit) as error:  # Ray exits when a cluster takes too long to answer
            raise UserError(f"{_KEY} = {address}: {_why(error, kept)}") from None
        finally:
            signal.signal(signal.SIGTERM, on_terminate)  # `ray.init` replaces the handler


def packages(names: Iterable[str]) -> list[str]:
    """Return the folders of accord and of the named packages, for Ray to send to its nodes."""
    own = __name__.partition(".")[0]
    return [str(Path(str(import_module(name).__file__)).parent) for name in dict.fromkeys([own, *names])]


def check_address(address: str) -> None:
    """Refuse an address at which no Ray cluster answers, since Ray itself would try for two minutes.

    Args:
        address: `HOST:PORT`, `local` or `auto`.

    Raises:
        UserError: The address has another form, or the port can't be reached.
    """
    if address in {"local", "auto"}:
        return
    if "://" in address:
        raise UserError(f"{_KEY} = {address}: run `ray start --address=...` on this machine too, and give HOST:PORT")
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_SECONDS).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{_KEY} = {address}: no Ray cluster answers there ({reason}): see `ray status`") from None


def _why(error: BaseException, kept: IO[bytes]) -> str:
    """Return why Ray did not connect, from its exception and its output on stderr."""
    kept.seek(0)
    if type(error).__name__ == "AuthenticationError" or b"InvalidAuthToken" in kept.read():
        return f"no token or a wrong one: set RAY_AUTH_MODE=token, and {_TOKEN} or ~/.ray/auth_token to the cluster's"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)


@contextmanager
def _stderr_kept() -> Iterator[IO[bytes]]:
    """Redirect stderr to a file by its descriptor, since Ray's C++ code does not use `sys.stderr`."""
    before = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield kept
        finally:
            os.dup2(before, 2)
            os.close(before)
