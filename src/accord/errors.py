"""Mistakes that a user can mend, told in one line."""


class UserError(Exception):
    """A mistake outside the code: its message says what is wrong and what to do, and is all that is printed."""


def one_line(error: BaseException) -> str:
    """Return an exception's message in one line, or the name of its class where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
