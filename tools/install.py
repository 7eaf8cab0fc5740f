"""Install what a lock file names, and this repository's packages, into an environment; `make setup` runs this.

It needs Python alone. pip installs uv from the lock file, and uv all else, since it takes a third of pip's time. Where
uv can't, pip does it. Every file from an index has a hash in the lock file.
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
BUILD = ("setuptools", "wheel")  # source distributions are built by these: no others are fetched for it
FORBIDDEN = ':"$`\\%'  # activate, or Python's import system, fails below such a path
NO_INDEX = "--no-index"  # for this uv has an option alone
# pip's settings, and uv's variables for the same. uv reads none of pip's files.
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
# A script begins with the path of its interpreter. These lines find it beside the script, wherever the repository goes.
HEADER = b"""\
#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0" 2>/dev/null || printf %s "$0")")/python" "$0" "$@"
' '''
"""
HEADER_TO_REPLACE = re.compile(rb"\A#!(/.*/python[0-9.]*|/bin/sh\n'''exec' .*\n' ''')\n")


class InstallError(Exception):
    """An installation that can't be made, in a line for people."""


def main() -> None:
    """Install, unless all is there; end with a line and exit code 1 where that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", type=Path)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--same-python", action="store_true", help="refuse an environment of another version of Python")
    arguments = parser.parse_args()
    if sys.platform == "win32":
        sys.exit("error: this project needs Linux or macOS: on Windows, run it in WSL 2 (`wsl --install`)")
    environment, lock = arguments.environment, arguments.lock
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # pip would take twice as long
    try:
        if arguments.same_python:
            refuse_other_python(environment)
        if not is_ready(environment, lock):
            install(environment, lock)
    except (InstallError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"{environment}: stopped; the next `make` goes on")


def state(environment: Path, lock: Path) -> str:
    """Describe a complete environment: the folder it was made in, and the SHA-256 of what it was made from."""
    files = [lock, *(Path(package, "pyproject.toml") for package in PACKAGES)]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    return f"{environment.resolve()}\n{digest}\n"


def is_ready(environment: Path, lock: Path) -> bool:
    """Return whether an installation ended well, here and with these files, and its interpreter is still there."""
    ready = environment / ".ready"
    is_same = ready.exists() and ready.read_text("utf-8") == state(environment, lock)
    return is_same and (environment / "bin/python").exists()


def install(environment: Path, lock: Path) -> None:
    """Install into a new environment, or one that lacks something; begin anew where nothing in it can be trusted."""
    refuse_path(environment)
    environment.mkdir(exist_ok=True)
    with locked(environment / ".installing") as mark:
        if is_ready(environment, lock):  # by the process that was waited for
            return
        reason = broken(environment, mark)
        print(f"{reason}: beginning anew" if reason else purpose(environment, lock), flush=True)
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
            if installed(environment) == before:  # as without a network: what was there works as before
                mark.truncate(0)
            raise
        make_scripts_relative(environment / "bin")
        temporary = ready.with_suffix(".new")
        temporary.write_text(state(environment, lock), "utf-8")
        temporary.rename(ready)
        mark.truncate(0)


def refuse_other_python(environment: Path) -> None:
    """Refuse an environment that another version of Python made than the one which runs this."""
    settings = environment / "pyvenv.cfg"
    made = re.search(r"^version = (\d+\.\d+)", settings.read_text("utf-8"), re.MULTILINE) if settings.exists() else None
    wanted = "{}.{}".format(*sys.version_info)
    if made and made[1] != wanted:
        raise InstallError(f"{environment} is of Python {made[1]}, not {wanted}: remove it first (rm -r {environment})")


def refuse_path(environment: Path) -> None:
    """Refuse a path below which an environment does not work."""
    path = environment.parent.resolve()
    if set(FORBIDDEN) & set(str(path)):
        characters = " ".join(FORBIDDEN)
        raise InstallError(
            f"{path}: an environment cannot be below a path with one of {characters}: move the repository"
        )


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Hold a file that one process at a time can hold."""
    import fcntl  # which Windows lacks

    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for the installation into {path.parent} that is under way", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file


