"""Environment variables and user files, which have no effect on outputs or are refused in one line."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from accord.files import sha256_files
from tests.projects import Project

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Surrounding:
    """Surroundings of a command: variables of its shell, and redirections of its streams."""

    variables: dict[str, str] = field(default_factory=dict)
    streams: str = ""
    refusal: str = ""  # part of the refusal's line; empty if it is not refused

    def __str__(self) -> str:
        return " ".join([*(f"{name}={value}" for name, value in self.variables.items()), self.streams]).strip()


def variable(name: str, value: str, refusal: str = "") -> Surrounding:
    return Surrounding({name: value}, refusal=refusal)


def address(value: str, refusal: str = "") -> Surrounding:
    return variable("MLFLOW_TRACKING_URI", value, refusal)


SURROUNDINGS = {
    "variables": [
        variable("MPLBACKEND", "module://matplotlib_inline.backend_inline"),
        variable("MLFLOW_ACTIVE_MODEL_ID", "m-0123"),
        variable("MLFLOW_LOGGING_LEVEL", "loud"),
        variable("MLFLOW_LOCK_MODEL_DEPENDENCIES", "true"),
        variable("MLFLOW_ENABLE_ASYNC_LOGGING", "true"),
        variable("PYTHONWARNINGS", "error"),
        variable("PYTHONOPTIMIZE", "2"),
        variable("PYTHONHASHSEED", "7"),
        variable("PYTHONIOENCODING", "ascii"),
        Surrounding({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),  # files would be read as ASCII
        variable("TZ", "Asia/Kathmandu"),
        variable("OMP_NUM_THREADS", "7"),
        variable("HOME", "/nowhere"),
        variable("MPLCONFIGDIR", "/nowhere"),
    ],
    "streams": [Surrounding(streams=streams) for streams in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-")],
    "addresses": [
        address("sqlite:///other.db?timeout=30"),
        address("sqlite:///file:other.db?mode=rwc&uri=true"),
        address("sqlite+pysqlite:///other.db"),
        address("sqlite://", "is a store in memory"),
        address("sqlite:///:memory:", "is a store in memory"),
        address("mlruns", "can't be used"),
    ],
}
ALWAYS = 1  # surroundings of each kind in every test run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc, SURROUNDINGS)


def parametrize(metafunc: pytest.Metafunc, every: Mapping[str, Sequence[Surrounding]]) -> None:
    most = None if metafunc.config.getoption("campaign") else ALWAYS
    cases = [(kind, one) for kind, several in every.items() for one in several[:most]]
    metafunc.parametrize(("kind", "surrounding"), cases, ids=[f"{kind}: {one}" for kind, one in cases])


@pytest.fixture(scope="module")
def training() -> tuple[str, Path]:
    """Return a stage's module with its argument, and the folder of its model."""
    return "digits.train sgd", Path("models/sgd")


def test_a_stage_gives_the_same_bytes_or_a_line(
    kind: str,
    surrounding: Surrounding,
    victim: Project,
    expected: dict[str, str],
    training: tuple[str, Path],
    fault: Any,
    one_line: Callable[[Any], str],
) -> None:
    fault.inject(f"surroundings: {kind}", str(surrounding))
    command, folder = training
    shutil.rmtree(victim.root / folder)

    result = run(victim, command, surrounding)

    if surrounding.refusal:
        fault.refused()
        assert surrounding.refusal in one_line(result)
        assert not (victim.root / folder).exists()
        result = run(victim, command, Surrounding())
    assert (result.code, "Traceback" in result.output) == (0, False), result.output
    found = {str(folder / name): digest for name, digest in sha256_files(victim.root / folder).items()}
    assert found == {path: digest for path, digest in expected.items() if Path(path).parent == folder}
    assert list((victim.root / "mlartifacts").rglob("MLmodel")), "MLflow has the model"
    assert not (victim.root / "mlruns").exists()


def run(project: Project, command: str, surrounding: Surrounding) -> Any:
    """Run a module in a shell that redirects streams."""
    line = f"python -m {command} {surrounding.streams}"
    return project.run("sh", "-c", line, PYTHONPATH="src", **surrounding.variables)
