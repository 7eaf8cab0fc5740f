"""Measure the trained models: reports/metrics.json, tables, figures, and the page reports/index.html."""

from functools import partial
from typing import Any

from accord.experiments import run_stage
from accord.files import write_json
from seqmnist import config
from seqmnist.cells import saved
from seqmnist.cells.model import build
from seqmnist.config import Config, SplitName
from seqmnist.data import splits
from seqmnist.data.splits import Split
from seqmnist.measure.claims import NAMES, claims, remark
from seqmnist.measure.measures import Measures, measure
from seqmnist.measure.metrics import cells_of, content, figures_of_seeds, spread
from seqmnist.paths import METRICS, PROCESSED, model_folder
from seqmnist.report import report
from seqmnist.runs import evaluation_run, stage_runs
from seqmnist.runs.models import register
from seqmnist.training import history
from seqmnist.training.history import Row
from seqmnist.training.outputs import read_histories
from seqmnist.training.runtime import start_tensorflow


def main() -> None:
    """Run the stage."""
    configuration = config.load()
    histories = read_histories(configuration)
    data, summary = splits.load_all(PROCESSED)
    start_tensorflow(max(cell.shards for cell in configuration.cells.values()))
    from seqmnist.runs.training_run import all_in_mlflow

    with stage_runs.started(configuration, "evaluate") as run:
        trained = run.attempt(partial(all_in_mlflow, configuration, histories, data, summary)) or []
        evaluation_run.log_inputs(run, configuration, summary, trained)
        measured = {cell: measure_cell(configuration, cell, rows, data) for cell, rows in histories.items()}
        tests = claims(measured, {name: cell.type for name, cell in configuration.cells.items()})
        metrics = content(measured, tests, len(data["train"]))
        write_json(METRICS, metrics)
        report.write(configuration, measured, tests, data["test"], summary)
        evaluation_run.log_results(run, metrics)
        champion = run.attempt(partial(register, configuration, trained, summary["validation"]["sha256"]))
    print(table(metrics))
    if champion:
        print(champion)


def measure_cell(configuration: Config, cell: str, rows: list[Row], data: dict[SplitName, Split]) -> list[Measures]:
    """Measure the model of each seed."""
    measured = []
    for seed in configuration.seeds:
        print(f"evaluate: {cell} seed={seed}", flush=True)
        trained, described = saved.load(model_folder(cell), seed)
        fresh = build(described, configuration.sequence, seed)
        measured.append(measure(trained, fresh, described, data, history.by_seed(rows)[seed]))
    return measured


def table(metrics: dict[str, Any]) -> str:
    """Return the selected models' figures as text in columns, with deviations over several seeds, and the verdicts."""
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
