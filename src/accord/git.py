"""Git's answers, and why it gives none."""

import os
import subprocess
from pathlib import Path

_TIMEOUT_SECONDS = 60


class GitError(Exception):
    """Git could not answer; the message is one line with the reason that it gave."""


def git(*arguments: str, folder: Path | None = None) -> str:
    """Return the output of a git command in a folder, None for the working directory; a `GitError` if it fails."""
    try:
        result = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=os.environ | {"LC_ALL": "C"},  # its messages are looked into
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
    """Return whether git should find a repository here; a downloaded archive of the files has none."""
    here = Path.cwd()
    return "GIT_DIR" in os.environ or any(os.access(folder / ".git", os.F_OK) for folder in (here, *here.parents))
