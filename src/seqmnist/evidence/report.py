"""All that is shown of what was measured: tables, figures, and the page with both."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqmnist.config import Config
from seqmnist.data.splits import Split, Summary
from seqmnist.evidence import digit_figures, figures, memory_figures, page, scores
from seqmnist.evidence.beliefs import example_digits
from seqmnist.evidence.calibration import FEWEST
from seqmnist.evidence.measures import FLOW_DIGITS, Measures
from seqmnist.evidence.metrics import over_seeds, spread
from seqmnist.evidence.page import Picture
from seqmnist.evidence.statistics import Test
from seqmnist.files import write_csv
from seqmnist.paths import CLASSES, FIGURES, PAGE, curves_file, predictions_file
from seqmnist.training.history import Row

Measured = dict[str, list[Measures]]


def write(configuration: Config, measured: Measured, tests: dict[str, Test], test: Split, summary: Summary) -> None:
    """Write tables, figures and the page."""
    write_tables(measured, test)
    for cell, models in measured.items():
        write_csv(curves_file(cell), curves([one.rows for one in models]))
    page.write(PAGE, configuration, measured, tests, summary, test.labels, draw(measured, test))


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


def draw(measured: Measured, test: Split) -> list[Picture]:
    """Write the figures; the page shows them in this order."""
    cells = " and ".join(measured)
    made = [Picture(FIGURES / "learning_curves.png", "Loss and accuracy by epoch.", _curves_alt(measured))]
    figures.learning_curves(
        made[0].path, {cell: [row for one in models for row in one.rows] for cell, models in measured.items()}
    )
    made.append(_beliefs(measured, test))
    path = FIGURES / "rows_after.png"
    memory_figures.rows_after(path, measured)
    caption = (
        "Accuracy when blank or noise rows follow the digit: what the cell still knows of it. "
        "It was not trained on such rows."
    )
    made.append(Picture(path, caption, f"{caption} {_each(measured, _after_alt)}"))
    path = FIGURES / "gradient_flow.png"
    memory_figures.gradient_flow(path, measured)
    caption = (
        "How strongly the last state depends on the state some steps before: "
        f"the mean spectral norm over {FLOW_DIGITS} validation digits."
    )
    made.append(Picture(path, caption, f"{caption} {_each(measured, _flow_alt)}"))
    path = FIGURES / "calibration.png"
    digit_figures.calibration(path, measured, test.labels)
    made.append(
        Picture(
            path,
            f"Calibration of {cells}.",
            f"Share of right answers by their probability, of {FEWEST} images and more; the table has the errors.",
        )
    )
    for cell, models in measured.items():
        made += [_confusion(cell, models, test), _wrong(cell, models[0], test)]
    return made


def _beliefs(measured: Measured, test: Split) -> Picture:
    path = FIGURES / "beliefs.png"
    chosen = example_digits(test.labels)
    digit_figures.beliefs(path, measured, test.images[chosen])
    caption = "What each cell believes after each row it has read, and how open the LSTM's gates are."
    said = [
        f"{cell} ends at {', '.join(f'{last.argmax()} with {last.max():.0%}' for last in one.beliefs[:, -1])}"
        for cell, (one, *_) in measured.items()
    ]
    return Picture(
        path, caption, f"{caption} For the digits {', '.join(str(test.labels[k]) for k in chosen)}: {'; '.join(said)}."
    )


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


def _each(measured: Measured, describe: Any) -> str:
    return " ".join(f"{cell}: {describe(models)}." for cell, models in measured.items())


def _after_alt(models: list[Measures]) -> str:
    return ", ".join(f"{spread([one.after[name] for one in models])} after {name} rows" for name in models[0].after)


def _flow_alt(models: list[Measures]) -> str:
    last = len(models[0].flow["end"]) - 1
    start, end = (float(np.mean([one.flow[when][-1] for one in models])) for when in ("start", "end"))
    return f"over {last} steps {start:.2g} at the start and {end:.2g} at the end of training"


def _curves_alt(measured: Measured) -> str:
    reached = [f"{cell} reaches {max(max(one.curve) for one in models):.4f}" for cell, models in measured.items()]
    return f"Learning curves. In validation accuracy {', '.join(reached)}."
