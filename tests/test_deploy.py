"""Checks of deploy/ without starting a server: refused settings, compose.yaml and lock file."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"
STORE = {"BACKEND": "postgresql://mlflow@127.0.0.1:1/mlflow", "ARTIFACTS": "/nowhere/artifacts"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "BACKEND must be postgresql://USER@HOST/DATABASE"),
        (STORE | {"BACKEND": "sqlite:///mlflow.db"}, "BACKEND must be postgresql://USER@HOST/DATABASE"),
        (STORE | {"ARTIFACTS": "artifacts"}, "ARTIFACTS must be an absolute folder or s3://BUCKET/FOLDER"),
        (STORE, "STATE must be an absolute folder"),
    ],
)
def test_server_refuses_wrong_settings_in_one_line(tmp_path: Path, environment: dict[str, str], message: str) -> None:
    command = [str(DEPLOY / "server.sh")]

    done = subprocess.run(
        command,
        check=False,
        env={"PATH": os.environ["PATH"], **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message}")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def services() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def test_passwords_in_compose_yaml_have_no_default(services: Any) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    used = re.findall(r"\$\{(\w*PASSWORD)([^}]*)\}", text)
    assert {name for name, _ in used} == {"POSTGRES_PASSWORD", "MLFLOW_AUTH_ADMIN_PASSWORD"}
    assert all(rest.startswith(":?") for _, rest in used), used
    assert services["server"]["environment"]["BACKEND"].count("${") == 1
    assert all("healthcheck" in service for service in services.values())
    assert re.fullmatch(r"postgres:\d+", services["database"]["image"])


def test_containers_publish_their_port_on_this_machine_only(services: Any) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:${PORT:-5000}:5000"]


def test_the_image_locks_the_versions_that_the_tests_use() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^[a-z0-9][^ ]*==[^ ]+", path.read_text(encoding="utf-8"), re.MULTILINE))

    image = pins(DEPLOY / "requirements.lock")
    assert {name.partition("==")[0] for name in image} >= {"mlflow", "psycopg", "flask-wtf", "boto3"}
    assert image <= pins(DEPLOY.parent / "requirements-cluster.lock")
    assert not any(name.startswith("tensorflow==") for name in image)
