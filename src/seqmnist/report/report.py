"""The report on the measures: tables, figures, and the page with both."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accord.files import write_csv
from seqmnist.config import Config, View
from seqmnist.data.splits import Split, Summary
from seqmnist.measure.beliefs import example_digits
from seqmnist.measure.measures import Measured
from seqmnist.measure.metrics import over_seeds
from seqmnist.measure.scores import class_scores, confusion
from seqmnist.measure.statistics import Test
from seqmnist.paths import CLASSES, CURVES, FIGURES, PAGE, PLOTS_TEMPLATE, predictions_file
from seqmnist.report import alt_text, digit_figures, figures, memory_figures, page, plots_template
from seqmnist.report.page import Picture
from seqmnist.training.history import Row


def write(configuration: Config, measured: Measured, tests: dict[str, Test], test: Split, summary: Summary) -> None:
    """Write tables, figures and the page."""
    write_tables(measured, test)
    write_csv(CURVES, curves({cell: [one.rows for one in models] for cell, models in measured.items()}))
    pictures = draw(measured, test, configuration.sequence.view)
    page.write(PAGE, configuration, measured, tests, summary, pictures)
    plots_template.write(PLOTS_TEMPLATE)


def curves(histories: Mapping[str, list[list[Row]]]) -> list[list[object]]:
    """Return a header, and a row for each cell and epoch with every metric's mean over seeds.

    One table of all cells, so that `dvc plots` draws a new cell without configuration. The header's names have no dots,
    because DVC's templates draw no field whose name has one.
    """
    names = next(iter(histories.values()))[0][0].metrics
    means: list[list[object]] = [
        [cell, parts[0].epoch, *over_seeds([part.metrics for part in parts])[0].values()]
        for cell, seeds in histories.items()
        for parts in zip(*seeds, strict=True)
    ]
    return [["cell", "epoch", *(name.replace(".", "_") for name in names)], *means]


def write_tables(measured: Measured, test: Split) -> None:
    """Write precision and recall of each cell, seed and class as one table, and each cell's predictions as another."""
    classes: list[list[object]] = [["cell", "seed", "digit", "images", "precision", "recall"]]
    for cell, models in measured.items():
        images: list[list[object]] = [["seed", "image", "label", "predicted"]]
        for one in models:
            classes += [[cell, one.seed, *score] for score in class_scores(test.labels, one.predicted)]
            pairs = zip(test.labels.tolist(), one.predicted.tolist(), strict=True)
            images += [[one.seed, index, label, guess] for index, (label, guess) in enumerate(pairs)]
        write_csv(predictions_file(cell), images)
    write_csv(CLASSES, classes)


def draw(measured: Measured, test: Split, view: View) -> list[Picture]:
    """Write the figures, and return them with captions in the order of the page."""
    chosen = example_digits(test.labels)
    gates = ", and how open the LSTM's gates are" if any(models[0].gates for models in measured.values()) else ""
    pictures = {
        "learning_curves": ("Loss and accuracy by epoch, counted from 0.", alt_text.learning_curves(measured)),
        "beliefs": (
            f"What each cell believes while it reads{gates}.",
            alt_text.beliefs(measured, test.labels[chosen].tolist()),
        ),
        "rows_after": (
            "Accuracy when blank or noise rows follow the digit, on which no cell was trained: what it still knows.",
            alt_text.rows_after(measured),
        ),
        "gradient_flow": (alt_text.FLOW, alt_text.gradient_flow(measured)),
        "calibration": (f"Calibration of {' and '.join(measured)}.", alt_text.CALIBRATION),
    }
    figures.learning_curves(_path("learning_curves"), measured)
    digit_figures.beliefs(_path("beliefs"), measured, test.images[chosen], view)
    memory_figures.rows_after(_path("rows_after"), measured)
    memory_figures.gradient_flow(_path("gradient_flow"), measured)
    figures.calibration(_path("calibration"), measured)
    for cell, models in measured.items():
        matrix: NDArray[np.int64] = np.sum(
            [confusion(test.labels, one.predicted) for one in models], axis=0
        )  # [10, 10]
        title = f"{cell}: {matrix.sum():,} test images" + (f" ({len(models)} seeds)" if len(models) > 1 else "")
        figures.confusion_matrix(_path(f"confusion_{cell}"), matrix, title)
        said = f"{title}: which digit is taken for which."
        pictures[f"confusion_{cell}"] = (said, alt_text.confusion(title, matrix))
        digit_figures.wrong_digits(_path(f"wrong_{cell}"), models[0], test, cell)
        said = f"{cell}: the digits that it is most certain and wrong about (seed {models[0].seed})."
        pictures[f"wrong_{cell}"] = (said, said)
    return [Picture(_path(name), caption, alt) for name, (caption, alt) in pictures.items()]


def _path(name: str) -> Path:
    return FIGURES / f"{name}.png"
