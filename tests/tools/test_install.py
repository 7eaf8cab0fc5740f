"""`make setup` creates an environment and repairs one that was moved, copied or left incomplete."""

import hashlib
import os
import shutil
import signal
import stat
import subprocess
import sysconfig
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import pytest

from tests.projects import ROOT
from tools.install import HEADER, make_scripts_relative, uv_variables

UNWANTED = ("__pycache__", "*.egg-info", ".dvc", "mlflow.db*", "mlartifacts", "sweeps")
ENVIRONMENTS = (".venv", ".venv-cluster")
REPAIRED = "".join(f"{name} was moved or copied here: repairing it\n" for name in ENVIRONMENTS)
UV = Path(sysconfig.get_path("scripts"), "uv")
REAL = f'exec {UV} "$@"'
# A stand-in for uv. Its first call leaves half a package, writes its arguments to CALLS, and waits for a line in GATE.
PAUSING = f"""\
test -s "$CALLS" || first=1
test -z "$first" || touch "$(dirname "$0")"/../lib/half-a-package
echo "$@" >> "$CALLS"
test -z "$first" || read -r _ < "$GATE"
{REAL}
"""
FAILING = "echo 'no such network' >&2; exit 2"


def make_wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write a wheel of version 1.0 with these files into a folder; return its entry for a lock file."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    files = files | {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": "",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in files)
    with ZipFile(wheel, "w") as opened:
        for path, text in files.items():
            entry = ZipInfo(path)
            entry.external_attr = (stat.S_IFREG | 0o755) << 16
            opened.writestr(entry, text)
    return f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


