import os
import subprocess
import sys
from typing import Any

import pytest
from matplotlib import rc_context, rcParams, rcParamsDefault

from accord.surroundings import default_style

BODY = """
import os, subprocess, sys
from accord.process import run_command
def main() -> None:
    {}
run_command(main)
"""


def run(body: str, streams: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with this body of `main`, through a shell that redirects streams as given."""
    command = ["sh", "-c", f'"$0" -c "$1" {streams}', sys.executable, BODY.format(body)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


@pytest.mark.parametrize("streams", ["2>&-", ">&-", "<&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_has_no_effect(streams: str) -> None:
    body = (
        "print('out', flush=True); print('err', file=sys.stderr, flush=True); os.close(os.dup(2)); sys.stdin.read();"
        "subprocess.run([sys.executable, '-c', 'print(1)'], check=True); sys.exit(7)"
    )
    result = run(body, streams)
    assert (result.returncode, "Traceback" in result.stderr) == (7, False), result.stderr
    assert ("out" in result.stdout) == (">&-" not in streams.replace("2>&-", ""))
    assert ("err" in result.stderr) == ("2>&-" not in streams)


def test_a_command_with_closed_streams_keeps_its_exit_code() -> None:
    assert run("raise KeyboardInterrupt", "<&- >&- 2>&-").returncode == 130


def test_letters_that_the_terminal_lacks_are_printed_as_escapes() -> None:
    result = run("print('caf\\u00e9 \\u2588')", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (result.returncode, result.stdout) == (0, "caf\\xe9 \\u2588\n")


def test_warnings_of_libraries_are_not_errors() -> None:
    body = "import warnings; warnings.warn('old', DeprecationWarning); print('done')"
    result = run(body, PYTHONWARNINGS="error")
    assert (result.returncode, result.stdout) == (0, "done\n")


def test_the_backend_of_a_notebook_is_ignored() -> None:
    body = "import matplotlib; print(matplotlib.get_backend()); print(os.environ['MPLBACKEND'])"
    result = run(body, MPLBACKEND="module://matplotlib_inline.backend_inline")
    assert (result.returncode, result.stdout) == (0, "agg\nagg\n"), result.stderr


def test_figures_are_drawn_in_matplotlibs_own_style() -> None:
    changed = {"text.usetex": True, "figure.dpi": 31, "savefig.bbox": "tight", "lines.linewidth": 9}
    with rc_context(changed):  # type: ignore[arg-type]  # the names are known only at run time
        with default_style():
            assert changed.items() & set_of(rcParams) == set()
            assert set_of(rcParamsDefault) >= {item for item in set_of(rcParams) if item[0] in changed}
        assert changed.items() <= set_of(rcParams)


def set_of(settings: Any) -> set[tuple[str, Any]]:
    return {(key, value) for key, value in settings.items() if isinstance(value, str | int | float | None)}