def broken(environment: Path, mark: IO[str]) -> str:
    """Say why nothing in an environment can be trusted, or return an empty string."""
    if mark.read():
        return f"the installation into {environment} was cut short"
    interpreter = environment / "bin/python"  # a link
    if interpreter.is_symlink() and not interpreter.exists():
        return f"the Python that {environment} was made with is gone"
    return ""


def purpose(environment: Path, lock: Path) -> str:
    """Say what is done."""
    ready = environment / ".ready"
    made_in = ready.read_text("utf-8").partition("\n")[0] if ready.exists() else ""
    if made_in and made_in != str(environment.resolve()):
        return f"{environment} was moved or copied here: mending it"
    return f"installing {lock} into {environment}"


def installed(environment: Path) -> set[str]:
    """Return the names of what is installed; a version is a part of them."""
    return {path.name for path in environment.glob("lib/*/site-packages/*")}


def clear(environment: Path) -> None:
    """Remove all that an installation left half-written."""
    for path in environment.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != ".installing":
            path.unlink()


class Installer:
    """Installs into one environment."""

    def __init__(self, environment: Path, mark: IO[str]) -> None:
        """Take the environment's folder, and the file that is locked as long as a process here writes into it."""
        self.environment, self.mark = environment, mark
        self.python = environment / "bin/python"

    def install(self, lock: Path) -> None:
        """Make the environment and install all of it."""
        try:
            venv.create(self.environment, with_pip=not (self.environment / "bin/pip").exists(), symlinks=True)
        except subprocess.CalledProcessError as error:
            raise InstallError(
                f"{sys.executable} can't make an environment (Debian: apt-get install python3-venv)"
            ) from error
        with tempfile.TemporaryDirectory() as folder:
            build, uv, rest = split(lock, Path(folder))
            has_uv = self._pip("--require-hashes", "-r", build, "-r", uv)
            if not has_uv and not self._pip("--require-hashes", "-r", build):
                raise self._failed(lock)
            install, options = self._uv, ("--require-hashes", "--no-build-isolation", "-r", rest)
            if not has_uv or not self._uv(*options):
                print("uv can't install here (see above): pip does it, which takes longer", flush=True)
                install = self._pip
                if not self._pip(*options):
                    raise self._failed(lock)
                self._run(self.python, "-m", "compileall", "-qq", "-j", "0", self.environment / "lib")
        if not install("--no-build-isolation", *(part for package in PACKAGES for part in ("--editable", package))):
            raise self._failed("this repository's packages")

    def _failed(self, what: Path | str) -> InstallError:
        reason = f"{what} can't be installed into {self.environment}"
        return InstallError(f"{reason} (see above); the next `make` tries again")

    def _pip(self, *arguments: str | Path) -> bool:
        options = ["--disable-pip-version-check", "install", "-qq", "--no-deps", "--no-compile"]
        return self._run(self.python, "-m", "pip", *options, *arguments)

    def _uv(self, *arguments: str | Path) -> bool:
        variables = {**self._variables, **os.environ}
        command: list[str | Path] = [self.environment / "bin/uv", "pip", "install", "-q", "--python", self.python]
        # Any index may have the file whose hash is asked for.
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
        """Run a command; the lock is its own too: where this process is killed, it is held until the command ends."""
        try:
            return subprocess.run(command, env=env, pass_fds=[self.mark.fileno()], check=False).returncode == 0
        except OSError as error:  # there is no uv for this machine, or it may not run here
            print(error, file=sys.stderr)
            return False


def split(lock: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Write the parts of a lock file that are installed one after another; return their paths."""
    build, uv, rest = (folder / name for name in ("build.txt", "uv.txt", "rest.txt"))
    pins: dict[Path, str] = {build: "", uv: "", rest: ""}
    for lines in re.split(r"^(?=[a-z0-9])", lock.read_text("utf-8"), flags=re.MULTILINE):  # a package with its hashes
        name = lines.partition("==")[0]
        pins[build if name in BUILD else uv if name == "uv" else rest] += lines
    for path, text in pins.items():
        path.write_text(text, "utf-8")
    return build, uv, rest


def uv_variables(settings: Iterable[str]) -> dict[str, str]:
    """Translate lines of `pip config list`, as `global.index-url='...'`, into environment variables for uv."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}  # later ones win
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
    """Let each script find its interpreter beside it. uv's cache has some of these files as well: they are replaced."""
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
