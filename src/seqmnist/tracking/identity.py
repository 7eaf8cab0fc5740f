"""Tags that find the runs of one configuration, data set, commit or DVC experiment."""

import os
import subprocess

from seqmnist.config import Data
from seqmnist.files import sha256_file, sha256_json
from seqmnist.paths import PARAMS

CONFIG = "config.sha256"  # the tag with the SHA-256 of params.yaml
CODE = ("git.commit", "git.dirty")


def data_sha256(data: Data) -> str:
    """One digest for the four raw files: of their names and SHA-256."""
    return sha256_json({file.name: file.sha256 for file in data.files.all()})


def identity_tags(data: Data) -> dict[str, str]:
    """What finds the runs of one configuration, data set, commit or DVC experiment."""
    tags = {"data.sha256": data_sha256(data), **experiment_tags()}
    if commit := _git("rev-parse", "HEAD"):
        # dvc.lock and params.yaml are written while the pipeline runs: that is no edit.
        ours = [f":(top,exclude,glob)**/{name}" for name in ("dvc.lock", "params.yaml")]
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *ours)
        tags |= dict(zip(CODE, (commit, str(bool(changed)).lower()), strict=True))
    return tags


def experiment_tags() -> dict[str, str]:
    """The digest of the configuration, and the name of the DVC experiment if this is in one.

    A run whose outputs serve others too has all of theirs, separated by spaces.
    """
    tags = {CONFIG: sha256_file(PARAMS)}
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.experiment"] = experiment
    return tags


def _git(*arguments: str) -> str:
    """A git command's output; empty where there is no git or no repository."""
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