class Repository:
    """A copy of this repository whose lock files name two packages.

    One is a stand-in for uv. The other, `shared`, adds the site-packages of this test's environment by a .pth file.
    """

    def __init__(self, root: Path, packages: Path | None = None) -> None:
        self.root, self.packages = root, packages or root.parent / "packages"

    @classmethod
    def made(cls, root: Path, uv: str = REAL) -> "Repository":
        unwanted = shutil.ignore_patterns(*UNWANTED)
        for name in ("src/accord", "src/seqmnist", "examples/digits", "tools"):
            shutil.copytree(ROOT / name, root / name, ignore=unwanted)
        (root / ".dvc").mkdir()
        for name in ("LICENSE", "Makefile", "pyproject.toml", "README.md"):
            shutil.copy2(ROOT / name, root)
        repository = cls(root)
        repository.packages.mkdir()
        repository.lock(uv)
        return repository

    def lock(self, uv: str) -> None:
        """Write both lock files and the wheels that they name; `uv` is the shell script that stands in for uv."""
        for wheel in self.packages.iterdir():
            wheel.unlink()
        pins = make_wheel(self.packages, "shared", {"shared.pth": sysconfig.get_path("purelib")})
        # Without files: the setuptools of the environment that runs the tests is imported.
        entry_points = distribution("setuptools").read_text("entry_points.txt") or ""
        pins += make_wheel(self.packages, "setuptools", {"setuptools-1.0.dist-info/entry_points.txt": entry_points})
        pins += make_wheel(self.packages, "uv", {"uv-1.0.data/scripts/uv": f"#!/bin/sh\n{uv}\n"})
        for name in ("requirements.lock", "requirements-cluster.lock"):
            (self.root / name).write_text(pins)

    def start(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        unwanted = ("PYTHON", "MAKE", "VIRTUAL_ENV", "PIP_", "UV_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        settings = self.packages.with_name("pip.conf")
        settings.write_text(f"[global]\nno-index = true\n[install]\nfind-links = {self.packages}\n")
        environment |= {"PIP_CONFIG_FILE": str(settings), "UV_CACHE_DIR": str(self.packages.with_name("cache"))}
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        with self.start(*command, **variables) as process:
            output, errors = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def setup(self) -> str:
        """Set up both environments, which must succeed; return what is printed."""
        result = self.run("make", "setup", "setup-cluster")
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    def code(self, command: str) -> Path:
        """Return the folder of the package seqmnist that a Python command imports; a shell runs the command."""
        result = self.run("sh", "-c", f"{command} -c 'import seqmnist; print(seqmnist.__file__)'")
        return Path(result.stdout.strip()).parent

    def works(self) -> bool:
        """Return whether .venv runs the code of this repository and holds no half package."""
        half = list(self.root.glob(".venv/lib/half*"))
        return self.code(".venv/bin/python") == self.root / "src/seqmnist" and not half


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = Repository.made(tmp_path_factory.mktemp("original") / "seqmnist")
    assert repository.setup() == "".join(
        f"installing {lock} into {name}\n"
        for name, lock in zip(ENVIRONMENTS, ("requirements.lock", "requirements-cluster.lock"), strict=True)
    )
    assert repository.works()
    return repository


@pytest.fixture
def gate(tmp_path: Path) -> dict[str, str]:
    """Return the variables for `PAUSING`: an installation that waits until something is written to GATE."""
    os.mkfifo(tmp_path / "gate")
    (tmp_path / "calls").touch()
    return {"GATE": str(tmp_path / "gate"), "CALLS": str(tmp_path / "calls")}


@pytest.mark.slow
def test_a_copied_environment_runs_the_code_of_the_copy(original: Repository, tmp_path: Path) -> None:
    name = "mü (1) #2/it's [x]; &/far " + "away" * 40
    copy = Repository(Path(shutil.copytree(original.root, tmp_path / name, symlinks=True)), original.packages)
    refused = copy.run(".venv/bin/seqmnist", "sync")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"error: this environment runs the code in {original.root}/src/accord, not that in {copy.root}/src/accord: "
        "install that one (`make setup` or `pip install -e .`), or set PYTHONPATH=src\n"
    )
    script = copy.root / ".venv-cluster/bin/seqmnist"  # with an absolute path, as pip writes it
    script.write_text(f"#!{original.root}/.venv-cluster/bin/python\n" + script.read_text().partition("' '''\n")[2])

    assert copy.setup() == REPAIRED

    for environment in ENVIRONMENTS:
        for command in (f"{environment}/bin/python", f". {environment}/bin/activate && python"):
            assert copy.code(command) == copy.root / "src/seqmnist", command
        entered = copy.run(
            "sh", "-c", f". {environment}/bin/activate && cd / && command -v seqmnist && seqmnist --help"
        )
        assert entered.stdout.startswith(f"{copy.root}/{environment}/bin/seqmnist\nusage: seqmnist")
    assert copy.run(".venv/bin/seqmnist", "sync").stderr.startswith("error: params.yaml is missing")
    assert copy.setup() == ""
    assert original.code(".venv/bin/python") == original.root / "src/seqmnist"
    assert original.setup() == ""


@pytest.mark.slow
def test_a_link_to_another_repositorys_environment_is_left_alone(original: Repository, tmp_path: Path) -> None:
    other = Repository.made(tmp_path / "other")
    for environment in ENVIRONMENTS:
        (other.root / environment).symlink_to(original.root / environment)
    for name in ("requirements.lock", "requirements-cluster.lock"):
        shutil.copy2(original.root / name, other.root)
    assert other.setup() == ""
    assert original.code(".venv/bin/python") == original.root / "src/seqmnist"


@pytest.mark.parametrize("name", ["a:b", 'a"b', "a$b", "a`b", "a\\b", "a%20b"])
def test_a_path_with_a_forbidden_character_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    repository = Repository.made(tmp_path / name / "it")
    refused = repository.run("make", "setup")
    assert refused.returncode == 2
    line, *_ = refused.stderr.splitlines()
    assert line == (
        f'error: {repository.root}: an environment cannot be below a path with one of : " $ ` \\ %: move the repository'
    )
    assert not (repository.root / ".venv").exists()


@pytest.mark.slow
def test_an_interrupted_installation_is_begun_from_scratch(tmp_path: Path, gate: dict[str, str]) -> None:
    """Interrupt it by Ctrl-C, then kill all its processes, then all but uv, for which the next installation waits."""
    repository = Repository.made(tmp_path / "it", uv=PAUSING)
    calls, half = Path(gate["CALLS"]), repository.root / ".venv/lib/half-a-package"

    def start() -> subprocess.Popen[str]:
        """Start an installation and wait until half a package is there."""
        calls.write_text("", encoding="utf-8")
        process = repository.start("make", "setup", **gate)
        while not calls.read_text(encoding="utf-8"):
            assert process.poll() is None
        assert half.exists()
        return process

    with start() as process:
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate()
    assert output == "installing requirements.lock into .venv\n"
    assert ".venv: installation stopped; run `make` again to continue\n" in errors
    assert "Traceback" not in errors
    assert process.returncode != 0
    with start() as process:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    from_scratch = "an earlier installation into .venv was interrupted: installing from scratch\n"
    assert output == from_scratch
    with start() as process:
        subprocess.run(["pkill", "-KILL", "--session", str(process.pid), "--full", "install.py"], check=True)
        process.kill()
        repository.lock(REAL)
        with repository.start("make", "setup") as following:
            assert following.stdout is not None
            assert following.stdout.readline() == "waiting for another installation into .venv to end\n"
            assert half.exists()
            Path(gate["GATE"]).write_text("\n", encoding="utf-8")
            assert following.communicate() == (from_scratch, "")
    assert following.returncode == 0
    assert repository.works()


@pytest.mark.slow
def test_two_setups_at_once_install_once(tmp_path: Path, gate: dict[str, str]) -> None:
    repository = Repository.made(tmp_path / "it", uv=PAUSING.replace("half-a-package", "a-package"))
    with repository.start("make", "setup", **gate) as first:
        while not Path(gate["CALLS"]).read_text(encoding="utf-8"):
            assert first.poll() is None
        with repository.start("make", "-j2", "setup", "help", **gate) as second:
            assert second.stdout is not None
            waiting = "waiting for another installation into .venv to end\n"
            while second.stdout.readline() != waiting:
                assert second.poll() is None
            Path(gate["GATE"]).write_text("\n", encoding="utf-8")
            assert second.communicate()[1] == ""
        assert first.communicate() == ("installing requirements.lock into .venv\n", "")
    assert (first.returncode, second.returncode) == (0, 0)
    assert Path(gate["CALLS"]).read_text(encoding="utf-8").count("--require-hashes") == 1
    assert repository.works()


@pytest.mark.slow
def test_a_full_disk_is_reported_and_the_next_setup_installs(tmp_path: Path) -> None:
    repository = Repository.made(tmp_path / "it")
    large = make_wheel(repository.packages, "large", {"large.py": "x" * 3_000_000})
    with (repository.root / "requirements.lock").open("a") as file:
        file.write(large)
    full = repository.run("sh", "-c", "ulimit -f 5000 && make setup")  # blocks of 512 bytes
    assert full.returncode == 2
    assert (
        "error: requirements.lock can't be installed into .venv (see above); run `make` again to retry\n" in full.stderr
    )
    assert "Traceback" not in full.stderr
    assert not (repository.root / ".venv/.ready").exists()
    repaired = repository.run("make", "setup")
    assert (repaired.returncode, repaired.stderr) == (0, "")
    assert repaired.stdout == "an earlier installation into .venv was interrupted: installing from scratch\n"
    assert repository.works()


@pytest.mark.slow
def test_pip_installs_where_uv_fails(tmp_path: Path) -> None:
    repository = Repository.made(tmp_path / "it", uv=FAILING)
    result = repository.run("make", "setup")
    assert result.returncode == 0
    assert result.stderr == "no such network\n"
    assert result.stdout.endswith("uv failed (see above): installing by pip, which takes longer\n")
    assert repository.works()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "uv"),
    [("uv", REAL), ("shared", REAL), ("shared", FAILING)],
    ids=["uv itself", "by uv", "by pip"],
)
def test_a_file_with_another_hash_than_the_locked_one_is_never_installed(tmp_path: Path, package: str, uv: str) -> None:
    repository = Repository.made(tmp_path / "it", uv=uv)
    lock = repository.root / "requirements.lock"
    locked = lock.read_text()
    make_wheel(
        repository.packages, package, {"other.pth": "/", f"{package}-1.0.data/scripts/uv": f"#!/bin/sh\n{REAL}\n"}
    )
    result = repository.run("make", "setup")
    assert lock.read_text() == locked
    assert not list(repository.root.glob(".venv/lib/*/site-packages/other.pth"))
    if package == "shared":
        assert result.returncode == 2
        assert "error: requirements.lock can't be installed into .venv (see above)" in result.stderr
        assert not (repository.root / ".venv/.ready").exists()


