"""Experiments that DVC runs in a temporary tree: check that their results can be kept, run them, read their files.

DVC fetches an experiment's commit from its tree into the repository, and reports no error when that fails.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from accord.errors import UserError, one_line
from accord.git import GitError, git
from accord.process import run_command

_INTERRUPTED_EXIT_CODE = 252  # DVC's exit code after Ctrl-C
_ERROR_HINTS = {  # words in git's error messages, and the remedy for each
    "not a git repository": "run `git init` and `git commit`, or work in a clone",
    "Needed a single revision": "there is no such commit; a new repository needs its first one",
    "index file": "remove that file and run `git reset`",
}


def run(name: str, *settings: str) -> str:
    """Run an experiment in a temporary tree and return the SHA of its commit.

    It replaces an experiment with the same name on the same commit. Stages that ran before, even in an experiment that
    was removed, are restored from DVC's run cache.

    Args:
        name: Name of the experiment.
        settings: Settings of the experiment as KEY=VALUE.

    Raises:
        UserError: The experiment can't be kept, failed, or was lost.
    """
    from dvc.cli import main as dvc

    check_repository(Path.cwd())
    head = _git("rev-parse", "--verify", "HEAD")
    ref = f"refs/exps/{head[:2]}/{head[2:]}/{name}"
    if _git("for-each-ref", ref) and dvc(["exp", "remove", "--quiet", name]):
        raise UserError(f"DVC can't remove the earlier experiment {name}: run `dvc exp remove {name}`")
    code = dvc(["exp", "run", "--temp", "--name", name, *(f"--set-param={setting}" for setting in settings)])
    if code == _INTERRUPTED_EXIT_CODE:
        raise KeyboardInterrupt
    if code:
        raise UserError(f"the experiment {name} failed: see the output above")
    if not (commits := _commits(ref)):
        raise UserError(f"DVC ran the experiment {name} and did not save it: {ref} is missing")
    return commits[0]


def resolve(revision: str) -> str:
    """Return the SHA of the commit that an experiment's name or another git revision stands for.

    Raises:
        UserError: There is no such commit, or several experiments have this name.
    """
    commits = _commits(f"refs/exps/*/*/{revision}")
    if len(commits) > 1:
        raise UserError(f"{len(commits)} experiments have the name {revision}: give the SHA of a commit")
    return commits[0] if commits else _git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")


def fetch(commit: str, path: str, target: Path) -> None:
    """Copy a file or folder of a commit, tracked by DVC or by git, to `target`.

    Raises:
        UserError: The commit has no such path, or its content can't be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    prefix = _git("rev-parse", "--show-prefix")  # DVC's root may be a subfolder of the git repository
    try:
        Repo.get(_git("rev-parse", "--show-toplevel"), f"{prefix}{path}", out=str(target), rev=commit)
    except (DvcException, OSError) as error:
        raise UserError(f"{path} of commit {commit[:7]} can't be read: {one_line(error)}") from None


def check_repository(root: Path) -> None:
    """Check that DVC can fetch an experiment from a temporary tree into a repository.

    Raises:
        UserError: DVC can't, for one of the known reasons; the message says what to do.
    """
    path = str(root)
    # DVC puts the path into a file:// URL without quoting it.
    if not path.isascii() or unquote(urlsplit(f"file://{path}").path) != path or set(path) & set("{}"):
        raise UserError(
            f"DVC can't run experiments in trees of their own (--temp, --queue) below {path}: move the repository to a "
            f"path of ASCII characters without # ? % {{ }}, or run `dvc exp run` in the workspace"
        )
    if _git("rev-parse", "--is-shallow-repository", root=root) == "true":
        raise UserError(f"{root} is a shallow clone, in which DVC loses experiments: run `git fetch --unshallow`")
    _git("rev-parse", "--verify", "HEAD", root=root)
    for name in ("index.lock", "HEAD.lock"):
        if (lock := root / _git("rev-parse", "--git-path", name, root=root)).exists():
            raise UserError(f"{lock} exists: wait for the git command that runs; if none does, remove the file")
    if unmerged := _git("diff", "--name-only", "--diff-filter=U", root=root):
        raise UserError(f"{unmerged.splitlines()[0]} has conflicts of a merge: resolve them and `git add` it")
    _check_libraries(root)


