"""Score the trained models on the test images: reports/metrics.json, tables and figures."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqmnist import config, trainings
from seqmnist.cells import saved
from seqmnist.config import Config
from seqmnist.data import splits
from seqmnist.data.splits import Split
from seqmnist.errors import UserError, run_command
from seqmnist.evidence import figures, scores
from seqmnist.files import sha256_file, write_csv, write_json
from seqmnist.paths import (
    CLASSES,
    FIGURES,
    METRICS,
    PROCESSED,
    curves_file,
    history_file,
    model_folder,
    predictions_file,
)
from seqmnist.training import history
from seqmnist.training.history import Row
from seqmnist.training.runtime import start_tensorflow

if TYPE_CHECKING:
    from seqmnist.tracking.runs import Run

Predictions = dict[int, NDArray[np.uint8]]  # by seed, uint8 [n]


def main() -> None:
    """Run the stage."""
    from seqmnist.tracking.runs import stage_run

    configuration = config.load()
    histories = read_histories(configuration)
    data = splits.load_all(PROCESSED)
    test, summary = data["test"], splits.summary(data)
    start_tensorflow(max(cell.shards for cell in configuration.cells.values()))
    trained = training_runs(configuration, histories, data, summary)
    with stage_run(configuration, "evaluate", "evaluate") as run:
        log_inputs(run, configuration, summary, trained)
        metrics, predictions = {}, {}
        for cell, rows in histories.items():
            metrics[cell], predictions[cell] = evaluate_cell(configuration, cell, rows, test)
        write_json(METRICS, metrics)
        write_tables(predictions, test)
        for cell, rows in histories.items():
            write_csv(curves_file(cell), curves(rows))
        draw(histories, predictions, test)
        log_results(run, metrics)
    print(table(metrics))


def log_inputs(run: "Run", configuration: Config, summary: splits.Summary, trained: list[str]) -> None:
    """Tell MLflow what the stage reads; `trained` are the ids of the trainings' runs."""
    run.params(configuration.model_dump(include={"cells", "train", "sequence", "seeds"}))
    run.splits(configuration.data, {"test": summary["test"]})
    run.tags({"train.runs": " ".join(trained)})
    run.tags({f"model.sha256.{cell}": model_digests(cell, configuration.seeds) for cell in configuration.cells})


def log_results(run: "Run", metrics: dict[str, Any]) -> None:
    """Tell MLflow what the stage made."""
    run.metrics({key: value for key, value in config.flatten(metrics).items() if ".seeds." not in key})
    for path in (METRICS, CLASSES, FIGURES):
        run.artifact(path)
    run.tags(identity())


def identity() -> dict[str, str]:
    """The tag that says what came out."""
    return {"metrics.sha256": sha256_file(METRICS)}


def read_histories(configuration: Config) -> dict[str, list[Row]]:
    """The history of each cell.

    Raises:
        UserError: one is missing, or a cell was trained otherwise than it is configured.
    """
    histories = {cell: history.read(history_file(cell)) for cell in configuration.cells}
    for cell, rows in histories.items():
        check_trained_as_configured(configuration, cell, rows)
    return histories


def training_runs(
    configuration: Config,
    histories: dict[str, list[Row]],
    data: dict[config.SplitName, Split],
    summary: splits.Summary,
) -> list[str]:
    """The ids of the MLflow runs of all trainings, made of their outputs where there is none."""
    return [
        trainings.in_mlflow(training, history.by_seed(histories[cell])[training.seed])
        for cell in configuration.cells
        for training in trainings.of_stage(configuration, cell, data, summary)
    ]


def evaluate_cell(configuration: Config, cell: str, rows: list[Row], test: Split) -> tuple[dict[str, Any], Predictions]:
    """A cell's part of metrics.json, and what its models predict for the test images."""
    from seqmnist.training.graph import ScoringGraph, score_logits

    seeds = history.by_seed(rows)
    figures_by_seed, predictions = {}, {}
    for seed in configuration.seeds:
        model, described = saved.load(model_folder(cell), seed)
        logits = ScoringGraph(model, described.shards).logits(test.images)
        loss, accuracy = score_logits(logits, test.labels)
        predictions[seed] = logits.argmax(axis=1).astype(np.uint8)
        figures_by_seed[seed] = history.summary(seeds[seed]) | {
            "selected.test.loss": loss,
            "selected.test.accuracy": accuracy,
        }
    part = nest(scores.mean_over_seeds(list(figures_by_seed.values())))
    part["seeds"] = {str(seed): nest(one) for seed, one in figures_by_seed.items()}
    return part, predictions


