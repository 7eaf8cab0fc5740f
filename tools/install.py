"""Install the packages of a lock file and those of this repository into an environment: `make setup` runs it.

It needs nothing but Python. pip installs uv from the lock file; uv installs the rest in a third of pip's time. Where
uv fails, pip installs the rest too. Each file from a package index is checked against its hash in the lock file.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from ast import literal_eval
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

PACKAGES = ("src/accord", ".", "examples/digits")
BUILD = ("setuptools", "wheel")  # installed first: they build the source distributions, without build isolation
FORBIDDEN = ':"$`\\%'  # below a path with one of these, `activate` or Python's import system fails
NO_INDEX = "--no-index"  # uv has this as an option and not as a variable
# pip's settings and uv's variables for them, since uv does not read pip's configuration files.
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": NO_INDEX,
    "trusted-host": "UV_INSECURE_HOST",
    "keyring-provider": "UV_KEYRING_PROVIDER",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
# First lines of a script in place of its interpreter's absolute path: they find the interpreter in the script's folder,
# so that scripts work after the repository was moved.
HEADER = b"""\
#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0" 2>/dev/null || printf %s "$0")")/python" "$0" "$@"
' '''
"""
HEADER_TO_REPLACE = re.compile(rb"\A#!(/.*/python[0-9.]*|/bin/sh\n'''exec' .*\n' ''')\n")


class InstallError(Exception):
    """A failed installation; the message is one line for the user."""


def main() -> None:
    """Install, unless the environment is complete; on failure exit with code 1 and one line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", type=Path, help="folder of the virtual environment")
    parser.add_argument("lock", type=Path, help="lock file, in the format of requirements.txt")
    parser.add_argument("--same-python", action="store_true", help="refuse an environment of another Python version")
    arguments = parser.parse_args()
    if sys.platform == "win32":
        sys.exit("error: this project needs Linux or macOS: on Windows, run it in WSL 2 (`wsl --install`)")
    environment, lock = arguments.environment, arguments.lock
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it pip takes twice as long
    try:
        if arguments.same_python:
            refuse_other_python(environment)
        if not is_ready(environment, lock):
            install(environment, lock)
    except (InstallError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{environment}: installation stopped; run `make` again to continue")


def state(environment: Path, lock: Path) -> str:
    """Return the text that marks a complete environment: its folder, and the SHA-256 of the files it is made from."""
    files = [lock, *(Path(package, "pyproject.toml") for package in PACKAGES)]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    return f"{environment.resolve()}\n{digest}\n"


def is_ready(environment: Path, lock: Path) -> bool:
    """Return whether the environment is complete: installed in this folder, from these files, with its interpreter."""
    ready = environment / ".ready"
    is_same = ready.exists() and ready.read_text("utf-8") == state(environment, lock)
    return is_same and (environment / "bin/python").exists()


def install(environment: Path, lock: Path) -> None:
    """Create or complete an environment; empty it first if an interrupted installation left it broken.

    The file `.installing` is locked meanwhile and holds a word until the installation is complete: see `broken`.

    Raises:
        InstallError: The path has a forbidden character, or a package can't be installed.
    """
    refuse_path(environment)
    environment.mkdir(exist_ok=True)
    with locked(environment / ".installing") as mark:
        if is_ready(environment, lock):  # another process installed while this one waited for the lock
            return
        reason = broken(environment, mark)
        print(f"{reason}: installing from scratch" if reason else purpose(environment, lock), flush=True)
        if reason:
            clear(environment)
        ready = environment / ".ready"
        ready.unlink(missing_ok=True)
        mark.write("unfinished\n")
        mark.flush()
        before = installed(environment)
        try:
            Installer(environment, mark).install(lock)
        except (InstallError, KeyboardInterrupt):
            if installed(environment) == before:  # nothing was written, e.g. without a network: it works as before
                mark.truncate(0)
            raise
        make_scripts_relative(environment / "bin")
        temporary = ready.with_suffix(".new")
        temporary.write_text(state(environment, lock), "utf-8")
        temporary.rename(ready)
        mark.truncate(0)


def refuse_other_python(environment: Path) -> None:
    """Refuse an environment made by another Python version than the one that runs this.

    Raises:
        InstallError: The versions differ.
    """
    settings = environment / "pyvenv.cfg"
    made = re.search(r"^version = (\d+\.\d+)", settings.read_text("utf-8"), re.MULTILINE) if settings.exists() else None
    wanted = "{}.{}".format(*sys.version_info)
    if made and made[1] != wanted:
        raise InstallError(
            f"{environment} was made by Python {made[1]}, not {wanted}: remove it first (rm -r {environment})"
        )


def refuse_path(environment: Path) -> None:
    """Refuse a path below which an environment does not work.

    Raises:
        InstallError: The path has a forbidden character.
    """
    path = environment.parent.resolve()
    if set(FORBIDDEN) & set(str(path)):
        characters = " ".join(FORBIDDEN)
        raise InstallError(
            f"{path}: an environment cannot be below a path with one of {characters}: move the repository"
        )


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Lock a file until the block ends, after waiting for any other holder; yield the file, open at its start."""
    import fcntl  # not at the top: Windows lacks it, and main refuses Windows first

    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another installation into {path.parent} to end", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file


def broken(environment: Path, mark: IO[str]) -> str:
    """Return the reason why an environment must be emptied, or an empty string.

    Args:
        environment: Folder of the environment.
        mark: The locked file `.installing`, open at its start. It holds a word if an installation did not end.
    """
    if mark.read():
        return f"an earlier installation into {environment} was interrupted"
    interpreter = environment / "bin/python"  # a link
    if interpreter.is_symlink() and not interpreter.exists():
        return f"the Python that made {environment} is gone"
    return ""


def purpose(environment: Path, lock: Path) -> str:
    """Return the line that tells the user which installation begins."""
    ready = environment / ".ready"
    made_in = ready.read_text("utf-8").partition("\n")[0] if ready.exists() else ""
    if made_in and made_in != str(environment.resolve()):
        return f"{environment} was moved or copied here: repairing it"
    return f"installing {lock} into {environment}"


def installed(environment: Path) -> set[str]:
    """Return the names of all entries in site-packages; metadata folders have versions in their names."""
    return {path.name for path in environment.glob("lib/*/site-packages/*")}


def clear(environment: Path) -> None:
    """Remove everything in an environment but the locked file `.installing`."""
    for path in environment.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != ".installing":
            path.unlink()


class Installer:
    """The steps of an installation into one environment, by pip and uv."""

    def __init__(self, environment: Path, mark: IO[str]) -> None:
        """Take the environment's folder and its locked file `.installing`, which pip and uv inherit."""
        self.environment, self.mark = environment, mark
        self.python = environment / "bin/python"

    def install(self, lock: Path) -> None:
        """Create the environment if it is missing, and install the lock file and this repository's packages.

        Raises:
            InstallError: The environment can't be created, or a package can't be installed.
        """
        try:
            venv.create(self.environment, with_pip=not (self.environment / "bin/pip").exists(), symlinks=True)
        except subprocess.CalledProcessError as error:
            raise InstallError(
                f"{sys.executable} can't create a virtual environment (on Debian: apt-get install python3-venv)"
            ) from error
        with tempfile.TemporaryDirectory() as folder:
            build, uv, rest = split(lock, Path(folder))
            has_uv = self._pip("--require-hashes", "-r", build, "-r", uv)
            if not has_uv and not self._pip("--require-hashes", "-r", build):
                raise self._failed(lock)
            install, options = self._uv, ("--require-hashes", "--no-build-isolation", "-r", rest)
            if not has_uv or not self._uv(*options):
                print("uv failed (see above): installing by pip, which takes longer", flush=True)
                install = self._pip
                if not self._pip(*options):
                    raise self._failed(lock)
                self._run(self.python, "-m", "compileall", "-qq", "-j", "0", self.environment / "lib")
        if not install("--no-build-isolation", *(part for package in PACKAGES for part in ("--editable", package))):
            raise self._failed("this repository's packages")

    def _failed(self, what: Path | str) -> InstallError:
        reason = f"{what} can't be installed into {self.environment}"
        return InstallError(f"{reason} (see above); run `make` again to retry")

    def _pip(self, *arguments: str | Path) -> bool:
        options = ["--disable-pip-version-check", "install", "-qq", "--no-deps", "--no-compile"]
        return self._run(self.python, "-m", "pip", *options, *arguments)

    def _uv(self, *arguments: str | Path) -> bool:
        variables = {**self._variables, **os.environ}
        command: list[str | Path] = [self.environment / "bin/uv", "pip", "install", "-q", "--python", self.python]
        # By default uv asks only the first index that has a package; the file with the locked hash may be in another.
        options = ["--no-deps", "--compile-bytecode", "--index-strategy", "unsafe-best-match"]
        if variables.pop(NO_INDEX, "").lower() in {"1", "on", "t", "true", "y", "yes"}:
            options.append(NO_INDEX)
        return self._run(*command, *options, *arguments, env=variables)

    @cached_property
    def _variables(self) -> dict[str, str]:
        command: list[str | Path] = [self.python, "-m", "pip", "config", "list"]
        settings = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        return uv_variables(settings.stdout.splitlines())

    def _run(self, *command: str | Path, env: Mapping[str, str] = os.environ) -> bool:
        """Run a command and return whether it succeeded.

        It inherits the locked file: if this process is killed, the lock is held until the command ends.
        """
        try:
            return subprocess.run(command, env=env, pass_fds=[self.mark.fileno()], check=False).returncode == 0
        except OSError as error:  # uv is missing or can't run on this machine
            print(error, file=sys.stderr)
            return False


def split(lock: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Split a lock file into build packages, uv and the rest; write each part into a folder and return the paths."""
    build, uv, rest = (folder / name for name in ("build.txt", "uv.txt", "rest.txt"))
    pins: dict[Path, str] = {build: "", uv: "", rest: ""}
    for lines in re.split(r"^(?=[a-z0-9])", lock.read_text("utf-8"), flags=re.MULTILINE):  # one package and its hashes
        name = lines.partition("==")[0]
        pins[build if name in BUILD else uv if name == "uv" else rest] += lines
    for path, text in pins.items():
        path.write_text(text, "utf-8")
    return build, uv, rest


def uv_variables(settings: Iterable[str]) -> dict[str, str]:
    """Translate lines of `pip config list`, such as `global.index-url='...'`, into environment variables for uv."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}  # in ascending precedence
    for line in settings:
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found and name in SETTINGS:
            found[section][SETTINGS[name]] = literal_eval(value)
    variables = {name: value for section in found.values() for name, value in section.items()}
    for name, separator in {"UV_INDEX": " ", "UV_INSECURE_HOST": " ", "UV_FIND_LINKS": ","}.items():
        if name in variables:
            variables[name] = separator.join(variables[name].split())
    return variables


def make_scripts_relative(folder: Path) -> None:
    """Rewrite the scripts in a folder so that each finds the interpreter beside it.

    Scripts may be hard links into uv's cache, so they are replaced and not written to.
    """
    for script in filter(Path.is_file, folder.iterdir()):
        text = script.read_bytes()
        new = HEADER_TO_REPLACE.sub(lambda _: HEADER, text)
        if new != text:
            temporary = script.with_name(f".{script.name}")
            temporary.write_bytes(new)
            shutil.copymode(script, temporary)
            temporary.replace(script)


if __name__ == "__main__":
    main()
