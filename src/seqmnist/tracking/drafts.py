"""Compare what a stage would log with runs that were cut off, before one of them is completed."""

from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run as LoggedRun

from seqmnist.tracking.away import Link
from seqmnist.tracking.runs import Run, parameter_texts

_TIMES = "time."  # of metrics that no file has


class Draft(Run):
    """A run that takes parameters and metrics down and sends nothing."""

    def __init__(self) -> None:
        link = Link("draft", "", None)
        link.is_cut = True
        super().__init__("", link)
        self._parameters: dict[str, str] = {}
        self._points: dict[tuple[str, int], float] = {}

    def params(self, values: Mapping[str, Any]) -> None:
        """Take parameters down as they would be sent."""
        self._parameters |= parameter_texts(values)

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Take metrics down."""
        self._points |= {(name, step or 0): value for name, value in values.items()}

    def has_part(self, client: MlflowClient, run: LoggedRun) -> bool:
        """Return whether all parameters and metrics of a run are among those taken down, times apart."""
        if not run.data.params.items() <= self._parameters.items():
            return False
        return all(
            self._points.get((name, point.step)) == point.value
            for name in run.data.metrics
            if not name.startswith(_TIMES)
            for point in client.get_metric_history(run.info.run_id, name)
        )
