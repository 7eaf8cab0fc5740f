"""Tags that say which configuration, commit and DVC experiment a run is of."""

import os
from functools import cache

from accord.files import sha256_file
from accord.git import GitError, git, is_expected
from accord.paths import PARAMS

CONFIG = "config.sha256"  # the tag with the SHA-256 of params.yaml
CODE = ("git.commit", "git.dirty", "git.error")


def identity_tags() -> dict[str, str]:
    """Return tags of the configuration, the DVC experiment and the commit, or of the reason why git gives no commit."""
    tags, (commit, dirty, error) = experiment_tags(), CODE
    try:
        tags[commit] = git("log", "-1", "--format=%H", "--no-show-signature")  # also says why there is none
        # dvc.lock and params.yaml are written while the pipeline runs: that is no edit.
        ours = [f":(top,exclude,glob)**/{name}" for name in ("dvc.lock", "params.yaml")]
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", *ours)
        tags[dirty] = str(bool(changed)).lower()
    except GitError as reason:
        tags[error] = str(reason)
        # MLflow asks git as well, by GitPython, and would wait for it without an end.
        os.environ |= {"GIT_PYTHON_REFRESH": "quiet", "GIT_PYTHON_GIT_EXECUTABLE": os.devnull}
        if is_expected():
            _tell(str(reason))
    return tags


@cache
def _tell(reason: str) -> None:
    """Print once in a process why runs lack tags of git."""
    print(f"git: runs get no tag of the code: {reason}", flush=True)


def experiment_tags() -> dict[str, str]:
    """Return the digest of the configuration, and the name of the DVC experiment if this is in one.

    A run whose outputs serve others too has all of theirs, separated by spaces.
    """
    tags = {CONFIG: sha256_file(PARAMS)}
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.experiment"] = experiment
    return tags
