"""Measure the trained models: reports/metrics.json, tables, figures, and the page reports/index.html."""

from functools import partial
from typing import TYPE_CHECKING, Any

from seqmnist import config, trainings
from seqmnist.cells import saved
from seqmnist.cells.model import build
from seqmnist.config import Config, SplitName
from seqmnist.data import splits
from seqmnist.data.splits import Split
from seqmnist.evidence import report
from seqmnist.evidence.claims import NAMES, claims, remark
from seqmnist.evidence.measures import Measures, measure
from seqmnist.evidence.metrics import cells_of, content, figures_of_seeds, numbers, spread
from seqmnist.experiments import run_stage
from seqmnist.files import sha256_file, write_json
from seqmnist.paths import CLASSES, FIGURES, METRICS, PAGE, PROCESSED, model_folder
from seqmnist.runs import data_sets
from seqmnist.runs.registered import register
from seqmnist.training import history
from seqmnist.training.history import Row
from seqmnist.training.outputs import read_histories
from seqmnist.training.runtime import start_tensorflow

if TYPE_CHECKING:
    from seqmnist.tracking.runs import Run


def main() -> None:
    """Run the stage."""
    from seqmnist.tracking.runs import RunRequest, stage_run

    configuration = config.load()
    histories = read_histories(configuration)
    data, summary = splits.load_all(PROCESSED)
    start_tensorflow(max(cell.shards for cell in configuration.cells.values()))
    request = RunRequest("evaluate", "evaluate", extra_tags=data_sets.tags(configuration.data))
    with stage_run(configuration.tracking, request) as run:
        trained = run.attempt(partial(training_runs, configuration, histories, data, summary)) or []
        log_inputs(run, configuration, summary, trained)
        measured = {cell: measure_cell(configuration, cell, rows, data) for cell, rows in histories.items()}
        tests = claims(measured, {name: cell.type for name, cell in configuration.cells.items()})
        metrics = content(measured, tests, len(data["train"]))
        write_json(METRICS, metrics)
        report.write(configuration, measured, tests, data["test"], summary)
        log_results(run, metrics)
        champion = run.attempt(partial(register, configuration, trained, summary["validation"]["sha256"]))
    print(table(metrics))
    if champion:
        print(champion)


def log_inputs(run: "Run", configuration: Config, summary: splits.Summary, trained: list[str]) -> None:
    """Tell MLflow what the stage reads; `trained` are the ids of the trainings' runs."""
    run.params(configuration.model_dump(include={"cells", "train", "sequence", "seeds"}))
    data_sets.log_splits(run, configuration.data, {"test": summary["test"]})
    run.tags({"train.runs": " ".join(trained)})
    run.tags({f"model.sha256.{cell}": model_digests(cell, configuration.seeds) for cell in configuration.cells})


def log_results(run: "Run", metrics: dict[str, Any]) -> None:
    """Tell MLflow what the stage made."""
    run.metrics(numbers(metrics))
    for path in (METRICS, CLASSES, FIGURES, PAGE):
        run.artifact(path)
    run.tags({f"claim.{name}": one["verdict"] for name, one in metrics["claims"].items()})
    run.tags(identity())


def identity() -> dict[str, str]:
    """The tag that says what came out."""
    return {"metrics.sha256": sha256_file(METRICS)}


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


def measure_cell(configuration: Config, cell: str, rows: list[Row], data: dict[SplitName, Split]) -> list[Measures]:
    """What is measured of the model of each seed."""
    measured = []
    for seed in configuration.seeds:
        print(f"evaluate: {cell} seed={seed}", flush=True)
        trained, described = saved.load(model_folder(cell), seed)
        fresh = build(described, configuration.sequence, seed)
        is_lstm = described.type == "lstm"
        own = history.by_seed(rows)[seed]
        measured.append(measure(trained, fresh, data, own, shards=described.shards, is_lstm=is_lstm))
    return measured


def model_digests(cell: str, seeds: list[int]) -> str:
    """SHA-256 of the weights of each seed, separated by spaces."""
    return " ".join(sha256_file(saved.weights_file(model_folder(cell), seed)) for seed in seeds)


def table(metrics: dict[str, Any]) -> str:
    """The selected models' figures as text in columns, of several seeds with their deviation, and the verdicts."""
    head = f"{'cell':<8} {'selected epoch':>14} {'val accuracy':>16} {'test accuracy':>16} {'test loss':>16}"
    keys = ("selected.val.accuracy", "selected.test.accuracy", "selected.test.loss")
    rows = []
    for cell, part in cells_of(metrics).items():
        figures = " ".join(f"{spread(figures_of_seeds(part, key)):>16}" for key in keys)
        rows.append(f"{cell:<8} {part['selected']['epoch']:>14.3g} {figures}")
    seeds = len(next(iter(metrics.values()))["seeds"])
    verdicts = [
        f"{NAMES[name]}: {one['verdict']}" + (f" ({said})" if (said := remark(one["p"], seeds)) else "")
        for name, one in metrics["claims"].items()
    ]
    return "\n".join([head, *rows, *verdicts])


if __name__ == "__main__":
    run_stage(main)