@pytest.mark.slow
def test_an_environment_whose_interpreter_is_gone_is_installed_from_scratch(
    original: Repository, tmp_path: Path
) -> None:
    copy = Repository(Path(shutil.copytree(original.root, tmp_path / "it", symlinks=True)), original.packages)
    interpreter = copy.root / ".venv/bin/python"
    interpreter.unlink()
    interpreter.symlink_to("/no/such/python")
    result = copy.run("make", "setup")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "the Python that made .venv is gone: installing from scratch\n"
    assert copy.works()


@pytest.mark.slow
def test_another_python_version_than_that_of_the_environment_is_refused(original: Repository) -> None:
    python = shutil.which("python3")
    assert original.run("make", "setup", f"PYTHON={python}").returncode == 0
    settings = original.root / ".venv/pyvenv.cfg"
    text = settings.read_text()
    settings.write_text(text.replace("version = 3.", "version = 2."))
    refused = original.run("make", "setup", f"PYTHON={python}")
    settings.write_text(text)
    assert refused.returncode == 2
    assert "remove it first (rm -r .venv)" in refused.stderr.splitlines()[0]


@pytest.mark.slow
def test_a_failed_download_leaves_the_environment_as_it_was(tmp_path: Path) -> None:
    repository = Repository.made(tmp_path / "it")
    assert repository.run("make", "setup").returncode == 0
    lock = repository.root / "requirements.lock"
    more = make_wheel(repository.packages, "more", {"more.py": ""})
    wheel = (repository.packages / "more-1.0-py3-none-any.whl").rename(tmp_path / "elsewhere")
    lock.write_text(lock.read_text() + more)
    for _ in range(2):
        refused = repository.run("make", "setup")
        assert refused.returncode == 2
        assert "error: requirements.lock can't be installed into .venv (see above)" in refused.stderr
        assert "from scratch" not in refused.stdout
        assert repository.works()
    wheel.rename(repository.packages / "more-1.0-py3-none-any.whl")
    assert repository.run("make", "setup").stdout == "installing requirements.lock into .venv\n"
    assert repository.run(".venv/bin/python", "-c", "import more").returncode == 0


