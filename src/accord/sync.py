"""Make MLflow complete from what DVC holds: the command `sync`."""

from accord.errors import UserError
from accord.project import find_project, own_command
from accord.tracking.connection import ServerAway


def sync() -> None:
    """Give MLflow the run of every stage, whose outputs must be here; a second time it changes nothing."""
    try:
        find_project().call("sync")
    except ServerAway as away:
        later = f"once it is back, {own_command('sync')} sends them"
        raise UserError(f"{away}. The results here are complete; {later}") from None
