"""Windows, which has no `fcntl`, is refused in one line; each test simulates it."""

import subprocess
import sys

import pytest

from tests.projects import ROOT

ON_WINDOWS = "import runpy, sys; sys.platform = 'win32'; sys.modules['fcntl'] = None; sys.argv = sys.argv[1:]; "
START = {
    "accord": "import accord.files",
    "digits": "runpy.run_module('digits', run_name='__main__')",
    "seqmnist": "runpy.run_module('seqmnist', run_name='__main__')",
    "a sweep": "runpy.run_module('seqmnist.sweep', run_name='__main__')",
    "a stage": "runpy.run_module('seqmnist.stages.download', run_name='__main__')",
    "make setup": "runpy.run_path('tools/install.py', run_name='__main__')",
}


@pytest.mark.parametrize("start", START.values(), ids=START)
def test_windows_is_refused_in_one_line_that_names_wsl(start: str) -> None:
    program = [sys.executable, "-c", ON_WINDOWS + start, "command", ".venv", "requirements.lock"]
    result = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(" needs Linux or macOS: on Windows, run it in WSL 2 (`wsl --install`)")
    assert result.stdout == ""