def check_trained_as_configured(configuration: Config, cell: str, rows: list[Row]) -> None:
    """Refuse a cell that was trained with another configuration than the present one.

    params.yaml can change while the pipeline runs, by an experiment that is started in the same workspace.

    Raises:
        UserError: the saved cell or the history's seeds and epochs are not the configured ones.
    """
    folder = model_folder(cell)
    epochs = list(range(configuration.train_of(cell).epochs))
    trained = {seed: [row.epoch for row in part] for seed, part in history.by_seed(rows).items()}
    if trained != dict.fromkeys(configuration.seeds, epochs):
        raise UserError(f"{history_file(cell)} has other seeds or epochs than params.yaml: run `dvc repro` again")
    if saved.describe(folder) != (configuration.cells[cell], configuration.sequence):
        raise UserError(f"{folder} holds a model of another configuration than params.yaml: run `dvc repro` again")


def curves(rows: list[Row]) -> list[list[object]]:
    """A header and a row for each epoch with every metric's mean over seeds.

    The names have no dots: the templates of `dvc plots` draw no field whose name has one.
    """
    by_epoch = zip(*history.by_seed(rows).values(), strict=True)
    means: list[list[object]] = [
        [parts[0].epoch, *scores.mean_over_seeds([part.metrics for part in parts]).values()] for parts in by_epoch
    ]
    return [["epoch", *(name.replace(".", "_") for name in rows[0].metrics)], *means]


def nest(flat: dict[str, float]) -> dict[str, Any]:
    """Dotted names as nested keys: {"a.b": 1} becomes {"a": {"b": 1}}."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return nested


def write_tables(predictions: dict[str, Predictions], test: Split) -> None:
    """Precision and recall of each cell, seed and class in one table; each test image's prediction in one a cell."""
    classes: list[list[object]] = [["cell", "seed", "digit", "images", "precision", "recall"]]
    for cell, by_seed in predictions.items():
        images: list[list[object]] = [["seed", "image", "label", "predicted"]]
        for seed, predicted in by_seed.items():
            classes += [
                [cell, seed, one.digit, one.images, one.precision, one.recall]
                for one in scores.class_scores(test.labels, predicted)
            ]
            images += [
                [seed, index, label, guess]
                for index, (label, guess) in enumerate(zip(test.labels.tolist(), predicted.tolist(), strict=True))
            ]
        write_csv(predictions_file(cell), images)
    write_csv(CLASSES, classes)


def draw(histories: dict[str, list[Row]], predictions: dict[str, Predictions], test: Split) -> None:
    """Write the learning curves, and for each cell the confusion matrix added over its seeds."""
    figures.learning_curves(FIGURES / "learning_curves.png", histories)
    for cell, by_seed in predictions.items():
        matrix = np.sum([scores.confusion(test.labels, predicted) for predicted in by_seed.values()], axis=0)
        seeds = f" ({len(by_seed)} seeds)" if len(by_seed) > 1 else ""
        title = f"{cell}: {matrix.sum():,} test images{seeds}"
        figures.confusion_matrix(FIGURES / f"confusion_{cell}.png", matrix, title)


def model_digests(cell: str, seeds: list[int]) -> str:
    """SHA-256 of the weights of each seed, separated by spaces."""
    return " ".join(sha256_file(saved.weights_file(model_folder(cell), seed)) for seed in seeds)


def table(metrics: dict[str, Any]) -> str:
    """The selected models' figures, as text in columns."""
    head = f"{'cell':<8} {'selected epoch':>14} {'val accuracy':>13} {'test accuracy':>14} {'test loss':>10}"
    rows = [
        f"{cell:<8} {part['selected']['epoch']:>14g} {part['selected']['val']['accuracy']:>13.4f} "
        f"{part['selected']['test']['accuracy']:>14.4f} {part['selected']['test']['loss']:>10.4f}"
        for cell, part in metrics.items()
    ]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    run_command(main)
