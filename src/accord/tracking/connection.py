"""One-line messages for a store's errors, and the connection of a run to a server that may go away."""

import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import HTTPError, RequestException, RetryError, Timeout

from accord.errors import UserError, one_line
from accord.project import own_command

_ANSWERED = re.compile(r"(?:too many|failed with error code) (\d{3})")  # MLflow's message after an HTTP status
_REQUEST = re.compile(r"API request to \S+ failed with (timeout )?exception")  # MLflow's message without an answer
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"  # OpenSSL's error code
# Parts of the messages of SQLite 3, MLflow 3.17 and PostgreSQL's driver, and the remedy for each.
_ERROR_HINTS = {
    ("file is not a database", "database disk image is malformed"): (
        "move the file away, with those whose names begin with its name; then {sync} fills a new one"
    ),
    ("database or disk is full", "disk I/O error"): "free space on its disk, then give the command again",
    ("attempt to write a readonly database", "unable to open database file"): (
        "allow this user to write the file and its folder"
    ),
    ("invalid interpolation syntax",): (
        "MLflow can't work from an environment below a path with a %: move the repository, or its environment"
    ),
    ("surrogates not allowed",): "the name of a folder above it is no UTF-8: rename that",
    ("database is locked",): "another process writes it: end that, or wait for its end",
    (_UNTRUSTED,): (
        "this machine does not trust the server's certificate: name that of the authority in "
        "MLFLOW_TRACKING_SERVER_CERT_PATH"
    ),
    (
        "Invalid Host header",
    ): "the server does not know itself by this name: start it with this name among --allowed-hosts",
    ("error code 401", "401 Client Error"): (
        "the server does not know this user and password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
        "or write ~/.mlflow/credentials"
    ),
    ("error code 403", "403 Client Error", "Permission denied"): (
        "this user lacks a permission: ask for EDIT on the experiment and the registered model"
    ),
}

T = TypeVar("T")


class ServerAway(UserError):  # noqa: N818  (a state rather than a mistake)
    """The tracking server can't be reached, or answers that it can't serve now."""

    def __init__(self, uri: str, reason: str) -> None:
        """Make the message from the server's address and the reason in two or three words."""
        self.uri, self.reason = shown(uri), reason
        super().__init__(f"tracking: the MLflow store {self.uri} can't be used: the server is away ({reason})")


@dataclass
class StoreConnection:
    """The connection of one run to its store, cut for good when the server is away: each further try costs a timeout.

    Attributes:
        name: Name of the run, for the line that is printed when the server goes away.
        uri: Address of the store.
        remedy: Text that names the command that completes the run later from the pipeline's files, by
            `accord.tracking.restore`. If it is None, `ServerAway` is raised instead of printed.
        is_cut: True once the server was found to be away.
    """

    name: str
    uri: str
    remedy: str | None
    is_cut: bool = False

    def attempt(self, request: Callable[[], T]) -> T | None:
        """Return the result of a request, or None if the server is away, which is printed once.

        Raises:
            ServerAway: The server is away, and `remedy` is None.
            UserError: The store can be reached and refuses the request.
        """
        if self.is_cut:
            return None
        try:
            with user_errors(self.uri):
                return request()
        except ServerAway as away:
            self.cut(away)
        return None

    def cut(self, away: ServerAway) -> None:
        """Cut the connection, so that no more requests are sent, and print that the server is away.

        Raises:
            ServerAway: `remedy` is None.
        """
        self.is_cut = True
        if self.remedy is None:
            raise away from None
        how = f"going on without it; {self.remedy}"
        print(f"{self.name}: the tracking server {away.uri} is away ({away.reason}): {how}", flush=True)


@contextmanager
def user_errors(uri: str) -> Iterator[None]:
    """Turn an exception of a request in the block into the `UserError` that `refused` makes of it."""
    try:
        yield
    except (MlflowException, RequestException) as error:
        raise refused(uri, error) from None


@contextmanager
def passing_over(*codes: str) -> Iterator[None]:
    """Suppress an MLflow exception in the block that has one of these error codes."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in codes:
            raise


def refused(uri: str, error: BaseException, what: str = "{}") -> UserError:
    """Return the `UserError` for a failed request, which is a `ServerAway` if the server is away.

    Args:
        uri: Address of the store.
        error: Exception that the request raised.
        what: Beginning of the message, in which {} stands for the store's address.
    """
    if why := _why_away(uri, error):
        return ServerAway(uri, why)
    return UserError(f"tracking: {what.format(shown(uri))}: {reason(error)}")


def reason(error: BaseException) -> str:
    """Describe a store's exception in one line, with a remedy if one is known."""
    text = one_line(error).partition(" (Background on this error at: ")[0]  # SQLAlchemy appends a link
    known = (f"{sign}: {remedy}" for signs, remedy in _ERROR_HINTS.items() for sign in signs if sign in text)
    return next(known, textwrap.shorten(text, 200)).replace("{sync}", own_command("sync"))


def shown(uri: str) -> str:
    """Return a store's address without the user name and password, if it has a password."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.password else uri


def is_server(uri: str) -> bool:
    """Return whether a store is reached over HTTP; only such a store can be away."""
    return uri.startswith(("http://", "https://"))


def _why_away(uri: str, error: BaseException) -> str | None:
    """Return the reason why the server is away, or None if it is not and the request itself is at fault."""
    text = str(error)
    if not is_server(uri) or _UNTRUSTED in text:  # waiting does not make a certificate trusted
        return None
    if status := _status(error):
        return f"it answers {status}" if status >= 500 or status in {408, 429} else None  # MLflow retries these, too
    if isinstance(error, NoConnection | Timeout | RetryError) or _REQUEST.match(text):
        return "no answer in time" if "timed out" in text else "no connection"
    return None


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of the server's answer, or None if the exception does not tell."""
    if isinstance(error, HTTPError) and error.response is not None:
        return int(error.response.status_code)
    if found := _ANSWERED.search(str(error)):
        return int(found[1])
    # RestException carries the server's answer. MLflow raises others itself, with status 500 by default.
    return int(error.get_http_status_code()) if isinstance(error, RestException) else None
