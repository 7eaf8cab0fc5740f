"""Fixtures that inject and count faults in a clone; a whole campaign (`--campaign`) writes the counts to docs.

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
EPOCHS = 60  # in a campaign: training then takes about as long as the rest of the command
CASES = pytest.StashKey[dict[str, Any]]()  # cases by name of the test
STARTED = pytest.StashKey[float]()
KEPT = "faults/campaign"  # key in pytest's cache


class Fault:
    """Fault that a test injects; it counts as lost unless the test passes."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def inject(self, fault: str, where: str = "") -> None:
        """Count a fault, as recovered if the test passes."""
        assert fault in report.PLAN, fault
        self._properties.append(("fault", asdict(Case(fault, "recovered", where))))

    def refused(self) -> None:
        """Count the fault as refused if the test passes."""
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
    """Leave out the tests that an earlier, interrupted part of the campaign has done."""
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
    """Write the campaign's results so far; the same command resumes an interrupted campaign."""
    if hasattr(config, "workerinput") or not config.getoption("campaign"):  # pytest-xdist's workers only run tests
        return
    earlier = _earlier(config)
    cases = earlier["cases"] | config.stash[CASES]
    minutes = earlier["minutes"] + (time.monotonic() - config.stash[STARTED]) / 60
    counted = [Case(**case) for case in cases.values()]
    kept = {name: case for name, case in cases.items() if case["outcome"] != "lost"}
    lost, planned = len(cases) - len(kept), sum(report.PLAN.values())
    terminalreporter.write_line(f"{len(cases)} of {planned} faults were injected, {lost} lost")
    if len(cases) >= report.injected(ROOT):  # do not replace the results of a larger campaign
        report.write(ROOT, counted, minutes, len(os.sched_getaffinity(0)))
    if len(kept) == planned:
        kept, minutes = {}, 0.0  # the next campaign starts anew
    config.cache.set(KEPT, {"code": _code(), "cases": kept, "minutes": minutes})


def _earlier(config: pytest.Config) -> dict[str, Any]:
    """Return the cases and minutes of earlier parts of this campaign that had the same code."""
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
    """Return the name of the project's package, which is also the name of its MLflow experiment."""
    return "digits"


@pytest.fixture(scope="session")
def base(reproduced: Project, is_campaign: bool, package: str, once: Once) -> Project:
    """Return the undisturbed clone. In a campaign its training is long enough to be hit in the middle."""

    def make(target: Path) -> None:
        project = reproduced.copy(target)
        recipe = project.root / "conf/train/default.yaml"
        recipe.write_text(re.sub(r"^epochs: \d+$", f"epochs: {EPOCHS}", recipe.read_text(), flags=re.MULTILINE))
        project.succeed("dvc", "repro")
        assert yaml.safe_load((project.root / "params.yaml").read_text())["train"]["epochs"] == EPOCHS
        project.succeed("git", "add", "--all")
        # The commit to which a half-written dvc.lock is restored.
        project.succeed("git", "commit", "--quiet", "--message", "Train longer")

    return Project(once(f"longer {package}", make), reproduced.below) if is_campaign else reproduced


@pytest.fixture(scope="session")
def expected(base: Project) -> dict[str, str]:
    """Return the SHA-256 of each output file of the undisturbed clone."""
    return outputs(base)


@pytest.fixture
def victim(base: Project, tmp_path: Path) -> Project:
    """Return a copy of the undisturbed clone, for one test to damage."""
    return base.copy(tmp_path / "clone")


def outputs(project: Project) -> dict[str, str]:
    """Return the SHA-256 of each file of all outputs by path, including unexpected files."""
    files: list[Path] = []
    for name in project.output_hashes():
        path = project.root / name
        files += path.rglob("*") if path.is_dir() else [path]
    return {str(path.relative_to(project.root)): sha256_file(path) for path in files if path.is_file()}


@pytest.fixture(scope="session")
def forget() -> Callable[[Project, str], None]:
    """Return a function that undoes a stage in a clone: its outputs, its entry in dvc.lock, its cached files."""

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
    """Remove the cache object of a file, or those of a folder and its files."""
    path = cache / digest[:2] / digest[2:]
    if digest.endswith(".dir"):
        for one in json.loads(path.read_text()):
            remove_from_cache(cache, one["md5"])
    path.unlink(missing_ok=True)  # two files may have the same content


@pytest.fixture(scope="session")
def repair(package: str) -> Callable[..., None]:
    """Return a function that runs `check --repair`; `make repro` begins with the same and `--quick`."""

    def run(project: Project, *options: str) -> None:
        project.succeed("python", "-m", package, "check", "--repair", *options, PYTHONPATH="src")

    return run


@pytest.fixture(scope="session")
def assert_same(expected: dict[str, str], base: Project) -> Callable[[Project], None]:
    """Return a function that asserts that a clone has the outputs and the dvc.lock of the undisturbed one."""

    def check(project: Project) -> None:
        assert project.output_hashes() == base.output_hashes()
        assert outputs(project) == expected

    return check


@pytest.fixture(scope="session")
def runs(package: str) -> Callable[..., list[Run]]:
    """Return a function that gives the runs of a clone; `strictly` asserts one value a step and no RUNNING run."""

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
    """Return a function that gives the one line of a failed command: `error: ...`, or DVC's `ERROR: ...`."""

    def read(result: Any) -> str:
        assert result.code not in {0, -9}, result.output
        assert "Traceback" not in result.output, result.output
        lines = re.findall(r"^(?:error|ERROR): .+", result.output, re.MULTILINE)
        own = [line for line in lines if line.startswith("error")]
        # After a stage's own error line, DVC only adds that the stage failed.
        assert len(own or lines) == 1, result.output
        return str((own or lines)[0])

    return read
