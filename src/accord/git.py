"""Call git, and report in one line why a call failed."""

import os
import subprocess
from pathlib import Path

_TIMEOUT_SECONDS = 60


class GitError(Exception):
    """A git command failed; the message is the reason that git gave, as one line."""


def git(*arguments: str, folder: Path | None = None) -> str:
    """Return the output of a git command, run in `folder` or else in the working directory.

    Raises:
        GitError: Git is missing, fails, or does not end within the timeout.
    """
    try:
        result = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=os.environ | {"LC_ALL": "C"},  # callers search git's messages for English words
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} did not end within {_TIMEOUT_SECONDS} s") from None
    except OSError as error:
        raise GitError(f"git can't be run: {error.strerror}") from None
    if result.returncode:
        said = " ".join(result.stderr.split()) or f"git ended with {result.returncode}"
        raise GitError(said.removeprefix("fatal: "))
    return result.stdout.strip()


def is_expected() -> bool:
    """Return whether git should find a repository here; it finds none in a downloaded source archive."""
    here = Path.cwd()
    return "GIT_DIR" in os.environ or any(os.access(folder / ".git", os.F_OK) for folder in (here, *here.parents))
