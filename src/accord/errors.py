"""Mistakes that a user can mend, told in one line."""


class UserError(Exception):
    """A mistake outside the code: its message says what is wrong and what to do, and is all that is printed."""