@pytest.mark.slow
def test_setup_installs_a_changed_lock_file(tmp_path: Path) -> None:
    repository = Repository.made(tmp_path / "it")
    assert repository.run("make", "setup").returncode == 0
    (repository.root / ".venv/bin/mine").write_text("#!/bin/sh\n")
    os.utime(repository.root / "requirements.lock")  # as a checkout does
    assert repository.run("make", "setup").stdout == ""
    more = make_wheel(repository.packages, "more", {"more.py": ""})
    with (repository.root / "requirements.lock").open("a") as file:
        file.write(more)
    assert repository.run("make", "setup").stdout == "installing requirements.lock into .venv\n"
    assert repository.run(".venv/bin/python", "-c", "import more").returncode == 0
    assert (repository.root / ".venv/bin/mine").exists()


def test_pips_settings_become_variables_for_uv() -> None:
    settings = """\
:env:.cert='/of/the/environment.pem'
:env:.find-links='one\\ntwo'
global.cert='/of/all.pem'
global.extra-index-url='file:///a file:///b'
global.index-url='file:///main'
global.no-index='true'
global.timeout='99'
install.index-url='file:///to/install'
install.trusted-host='here'
wheel.index-url='file:///to/build'
global.constraint='/constraints.txt'
"""
    assert uv_variables(settings.splitlines()) == {
        "--no-index": "true",
        "SSL_CERT_FILE": "/of/the/environment.pem",
        "UV_DEFAULT_INDEX": "file:///to/install",
        "UV_FIND_LINKS": "one,two",
        "UV_HTTP_TIMEOUT": "99",
        "UV_INDEX": "file:///a file:///b",
        "UV_INSECURE_HOST": "here",
    }


def test_scripts_are_replaced_so_that_hard_links_in_uvs_cache_keep_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    script, cached, binary = tmp_path / "bin/one", tmp_path / "cached", tmp_path / "bin/program"
    cached.write_bytes(b"#!/old/place/bin/python3.11\nprint()\n")
    cached.chmod(0o755)
    script.hardlink_to(cached)
    binary.write_bytes(b"\x7fELF")
    make_scripts_relative(tmp_path / "bin")
    assert script.read_bytes() == HEADER + b"print()\n"
    assert script.stat().st_mode & 0o777 == 0o755
    assert cached.read_bytes() == b"#!/old/place/bin/python3.11\nprint()\n"
    assert binary.read_bytes() == b"\x7fELF"
    assert len(list((tmp_path / "bin").iterdir())) == 2
