"""Make MLflow complete from what DVC holds: `seqmnist sync`."""

from functools import partial

from seqmnist import projects
from seqmnist.errors import UserError
from seqmnist.settings import load_tracking
from seqmnist.tracking.away import ServerAway
from seqmnist.tracking.mending import mend


def sync() -> None:
    """Mend what earlier versions logged, and give MLflow the run of every stage whose outputs are here.

    A second time it changes nothing. Every run that it finds or makes has the digest of params.yaml in its tag
    `config.sha256`.

    Raises:
        UserError: Outputs are missing, or are not those of params.yaml; or the store can't be used.
    """
    project = projects.find()
    try:
        for line in mend(load_tracking(), partial(project.call, "data_folder")):  # also where outputs are missing
            print(line)
        project.call("sync")
    except ServerAway as away:
        raise UserError(f"{away}. The results here are complete; once it is back, `seqmnist sync` sends them") from None
