"""All that is shown of what was measured: tables, figures, and the page with both."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accord.files import write_csv
from seqmnist.config import Config, View
from seqmnist.data.splits import CLASSES, Split, Summary
from seqmnist.measure.beliefs import example_digits
from seqmnist.measure.measures import FLOW_DIGITS, Measured, Measures
from seqmnist.measure.metrics import over_seeds
from seqmnist.measure.statistics import Test
from seqmnist.paths import CLASSES as CLASSES_FILE
from seqmnist.paths import CURVES, FIGURES, PAGE, predictions_file
from seqmnist.report import digit_figures, figures, page
from seqmnist.report.page import Picture
from seqmnist.training.history import Row


def write(configuration: Config, measured: Measured, tests: dict[str, Test], test: Split, summary: Summary) -> None:
    """Write tables, figures and the page."""
    write_tables(measured, test)
    write_csv(CURVES, curves({cell: [one.rows for one in models] for cell, models in measured.items()}))
    pictures = draw(measured, test, configuration.sequence.view)
    page.write(PAGE, configuration, measured, tests, summary, pictures)


def curves(histories: Mapping[str, list[list[Row]]]) -> list[list[object]]:
    """Return a header, and a row for each cell and epoch with every metric's mean over seeds.

    One table of all cells, so that `dvc plots` draws a new cell without being told its name. The header's names have no
    dots: DVC's templates draw no field whose name has one.
    """
    names = next(iter(histories.values()))[0][0].metrics
    means: list[list[object]] = [
        [cell, parts[0].epoch, *over_seeds([part.metrics for part in parts])[0].values()]
        for cell, seeds in histories.items()
        for parts in zip(*seeds, strict=True)
    ]
    return [["cell", "epoch", *(name.replace(".", "_") for name in names)], *means]


def write_tables(measured: Measured, test: Split) -> None:
    """Precision and recall of each cell, seed and class in one table; each test image's prediction in one a cell."""
    classes: list[list[object]] = [["cell", "seed", "digit", "images", "precision", "recall"]]
    for cell, models in measured.items():
        images: list[list[object]] = [["seed", "image", "label", "predicted"]]
        for one in models:
            classes += [[cell, one.seed, *score] for score in class_scores(test.labels, one.predicted)]
            pairs = zip(test.labels.tolist(), one.predicted.tolist(), strict=True)
            images += [[one.seed, index, label, guess] for index, (label, guess) in enumerate(pairs)]
        write_csv(predictions_file(cell), images)
    write_csv(CLASSES_FILE, classes)


def draw(measured: Measured, test: Split, view: View) -> list[Picture]:
    """Write the figures; the page shows them in this order."""
    chosen = example_digits(test.labels)
    rows = {cell: [row for one in models for row in one.rows] for cell, models in measured.items()}
    gates = ", and how open the LSTM's gates are" if any(models[0].gates for models in measured.values()) else ""
    pictures = {
        "learning_curves": ("Loss and accuracy by epoch, counted from 0.", figures.curves_alt(measured)),
        "beliefs": (
            f"What each cell believes while it reads{gates}.",
            digit_figures.beliefs_alt(measured, test.labels[chosen].tolist()),
        ),
        "rows_after": (
            "Accuracy when blank or noise rows follow the digit, on which no cell was trained: what it still knows.",
            figures.after_alt(measured),
        ),
        "gradient_flow": (
            f"How strongly the last state depends on one some steps before: mean of {FLOW_DIGITS} validation digits.",
            figures.flow_alt(measured),
        ),
        "calibration": (f"Calibration of {' and '.join(measured)}.", figures.CALIBRATION_ALT),
    }
    paths = {name: FIGURES / f"{name}.png" for name in pictures}
    figures.learning_curves(paths["learning_curves"], rows)
    digit_figures.beliefs(paths["beliefs"], measured, test.images[chosen], view)
    figures.rows_after(paths["rows_after"], measured)
    figures.gradient_flow(paths["gradient_flow"], measured)
    figures.calibration(paths["calibration"], measured)
    made = [Picture(paths[name], *texts) for name, texts in pictures.items()]
    for cell, models in measured.items():
        made.append(_confusion(cell, models, test))
        caption = f"{cell}: the digits that it is most certain and wrong about (seed {models[0].seed})."
        made.append(Picture(FIGURES / f"wrong_{cell}.png", caption, caption))
        digit_figures.wrong_digits(made[-1].path, models[0], test.images, test.labels, cell)
    return made


def _confusion(cell: str, models: list[Measures], test: Split) -> Picture:
    path = FIGURES / f"confusion_{cell}.png"
    matrix: NDArray[np.int64] = np.sum([confusion(test.labels, one.predicted) for one in models], axis=0)
    seeds = f" ({len(models)} seeds)" if len(models) > 1 else ""
    title = f"{cell}: {matrix.sum():,} test images{seeds}"
    figures.confusion_matrix(path, matrix, title)
    mistakes = matrix - np.diag(np.diag(matrix))
    label, guess = (int(k) for k in np.unravel_index(mistakes.argmax(), mistakes.shape))
    most = f"a {label} taken for a {guess}, {mistakes[label, guess]:,} times"
    alt = f"{title}. The most frequent of {mistakes.sum():,} mistakes is {most}."
    return Picture(path, f"{title}: which digit is taken for which.", alt)


class ClassScore(NamedTuple):
    """Precision and recall of one class; precision is 0 where the class is never predicted."""

    digit: int
    images: int
    precision: float
    recall: float


def class_scores(labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> list[ClassScore]:
    """The scores of the ten classes."""
    from sklearn.metrics import precision_recall_fscore_support

    precision, recall, _, images = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(CLASSES), zero_division=0
    )
    return [ClassScore(k, int(images[k]), float(precision[k]), float(recall[k])) for k in range(CLASSES)]


def confusion(labels: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many images of each class (rows) were taken for each class (columns): int64 [10, 10]."""
    from sklearn.metrics import confusion_matrix

    matrix: NDArray[np.int64] = confusion_matrix(labels, predicted, labels=np.arange(CLASSES))
    return matrix
