"""The command `sync`: log the stages' runs that MLflow lacks, from the outputs that DVC holds."""

from accord.errors import UserError
from accord.project import find_project, own_command
from accord.tracking.connection import ServerAway


def sync() -> None:
    """Log the run of every stage that MLflow lacks, from the stage's outputs; a second call changes nothing.

    Raises:
        UserError: An output is missing, or the store can't be used.
    """
    try:
        find_project().call("sync")
    except ServerAway as away:
        later = f"once it is back, {own_command('sync')} sends them"
        raise UserError(f"{away}. The results here are complete; {later}") from None
