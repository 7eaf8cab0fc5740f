"""Hints for people about the errors of a store."""

import textwrap

UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"  # OpenSSL's word
_ADVERTISED = " (Background on this error at: "  # SQLAlchemy's end of each text
# What SQLite (3), MLflow's server (3.17) and PostgreSQL's driver say, and what helps.
_REMEDIES = {
    ("file is not a database", "database disk image is malformed"): (
        "move the file away, with those whose names begin with its name; then `seqmnist sync` fills a new one"
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
    (UNTRUSTED,): (
        "this machine does not trust the server's certificate: name that of the authority in "
        "MLFLOW_TRACKING_SERVER_CERT_PATH"
    ),
    ("Invalid Host header",): "the server does not know itself by this name: give it to NAME of deploy/server.sh",
    ("error code 401", "401 Client Error"): (
        "the server does not know this user and password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
        "or write ~/.mlflow/credentials"
    ),
    ("error code 403", "403 Client Error", "Permission denied"): (
        "this user may not: ask for the permission EDIT on the experiment and the registered model"
    ),
}


def reason(error: BaseException) -> str:
    """Describe a store's exception in a line; of known ones also say what to do."""
    text = " ".join(str(error).split()).partition(_ADVERTISED)[0]
    known = (f"{sign}: {remedy}" for signs, remedy in _REMEDIES.items() for sign in signs if sign in text)
    return next(known, textwrap.shorten(text, 200))
