"""Description of the machine that runs a benchmark, and the file name of its results."""

import importlib.metadata
import importlib.util
import os
import platform
import re
from pathlib import Path
from typing import Any

LIBRARIES = ("keras", "numpy", "tensorflow", "torch")


def machine() -> dict[str, Any]:
    """Return the processor, the number of cores that this process may use, and the versions of Python and libraries."""
    cpuinfo = Path("/proc/cpuinfo").read_text("utf-8")
    model = re.search(r"^model name\s*: *(.+?) *$", cpuinfo, re.MULTILINE)
    return {
        "processor": model[1] if model else platform.machine(),
        "avx512": "avx512f" in cpuinfo.split(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in LIBRARIES if importlib.util.find_spec(name)},
    }


def title(described: dict[str, Any]) -> str:
    """Return a machine's name for headings, such as `AMD EPYC with AVX-512, 2 cores`."""
    avx512 = " with AVX-512" if described["avx512"] else ""
    return f"{described['processor']}{avx512}, {described['cores']} cores"


def slug(described: dict[str, Any]) -> str:
    """Return a machine's name for files, such as `amd-epyc-avx512-2-cores`."""
    plain = re.sub(r"\((r|tm)\)", "", described["processor"].lower())
    avx512 = "-avx512" if described["avx512"] else ""
    return f"{re.sub('[^a-z0-9]+', '-', plain).strip('-')}{avx512}-{described['cores']}-cores"


def versions(described: dict[str, Any]) -> str:
    """Return the versions of Python and the libraries, such as `python 3.11.9, keras 3.15.0`."""
    return ", ".join(f"{name} {described[name]}" for name in ("python", *LIBRARIES) if name in described)
