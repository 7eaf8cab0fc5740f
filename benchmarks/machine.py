"""The machine that figures are measured on, and the name that its results are kept under."""

import importlib.metadata
import importlib.util
import os
import platform
import re
from pathlib import Path
from typing import Any

LIBRARIES = ("keras", "numpy", "tensorflow", "torch")


def machine() -> dict[str, Any]:
    """Describe this machine: the processor, its cores that this process may use, and versions of libraries."""
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
    """Return what people call a machine, such as `AMD EPYC with AVX-512, 2 cores`."""
    avx512 = " with AVX-512" if described["avx512"] else ""
    return f"{described['processor']}{avx512}, {described['cores']} cores"


def slug(described: dict[str, Any]) -> str:
    """Return the name of a machine in files, such as `amd-epyc-avx512-2-cores`."""
    plain = re.sub(r"\((r|tm)\)", "", described["processor"].lower())
    avx512 = "-avx512" if described["avx512"] else ""
    return f"{re.sub('[^a-z0-9]+', '-', plain).strip('-')}{avx512}-{described['cores']}-cores"


def versions(described: dict[str, Any]) -> str:
    """Return the versions of Python and the libraries."""
    return ", ".join(f"{name} {described[name]}" for name in ("python", *LIBRARIES) if name in described)
