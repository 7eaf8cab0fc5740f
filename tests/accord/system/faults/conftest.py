"""Faults in a clone, counted; a whole campaign (`--campaign`) writes the counts to docs.

tests/system/faults has the same fixtures for seqmnist.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import Run

from accord.files import sha256_file, sha256_json
from tests import mlflow_store
from tests.accord.system.faults import report
from tests.accord.system.faults.report import Case
from tests.projects import Once, Project

ROOT = Path(__file__).parents[4]
SOURCES = ("src", "examples/digits/src")
EPOCHS = 60  # of the campaign: training is then about as long as what comes before and after it
CASES = pytest.StashKey[dict[str, Any]]()  # by the test's name
STARTED = pytest.StashKey[float]()
KEPT = "faults/campaign"  # in pytest's cache


class Fault:
    """The fault that a test injects; it is lost unless the test passes."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def inject(self, fault: str, where: str = "") -> None:
        """Count a fault, from now on as recovered if the test passes."""
        assert fault in report.PLAN, fault
        self._properties.append(("fault", asdict(Case(fault, "recovered", where))))

    def refused(self) -> None:
        """Count it as refused if the test passes."""
        ((_, case),) = [one for one in self._properties if one[0] == "fault"]
        assert isinstance(case, dict)
        case["outcome"] = "refused"


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Fault:
    return Fault(request.node.user_properties)  # pytest-xdist carries them to the first process


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CASES], config.stash[STARTED] = {}, time.monotonic()
    config.pluginmanager.register(_Counting(config.stash[CASES]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of a campaign what an earlier, interrupted one has done."""
    done = _earlier(config)["cases"] if config.getoption("campaign") else {}
    left_out = [one for one in items if one.nodeid in done]
    items[:] = [item for item in items if item.nodeid not in done]
    config.hook.pytest_deselected(items=left_out)


class _Counting:
    def __init__(self, cases: dict[str, Any]) -> None:
        self._cases = cases

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            for name, case in report.user_properties:
                if name == "fault" and isinstance(case, dict):
                    self._cases[report.nodeid] = case | ({"outcome": "lost"} if report.failed else {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write what the campaign came to until now; the same command goes on where it was interrupted."""
    if hasattr(config, "workerinput") or not config.getoption("campaign"):  # pytest-xdist's processes only run tests
        return
    earlier = _earlier(config)
    cases = earlier["cases"] | config.stash[CASES]
    minutes = earlier["minutes"] + (time.monotonic() - config.stash[STARTED]) / 60
    counted = [Case(**case) for case in cases.values()]
    kept = {name: case for name, case in cases.items() if case["outcome"] != "lost"}
    lost, planned = len(cases) - len(kept), sum(report.PLAN.values())
    terminalreporter.write_line(f"{len(cases)} of {planned} faults were injected, {lost} lost")
    if len(cases) >= report.injected(ROOT):  # a part takes no larger one's place
        report.write(ROOT, counted, minutes, len(os.sched_getaffinity(0)))
    if len(kept) == planned:
        kept, minutes = {}, 0.0  # the next one begins anew
    config.cache.set(KEPT, {"code": _code(), "cases": kept, "minutes": minutes})


def _earlier(config: pytest.Config) -> dict[str, Any]:
    """Return the cases and minutes of earlier parts of this campaign, with the same code."""
    kept: dict[str, Any] = config.cache.get(KEPT, {})
    return kept if kept.get("code") == _code() else {"cases": {}, "minutes": 0.0}


def _code() -> str:
    files = [path for folder in SOURCES for path in sorted((ROOT / folder).rglob("*.py"))]
    return sha256_json({str(path): sha256_file(path) for path in files})


@pytest.fixture(scope="session")
def is_campaign(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("campaign"))


@pytest.fixture(scope="session")
def package() -> str:
    """The name of the project's package, whose modules are its commands, and of its experiment in MLflow."""
    return "digits"


@pytest.fixture(scope="session")
def base(reproduced: Project, is_campaign: bool, package: str, once: Once) -> Project:
    """The undisturbed clone. In a campaign its training is long enough to be hit in its midst."""

    def make(target: Path) -> None:
        project = reproduced.copy(target)
        recipe = project.root / "conf/train/default.yaml"
        recipe.write_text(re.sub(r"^epochs: \d+$", f"epochs: {EPOCHS}", recipe.read_text(), flags=re.MULTILINE))
        project.succeed("dvc", "repro")
        assert yaml.safe_load((project.root / "params.yaml").read_text())["train"]["epochs"] == EPOCHS
        project.succeed("git", "add", "--all")
        # A half-written dvc.lock goes back to this commit.
        project.succeed("git", "commit", "--quiet", "--message", "Train longer")

    return Project(once(f"longer {package}", make), reproduced.below) if is_campaign else reproduced


@pytest.fixture(scope="session")
def expected(base: Project) -> dict[str, str]:
    """The SHA-256 of each file of the undisturbed clone's outputs."""
    return outputs(base)


@pytest.fixture
def victim(base: Project, tmp_path: Path) -> Project:
    """A copy of the undisturbed clone for one test to damage."""
    return base.copy(tmp_path / "clone")


def outputs(project: Project) -> dict[str, str]:
    """The SHA-256 of each file of all outputs, by path; a file too many counts too."""
    files: list[Path] = []
    for name in project.output_hashes():
        path = project.root / name
        files += path.rglob("*") if path.is_dir() else [path]
    return {str(path.relative_to(project.root)): sha256_file(path) for path in files if path.is_file()}


@pytest.fixture(scope="session")
def forget() -> Callable[[Project, str], None]:
    """Makes a clone as if a stage had not run: no outputs, no entry in dvc.lock, nothing of it in the cache."""

    def run(project: Project, stage: str) -> None:
        path = project.root / "dvc.lock"
        lock = yaml.safe_load(path.read_text())
        outs = lock["stages"].pop(stage)["outs"]
        path.write_text(yaml.safe_dump(lock, sort_keys=False))
        shutil.rmtree(project.root / ".dvc/cache/runs", ignore_errors=True)
        if stage == "compose":  # every stage reads params.yaml before compose can write it
            project.edit("params.yaml", "validation: 300", "validation: 299")
            return
        for out in outs:
            remove_from_cache(project.root / ".dvc/cache/files/md5", out["md5"])
            target = project.root / out["path"]
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    return run


def remove_from_cache(cache: Path, digest: str) -> None:
    """Remove a file's entry, or a folder's and those of its files."""
    path = cache / digest[:2] / digest[2:]
    if digest.endswith(".dir"):
        for one in json.loads(path.read_text()):
            remove_from_cache(cache, one["md5"])
    path.unlink(missing_ok=True)  # two files may have the same content


@pytest.fixture(scope="session")
def repair(package: str) -> Callable[..., None]:
    """Runs `check --repair`, as a user does where files may be damaged; `make repro` begins with that and `--quick`."""

    def run(project: Project, *options: str) -> None:
        project.succeed("python", "-m", package, "check", "--repair", *options, PYTHONPATH="src")

    return run


@pytest.fixture(scope="session")
def assert_same(expected: dict[str, str], base: Project) -> Callable[[Project], None]:
    """Compares a clone with the undisturbed one: the bytes of all outputs, and what DVC noted of them."""

    def check(project: Project) -> None:
        assert project.output_hashes() == base.output_hashes()
        assert outputs(project) == expected

    return check


@pytest.fixture(scope="session")
def runs(package: str) -> Callable[..., list[Run]]:
    """The runs of a clone's store. Strictly: it must hold each metric once a step, and none may be RUNNING."""

    def read(project: Project, experiment: str = package, *, strictly: bool = False) -> list[Run]:
        every = mlflow_store.runs(project, experiment)
        assert not strictly or [run.info.run_name for run in every if run.info.status == "RUNNING"] == []
        for run in every if strictly else []:
            for metric in run.data.metrics:
                steps = mlflow_store.steps(project, run, metric)
                assert len(steps) == len(set(steps)), (run.info.run_name, metric)
        return every

    return read


@pytest.fixture(scope="session")
def one_line() -> Callable[[Any], str]:
    """Gives the line that says why a command failed: `error: ...` of this project's or `ERROR: ...` of DVC's."""

    def read(result: Any) -> str:
        assert result.code not in {0, -9}, result.output
        assert "Traceback" not in result.output, result.output
        lines = re.findall(r"^(?:error|ERROR): .+", result.output, re.MULTILINE)
        own = [line for line in lines if line.startswith("error")]
        # Of a stage that said why, DVC adds only that it failed.
        assert len(own or lines) == 1, result.output
        return str((own or lines)[0])

    return read
