"""Errors that a user can fix, reported in one line."""


class UserError(Exception):
    """An error outside the code, printed without a traceback: its message says what is wrong and what to do."""


def one_line(error: BaseException) -> str:
    """Return an exception's message as one line, or the name of its class if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__
