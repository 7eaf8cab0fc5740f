import pytest
from mlflow.exceptions import MlflowException

from accord.tracking.connection import reason

ANSWER = "API request to endpoint /api/2.0/mlflow/runs/create failed with error code {} != 200. Response body: ''"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            ANSWER.format(401),
            "error code 401: the server does not know this user and password: set MLFLOW_TRACKING_USER",
        ),
        (ANSWER.format(403), "error code 403: this user may not: ask for the permission EDIT"),
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
def test_known_refusals_say_what_to_do(text: str, told: str) -> None:
    assert reason(MlflowException(text)).startswith(told)


def test_others_are_one_line_of_some_length() -> None:
    line = reason(ValueError("a\n  b " + 100 * "long "))
    assert line.startswith("a b long")
    assert len(line) <= 200


def test_sqlalchemys_links_are_left_out() -> None:
    text = 'FATAL: database "x" does not exist\n(Background on this error at: https://sqlalche.me/e/21/e3q8)'
    assert reason(ValueError(text)) == 'FATAL: database "x" does not exist'
