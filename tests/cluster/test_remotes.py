"""DVC remotes of three kinds: a folder, a real sshd, and moto's server for the S3 protocol."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import need, need_root, running
from tests.ports import free_port
from tests.projects import Project

KINDS = ("folder", "ssh", "s3")
BUCKET = "seqmnist"
START_SECONDS = 60  # timeout for a server to answer
pytestmark = pytest.mark.timeout(300)


@dataclass
class Remote:
    """DVC remote; keys are names of objects below `storage`."""

    url: str
    read: Callable[[str], bytes]
    write: Callable[[str, bytes], None]
    settings: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    stop: Callable[[], None] | None = None

    def damage(self, key: str) -> bytes:
        """Change a byte of an object, and return its new content."""
        content = bytearray(self.read(key))
        content[len(content) // 2] ^= 1
        self.write(key, bytes(content))
        return bytes(content)


@pytest.fixture(params=KINDS)
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    """Yield an empty remote of each kind, for one test."""
    with {"folder": in_folder, "ssh": by_ssh, "s3": in_s3}[request.param](tmp_path) as place:
        yield place


@contextmanager
def in_folder(tmp: Path) -> Iterator[Remote]:
    storage = tmp / "storage"
    yield Remote(
        str(storage),
        read=lambda key: (storage / key).read_bytes(),
        write=lambda key, content: overwrite(storage / key, content),
    )


@contextmanager
def by_ssh(tmp: Path) -> Iterator[Remote]:
    """Yield a remote on an sshd with its own host key and user key."""
    need("sshd", "ssh")
    need_root("sshd changes to the user who logs in")
    Path("/run/sshd").mkdir(exist_ok=True)
    home, port = tmp / "home", free_port()
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    (home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{port} {(home / 'host.pub').read_text()}")
    (tmp / "sshd.conf").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {home / 'host'}\nAuthorizedKeysFile {home / 'user.pub'}\n"
        "PasswordAuthentication no\nStrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n"
    )
    command = [shutil.which("sshd") or "sshd", "-D", "-e", "-f", str(tmp / "sshd.conf")]
    with running(command, tmp / "sshd.log", answering(port, tmp / "sshd.log")) as process, in_folder(tmp) as folder:
        yield Remote(
            f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder.url}",
            folder.read,
            folder.write,
            {"keyfile": str(home / "user")},
            {"HOME": str(home)},
            stop=lambda: end(process),
        )


@contextmanager
def in_s3(tmp: Path) -> Iterator[Remote]:
    import boto3

    port = free_port()
    keys = {"AWS_ACCESS_KEY_ID": "of-a-test", "AWS_SECRET_ACCESS_KEY": "of-a-test", "AWS_DEFAULT_REGION": "us-east-1"}
    address = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(command, tmp / "moto.log", answering(port, tmp / "moto.log"), os.environ | keys) as process:
        client: Any = boto3.client(
            "s3",
            endpoint_url=address,
            region_name=keys["AWS_DEFAULT_REGION"],
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket=BUCKET)
        yield Remote(
            f"s3://{BUCKET}/storage",
            read=lambda key: client.get_object(Bucket=BUCKET, Key=f"storage/{key}")["Body"].read(),
            write=lambda key, content: client.put_object(Bucket=BUCKET, Key=f"storage/{key}", Body=content),
            settings={"endpointurl": address},
            environment=keys,
            stop=lambda: end(process),
        )
        client.close()


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def answering(port: int, log: Path) -> Callable[[subprocess.Popen[bytes]], None]:
    """Return a function that waits until a server takes connections, or fails with the server's log."""

    def wait(process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        pytest.fail(f"nothing answers at port {port}: {log.read_text(encoding='utf-8')}", pytrace=False)

    return wait


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)


@pytest.fixture
def pushed(project: Project, remote: Remote) -> Project:
    """Return a clone that has pushed all outputs to a remote in the configuration in git."""
    project.environment |= remote.environment
    project.succeed("dvc", "remote", "add", "--default", "storage", remote.url)
    for name, value in {"verify": "true", **remote.settings}.items():
        project.succeed("dvc", "remote", "modify", "storage", name, value)
    project.succeed("dvc", "push", "--run-cache")
    project.succeed("git", "add", "--all")
    project.succeed("git", "commit", "--quiet", "--message", "Share the outputs")
    return project


def clone_of(project: Project, target: Path) -> Project:
    project.succeed("git", "clone", "--quiet", ".", str(target))
    other = Project(target)
    other.environment = project.environment
    return other


