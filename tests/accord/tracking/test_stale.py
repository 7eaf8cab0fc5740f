import json
import os
import shutil
import socket
import subprocess
import sys

import psutil
import pytest
from mlflow import MlflowClient

from accord.settings import Tracking
from accord.tracking.runs import RunRequest, stage_run
from accord.tracking.stale import HOST, PID, PLACE, STARTED, end_stale_runs, process_tags
from accord.tracking.store import open_store
from tests.skipping import skip

pytestmark = pytest.mark.usefixtures("project")


def ended_process(*prefix: str) -> dict[str, str]:
    """Return the tags of an ended process; `prefix` is the command that started it, e.g. `unshare`."""
    code = "from accord.tracking.stale import process_tags; import json; print(json.dumps(process_tags()))"
    result = subprocess.run([*prefix, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tags: dict[str, str] = json.loads(result.stdout)
    assert tags[PID] != str(os.getpid())
    return tags


def status_after(tracking: Tracking, tags: dict[str, str]) -> str:
    """Return the status that `end_stale_runs` leaves to a RUNNING run with these tags."""
    client, experiment = open_store(tracking)
    run = client.create_run(experiment, tags=tags)
    end_stale_runs(client, experiment)
    status = str(client.get_run(run.info.run_id).info.status)
    client.delete_run(run.info.run_id)
    return status


def test_a_run_of_an_ended_process_is_killed(tracking: Tracking) -> None:
    assert status_after(tracking, ended_process()) == "KILLED"


def test_a_run_whose_process_id_was_reused_is_killed(tracking: Tracking) -> None:
    assert status_after(tracking, process_tags() | {STARTED: "1.0"}) == "KILLED"


def test_runs_of_living_processes_and_of_other_machines_are_left_alone(tracking: Tracking) -> None:
    assert status_after(tracking, process_tags()) == "RUNNING"
    assert status_after(tracking, ended_process() | {PLACE: "another"}) == "RUNNING"
    assert status_after(tracking, {}) == "RUNNING"


def test_a_run_of_a_container_with_this_machines_name_is_left_alone(tracking: Tracking) -> None:
    other = ("unshare", "--pid", "--fork", "--mount-proc")
    if shutil.which("unshare") is None or subprocess.run([*other, "true"], check=False).returncode != 0:
        skip("this machine can't start a process in a new PID namespace")
    tags = ended_process(*other)
    assert tags[HOST] == socket.gethostname()
    assert status_after(tracking, tags) == "RUNNING"


def test_setting_the_clock_back_ends_no_run_of_a_living_process(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags, boot = process_tags(), psutil.boot_time()
    # The kernel counts a process's start from boot. Setting the clock back shifts the boot time that psutil reports.
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot - 3600)
    assert psutil.boot_time() == boot - 3600
    assert status_after(tracking, tags) == "RUNNING"


def test_every_stage_ends_stale_runs_and_tags_its_own_process(tracking: Tracking) -> None:
    client, experiment = open_store(tracking)
    stale = client.create_run(experiment, tags=ended_process())

    with stage_run(tracking, RunRequest("preprocess", "preprocess")) as run:
        pass

    assert client.get_run(stale.info.run_id).info.status == "KILLED"
    assert MlflowClient().get_run(run.id).data.tags[PID] == str(os.getpid())
