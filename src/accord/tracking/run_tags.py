"""Tags that identify a run's configuration, commit and DVC experiment."""

import os
from functools import cache

from accord.files import sha256_file
from accord.git import GitError, git, is_expected
from accord.paths import PARAMS

CONFIG = "config.sha256"  # name of the tag with the SHA-256 of params.yaml
CODE = ("git.commit", "git.dirty", "git.error")  # names of the tags that identify the code


def identity_tags() -> dict[str, str]:
    """Return tags that identify the configuration, the DVC experiment and the commit.

    If git fails, a tag with the reason replaces those of the commit.
    """
    tags, (commit, dirty, error) = experiment_tags(), CODE
    try:
        tags[commit] = git("log", "-1", "--format=%H", "--no-show-signature")  # its errors say why there is no commit
        # dvc.lock and params.yaml are excluded: the pipeline itself writes them.
        ours = [f":(top,exclude,glob)**/{name}" for name in ("dvc.lock", "params.yaml")]
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", *ours)
        tags[dirty] = str(bool(changed)).lower()
    except GitError as reason:
        tags[error] = str(reason)
        # MLflow also calls git, through GitPython, without a timeout.
        os.environ |= {"GIT_PYTHON_REFRESH": "quiet", "GIT_PYTHON_GIT_EXECUTABLE": os.devnull}
        if is_expected():
            _tell(str(reason))
    return tags


@cache
def _tell(reason: str) -> None:
    """Print why runs lack the commit's tags, once per process and reason."""
    print(f"git: runs get no tag of the code: {reason}", flush=True)


def experiment_tags() -> dict[str, str]:
    """Return tags with the SHA-256 of params.yaml and, inside a DVC experiment, the experiment's name.

    If other configurations or experiments reuse a run's outputs, its tags list theirs too, separated by spaces.
    """
    tags = {CONFIG: sha256_file(PARAMS)}
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.experiment"] = experiment
    return tags
