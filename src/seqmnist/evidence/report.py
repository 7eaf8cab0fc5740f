"""All that is shown of what was measured: tables, figures, and the page with both."""

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import Config, View
from seqmnist.data.splits import Split, Summary
from seqmnist.evidence import digit_figures, figures, memory_figures, page, scores
from seqmnist.evidence.alternatives import CALIBRATION_ALT, after_alt, beliefs_alt, curves_alt, flow_alt
from seqmnist.evidence.beliefs import example_digits
from seqmnist.evidence.measures import FLOW_DIGITS, Measured, Measures
from seqmnist.evidence.metrics import over_seeds
from seqmnist.evidence.page import Picture
from seqmnist.evidence.statistics import Test
from seqmnist.files import write_csv
from seqmnist.paths import CLASSES, FIGURES, PAGE, curves_file, predictions_file
from seqmnist.training.history import Row


def write(configuration: Config, measured: Measured, tests: dict[str, Test], test: Split, summary: Summary) -> None:
    """Write tables, figures and the page."""
    write_tables(measured, test)
    for cell, models in measured.items():
        write_csv(curves_file(cell), curves([one.rows for one in models]))
    pictures = draw(measured, test, configuration.sequence.view)
    page.write(PAGE, configuration, measured, tests, summary, pictures)


def curves(seeds: list[list[Row]]) -> list[list[object]]:
    """A header and a row for each epoch with every metric's mean over seeds.

    The names have no dots: the templates of `dvc plots` draw no field whose name has one.
    """
    means: list[list[object]] = [
        [parts[0].epoch, *over_seeds([part.metrics for part in parts])[0].values()]
        for parts in zip(*seeds, strict=True)
    ]
    return [["epoch", *(name.replace(".", "_") for name in seeds[0][0].metrics)], *means]


def write_tables(measured: Measured, test: Split) -> None:
    """Precision and recall of each cell, seed and class in one table; each test image's prediction in one a cell."""
    classes: list[list[object]] = [["cell", "seed", "digit", "images", "precision", "recall"]]
    for cell, models in measured.items():
        images: list[list[object]] = [["seed", "image", "label", "predicted"]]
        for one in models:
            classes += [
                [cell, one.seed, score.digit, score.images, score.precision, score.recall]
                for score in scores.class_scores(test.labels, one.predicted)
            ]
            pairs = zip(test.labels.tolist(), one.predicted.tolist(), strict=True)
            images += [[one.seed, index, label, guess] for index, (label, guess) in enumerate(pairs)]
        write_csv(predictions_file(cell), images)
    write_csv(CLASSES, classes)


def draw(measured: Measured, test: Split, view: View) -> list[Picture]:
    """Write the figures; the page shows them in this order."""
    chosen = example_digits(test.labels)
    rows = {cell: [row for one in models for row in one.rows] for cell, models in measured.items()}
    gates = ", and how open the LSTM's gates are" if any(models[0].gates for models in measured.values()) else ""
    pictures = {
        "learning_curves": ("Loss and accuracy by epoch, counted from 0.", curves_alt(measured)),
        "beliefs": (
            f"What each cell believes while it reads{gates}.",
            beliefs_alt(measured, [int(test.labels[k]) for k in chosen]),
        ),
        "rows_after": (
            "Accuracy when blank or noise rows follow the digit, on which no cell was trained: what it still knows.",
            after_alt(measured),
        ),
        "gradient_flow": (
            f"How strongly the last state depends on one some steps before: mean of {FLOW_DIGITS} validation digits.",
            flow_alt(measured),
        ),
        "calibration": (f"Calibration of {' and '.join(measured)}.", CALIBRATION_ALT),
    }
    paths = {name: FIGURES / f"{name}.png" for name in pictures}
    figures.learning_curves(paths["learning_curves"], rows)
    digit_figures.beliefs(paths["beliefs"], measured, test.images[chosen], view)
    memory_figures.rows_after(paths["rows_after"], measured)
    memory_figures.gradient_flow(paths["gradient_flow"], measured)
    digit_figures.calibration(paths["calibration"], measured)
    made = [Picture(paths[name], caption, alt) for name, (caption, alt) in pictures.items()]
    for cell, models in measured.items():
        made += [_confusion(cell, models, test), _wrong(cell, models[0], test)]
    return made


def _confusion(cell: str, models: list[Measures], test: Split) -> Picture:
    path = FIGURES / f"confusion_{cell}.png"
    matrix: NDArray[np.int64] = np.sum([scores.confusion(test.labels, one.predicted) for one in models], axis=0)
    seeds = f" ({len(models)} seeds)" if len(models) > 1 else ""
    title = f"{cell}: {matrix.sum():,} test images{seeds}"
    figures.confusion_matrix(path, matrix, title)
    mistakes = matrix - np.diag(np.diag(matrix))
    label, guess = (int(k) for k in np.unravel_index(mistakes.argmax(), mistakes.shape))
    times = f"{mistakes[label, guess]:,} times"
    most = f"The most frequent of {mistakes.sum():,} mistakes is a {label} taken for a {guess}, {times}."
    return Picture(path, f"{title}: which digit is taken for which.", f"{title}. {most}")


def _wrong(cell: str, one: Measures, test: Split) -> Picture:
    path = FIGURES / f"wrong_{cell}.png"
    digit_figures.wrong_digits(path, one, test.images, test.labels, cell)
    caption = f"{cell}: the digits that it is most certain and wrong about (seed {one.seed})."
    return Picture(path, caption, caption)
