"""A tracking server that is away: it stalls, answers 500 or is gone. What a run could not send is sent later.

The pipeline's files are all that is needed for that: `seqmnist.tracking.lineage` completes a run from them.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import HTTPError, RequestException, RetryError, Timeout

from seqmnist.errors import UserError
from seqmnist.tracking.remedies import UNTRUSTED, reason

FAILURES = (MlflowException, RequestException)  # what a request to a store raises
_ANSWERED = (r"too many (\d{3}) error responses", r"failed with error code (\d{3})")
_REQUEST = re.compile(r"API request to \S+ failed with (timeout )?exception")  # MLflow's words for no answer
_BUSY = {408, 429}  # MLflow tries these again, as it does 5xx

T = TypeVar("T")


class ServerAway(UserError):  # noqa: N818  (a state rather than a mistake)
    """The tracking server can't be reached now."""

    def __init__(self, uri: str, reason: str) -> None:
        """Name the server, and in two or three words what is wrong with it."""
        self.uri, self.reason = shown(uri), reason
        super().__init__(f"tracking: the MLflow store {self.uri} can't be used: the server is away ({reason})")


class Link:
    """The way of one run to its store: cut for good when the server is away, since each try costs a time-out."""

    def __init__(self, name: str, uri: str, later: str | None) -> None:
        """Link a run with a store.

        Args:
            name: Name of the run, for people.
            uri: Address of the store.
            later: Command that sends the rest, for people; None where `ServerAway` is raised instead of printed.
        """
        self.name, self.uri, self.later, self.is_cut = name, uri, later, False

    def attempt(self, request: Callable[[], T]) -> T | None:
        """Return what a request gives; None when the server is away, which is printed once.

        Raises:
            ServerAway: The server is away, and `later` is None.
            UserError: The store is there and refuses the request.
        """
        if self.is_cut:
            return None
        try:
            return request()
        except ServerAway as error:
            self.cut(error)
        except FAILURES as error:
            told = refused(self.uri, error)
            if not isinstance(told, ServerAway):
                raise told from None
            self.cut(told)
        return None

    def cut(self, away: ServerAway) -> None:
        """Send nothing more.

        Raises:
            ServerAway: `later` is None.
        """
        self.is_cut = True
        if self.later is None:
            raise away from None
        what = f"the tracking server {away.uri} is away ({away.reason})"
        print(f"{self.name}: {what}: going on without it; {self.later}", flush=True)


@contextmanager
def telling(uri: str) -> Iterator[None]:
    """Within the block a request that fails is an error for people.

    Raises:
        UserError: see `refused`.
    """
    try:
        yield
    except FAILURES as error:
        raise refused(uri, error) from None


def refused(uri: str, error: BaseException) -> UserError:
    """Return the error for a user of a request that failed: `ServerAway` where a server is away."""
    if why := _why_away(uri, error):
        return ServerAway(uri, why)
    return UserError(f"tracking: {shown(uri)}: {reason(error)}")


def shown(uri: str) -> str:
    """Return a store's address without the name and password that it may hold."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.password else uri


def is_server(uri: str) -> bool:
    """Return whether a store is reached over HTTP; only such a store can be away."""
    return uri.startswith(("http://", "https://"))


def _why_away(uri: str, error: BaseException) -> str | None:
    """Return why the server is away; None if it is there: then the request was a mistake."""
    if not is_server(uri):
        return None
    if status := _status(error):
        return f"it answers {status}" if status >= 500 or status in _BUSY else None
    text = str(error)
    if UNTRUSTED in text:  # which waiting does not mend
        return None
    is_unanswered = isinstance(error, NoConnection | Timeout | RetryError) or _REQUEST.match(text)
    if not is_unanswered:
        return None
    return "no answer in time" if "timed out" in text else "no connection"


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that the server answered with, as far as the exception tells."""
    if isinstance(error, HTTPError) and error.response is not None:
        return int(error.response.status_code)
    for pattern in _ANSWERED:
        if found := re.search(pattern, str(error)):
            return int(found[1])
    # An answer in MLflow's own form; others of its exceptions are made here, and have the code of 500 by default.
    return int(error.get_http_status_code()) if isinstance(error, RestException) else None
