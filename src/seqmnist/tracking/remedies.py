"""What a store's errors come to, for people."""

import textwrap

# What SQLite says, as of version 3, and MLflow of a server's refusals, and what helps.
_REMEDIES = {
    ("file is not a database", "database disk image is malformed"): (
        "move the file away, with those whose names begin with its name; then `seqmnist sync` fills a new one"
    ),
    ("database or disk is full", "disk I/O error"): "free space on its disk, then give the command again",
    ("attempt to write a readonly database", "unable to open database file"): (
        "allow this user to write the file and its folder"
    ),
    ("database is locked",): "another process writes it: end that, or wait for its end",
    ("error code 401",): (
        "the server knows no such name and password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    ),
    ("error code 403",): "this user may not do that there: ask who runs the server for the permission",
}


def reason(error: BaseException) -> str:
    """What a store's exception comes to, in a line: of known ones also what to do."""
    text = " ".join(str(error).split())
    known = (f"{sign}: {remedy}" for signs, remedy in _REMEDIES.items() for sign in signs if sign in text)
    return next(known, textwrap.shorten(text, 200))
