"""reports/index.html: a self-contained page, with the verdicts first."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from accord.files import write_text
from accord.metric_names import EPOCH, SELECTED
from accord.settings import flatten
from seqmnist.config import Config
from seqmnist.data.splits import Summary
from seqmnist.measure.calibration import calibration_error
from seqmnist.measure.claims import EFFECTS, NAMES, remark, remembered
from seqmnist.measure.convergence import THRESHOLDS, area, epochs_to
from seqmnist.measure.measures import Measured
from seqmnist.measure.metrics import spread
from seqmnist.measure.statistics import Test
from seqmnist.report import alt_text, charts

_SIGNS = {"shown": "✓", "not shown": "–", "opposite shown": "✗", "one seed: not tested": "?"}


@dataclass(frozen=True)
class Picture:
    """A figure with its caption and alternative text."""

    path: Path
    caption: str
    alt: str

    @property
    def source(self) -> str:
        """The image as a `data:` URL."""
        return f"data:image/png;base64,{base64.b64encode(self.path.read_bytes()).decode()}"


def write(
    path: Path,
    configuration: Config,
    measured: Measured,
    tests: Mapping[str, Test],
    summary: Summary,
    pictures: list[Picture],
) -> None:
    """Write the page; the same arguments give the same bytes.

    Args:
        path: Path of the page.
        configuration: Configuration of the pipeline.
        measured: Measures of each seed's model, by cell.
        tests: Tests of the claims, by name.
        summary: Sizes and digests of the splits.
        pictures: Figures to show, in this order.
    """
    from jinja2 import Environment, StrictUndefined

    template = resources.files("seqmnist.report").joinpath("page.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(template).render(
        data=configuration.data.name,
        view=configuration.sequence.view.replace("_", " "),
        seeds=configuration.seeds,
        verdicts=[verdict(name, test, len(configuration.seeds)) for name, test in tests.items()],
        same_recipe=len({configuration.train_of(cell).model_dump_json() for cell in configuration.cells}) == 1,
        cells=_cells(measured),
        training_notes=training_notes(configuration),
        charts=_charts(measured),
        pictures=pictures,
        splits=summary,
        parameters=flatten(configuration.model_dump(exclude={"data", "tracking"})),
        library=vega_library(),
    )
    write_text(path, text)


def vega_library() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script, safe within a script element."""
    import vl_convert

    library: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its types lack a default
    return library.replace("</script", "<\\/script")


def verdict(name: str, test: Test, seeds: int) -> dict[str, str]:
    """Return the texts of a claim's card."""
    low, high = test.interval
    tested = f"p = {test.p:.2g}, {test.test}, n = {test.n:,}" if test.p is not None else ""
    interval = f", {test.confidence:.0%} interval {low:+.4f} to {high:+.4f}" if test.confidence else ""
    return {
        "claim": NAMES[name],
        "verdict": test.verdict,
        "sign": _SIGNS[test.verdict],
        "effect": f"{EFFECTS[name]}: {test.effect:+.4f}{interval}",
        "tested": tested,
        "remark": remark(test.p, seeds),
    }


def training_notes(configuration: Config) -> list[str]:
    """List why training and validation accuracy are not comparable, a line for each reason."""
    recipes = [configuration.train_of(cell) for cell in configuration.cells]
    notes = []
    if any(recipe.moves_images for recipe in recipes):
        notes.append("Training accuracy is of images as they were moved, validation accuracy of images as they are.")
    if any(recipe.averaging for recipe in recipes):
        notes.append("Training accuracy is of the weights themselves, validation accuracy of their average.")
    return notes


def _cells(measured: Measured) -> list[dict[str, Any]]:
    """Return the values of each cell's selected models in the tables."""
    return [
        {
            "name": cell,
            "accuracy": spread([one.test_accuracy for one in models]),
            "loss": spread([one.test_loss for one in models]),
            "epochs": ", ".join(f"{one.summary[SELECTED + EPOCH]:.0f}" for one in models),
            "each": ", ".join(f"{one.test_accuracy:.4f}" for one in models),
            "area": spread([area(one.curve) for one in models]),
            "epochs_to": {
                f"{threshold:.0%}": ", ".join(str(epochs_to(one.curve, threshold) or "never") for one in models)
                for threshold in THRESHOLDS
            },
            "after": {name: spread([one.after[name] for one in models]) for name in models[0].after},
            "remembered": spread([remembered(one) for one in models]),
            "calibration": spread([calibration_error(one.bins) for one in models]),
        }
        for cell, models in measured.items()
    ]


def _charts(measured: Measured) -> list[dict[str, str]]:
    drawn = {
        "curves": ("Accuracy by epoch", charts.learning_curves, alt_text.learning_curves(measured)),
        "flow": ("Gradient flow at the end of training", charts.gradient_flow, alt_text.gradient_flow(measured)),
        "calibration": ("Calibration", charts.calibration, alt_text.CALIBRATION),
    }
    return [
        {"name": name, "title": title, "spec": _in_script(chart(measured)), "alt": alt}
        for name, (title, chart, alt) in drawn.items()
    ]


def _in_script(value: Any) -> str:
    """Return a value as JSON that is safe in a script element, whatever its texts hold."""
    return json.dumps(value, sort_keys=True).replace(
        "<", "\\u003c"
    )  # the output is ASCII, so it has no Unicode line separators