def _check_libraries(root: Path) -> None:
    """Refuse a repository that git can read but DVC's git libraries can't."""
    from dvc.scm import SCM

    with _refused("DVC can't read this kind of git repository", "clone it anew"):
        scm = SCM(str(root), search_parent_directories=True)
        library = scm.pygit2  # pygit2 opens the repository itself, and may fail where the first library did not
    with closing(scm):
        with _refused("DVC can't read git's index", "run `git update-index --no-split-index`"):
            scm.is_tracked("dvc.yaml")
        # DVC stashes edits as a commit, which needs a user name.
        if _git("status", "--porcelain", "--untracked-files=no", root=root):
            remedy = "run `git config user.name NAME` and `git config user.email ADDRESS`"
            with _refused("git has no user name and e-mail for commits", remedy):
                _ = library.committer


@contextmanager
def _refused(problem: str, remedy: str) -> Iterator[None]:
    """Turn any exception of DVC's git libraries into a `UserError` of one line."""
    try:
        yield
    except Exception as error:  # each library raises its own exception types
        raise UserError(f"{problem} ({one_line(error)}): {remedy}") from None


def run_stage(main: Callable[[], object]) -> NoReturn:
    """Run a stage's `main` as a command, after a check that DVC will be able to keep its experiment."""

    def checked() -> None:
        check_tree()
        main()

    run_command(checked)


def check_tree() -> None:
    """Check, with a trial commit, that DVC can fetch the result of an experiment in a temporary tree.

    Raises:
        UserError: The repository can't fetch a commit from this tree.
    """
    root = Path(os.environ.get("DVC_ROOT", ".")).resolve()
    if "DVC_EXP_BASELINE_REV" not in os.environ or root == Path.cwd().resolve():  # DVC fetches only from other trees
        return
    try:
        _try_to_keep(root)
    except Exception as error:  # the git libraries raise many types
        check_repository(root)
        raise UserError(f"DVC can't keep this experiment in {root}: {one_line(error.__cause__ or error)}") from None


def _try_to_keep(root: Path) -> None:
    """Commit in the working directory's tree and fetch the commit, as DVC does after the last stage; undo both."""
    from dvc.scm import SCM

    ref = f"refs/probe/{uuid4().hex}"
    with (
        closing(SCM(str(Path.cwd()), search_parent_directories=True)) as tree,
        closing(SCM(str(root), search_parent_directories=True)) as repository,
    ):
        head = tree.get_rev()
        try:
            tree.commit("Try whether DVC can keep an experiment", no_verify=True)
            tree.set_ref(ref, tree.get_rev())
            repository.fetch_refspecs(f"file://{tree.root_dir}", [f"{ref}:{ref}"])
        finally:
            tree.set_ref("HEAD", head)
            if repository.get_ref(ref):
                repository.remove_ref(ref)


def _commits(pattern: str) -> list[str]:
    """Return the SHA of each commit whose reference matches a pattern."""
    return _git("for-each-ref", "--format=%(objectname)", pattern).split()


def _git(*arguments: str, root: Path | None = None) -> str:
    """Return the output of a git command; raise a `UserError`, with a remedy if one is known, when it fails."""
    try:
        return git(*arguments, folder=root)
    except GitError as reason:
        remedy = next((remedy for words, remedy in _ERROR_HINTS.items() if words in str(reason)), "")
        line = [f"git can't use {root or Path.cwd()}", str(reason), remedy]
        raise UserError(": ".join(filter(None, line))) from None