def check(project: Project, *arguments: str, code: int) -> str:
    result = project.run("python", "-m", "seqmnist", "check", *arguments, PYTHONPATH="src")
    assert result.code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def weights(project: Project) -> tuple[str, str]:
    """Return the path and the remote's key of a model's weights."""
    name = project.output_hashes()["models/rnn"]
    listed = json.loads((project.root / ".dvc/cache/files/md5" / name[:2] / name[2:]).read_text())
    (found,) = (part for part in listed if part["relpath"].endswith(".weights.h5"))
    return f"models/rnn/{found['relpath']}", f"files/md5/{found['md5'][:2]}/{found['md5'][2:]}"


def contents(project: Project) -> set[bytes]:
    """Return the contents of all files in a clone's outputs and cache."""
    folders = (project.root / name for name in (".dvc/cache", "data", "models", "reports"))
    return {path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def test_another_clone_pulls_all_and_runs_nothing(pushed: Project, tmp_path: Path) -> None:
    other = clone_of(pushed, tmp_path / "other")
    other.succeed("dvc", "pull", "--run-cache")
    result = other.succeed("dvc", "repro")
    assert result.stages_run == []
    assert "Data and pipelines are up to date." in result.output
    assert other.output_hashes() == pushed.output_hashes()
    assert other.succeed("git", "status", "--porcelain").output == ""

    path = other.root / "conf/data/tiny.yaml"
    before = path.read_text()
    other.edit("conf/data/tiny.yaml", "validation: 10", "validation: 20")
    assert "preprocess" in other.succeed("dvc", "repro", "preprocess").stages_run
    path.write_text(before)
    result = other.succeed("dvc", "repro")
    assert set(result.stages_run) <= {"compose"}  # the only stage whose output DVC does not cache
    assert "preprocess" in result.stages_restored
    assert other.output_hashes() == pushed.output_hashes()


def test_a_damaged_object_is_refused_named_and_sent_again(pushed: Project, remote: Remote, tmp_path: Path) -> None:
    path, key = weights(pushed)
    damaged = remote.damage(key)

    careless = clone_of(pushed, tmp_path / "careless")
    careless.succeed("dvc", "remote", "modify", "--local", "storage", "verify", "false")
    careless.succeed("dvc", "pull")  # no error without `verify`, which is why it is set
    assert (careless.root / path).read_bytes() == damaged
    assert "remote storage lacks `verify`" in check(careless, "--quick", code=0)

    other = clone_of(pushed, tmp_path / "other")
    assert other.run("dvc", "pull").code != 0
    assert damaged not in contents(other)
    told = check(other, "--remote", code=1)
    assert f"{key} is damaged (of models/rnn): run `seqmnist check --remote storage --repair`" in told
    assert f"{key} is damaged (of models/rnn): removed" in check(other, "--remote", "--repair", code=0)

    pushed.succeed("dvc", "push", "-r", "storage")
    assert remote.read(key) == (pushed.root / path).read_bytes()
    assert check(other, "--remote", "storage", code=0) == "nothing is damaged\n"
    other.succeed("dvc", "pull")
    assert other.succeed("dvc", "repro").stages_run == []
    assert (other.root / path).read_bytes() == (pushed.root / path).read_bytes()


@pytest.mark.parametrize("remote", ["ssh", "s3"], indirect=True)
def test_an_unreachable_server_gives_one_line(pushed: Project, remote: Remote) -> None:
    assert remote.stop is not None
    remote.stop()
    told = check(pushed, "--remote", "--repair", code=1)
    assert told.startswith("error: remote storage can't be read: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("remote", ["ssh"], indirect=True)
def test_openssh_refuses_a_server_with_another_key(pushed: Project, remote: Remote, tmp_path: Path) -> None:
    home = tmp_path / "home"
    port = remote.url.partition("127.0.0.1:")[2].partition("/")[0]
    known = home / ".ssh/known_hosts"
    options = f"-F none -i {home / 'user'} -o BatchMode=yes -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"
    (home / ".ssh/config").write_text(
        f"Host 127.0.0.1\n  ProxyCommand ssh {options} -p {port} -W 127.0.0.1:{port} {getpass.getuser()}@127.0.0.1\n"
    )
    assert check(pushed, "--remote", code=0) == "nothing is damaged\n"

    known.write_text(" ".join([known.read_text().split()[0], (home / "user.pub").read_text()]))
    check(pushed, "--remote", code=1)
    (home / ".ssh/config").unlink()
    check(pushed, "--remote", code=0)  # DVC's own client checks no host key, so OpenSSH is used
