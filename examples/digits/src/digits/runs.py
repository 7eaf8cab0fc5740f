"""Description of each stage's MLflow run: parameters, outputs, and what is logged from the outputs."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from accord.files import sha256_file, sha256_files
from accord.settings import flatten
from accord.tracking import models, registry
from accord.tracking.runs import Run, RunRequest
from accord.tracking.stages import Stage, TrainingStage, log_data_sets, log_history
from accord.variants import sections
from digits.config import Config

PREPARED = Path("data/prepared")
METRICS = Path("reports/metrics.json")
_OPTIMIZER = "sklearn.neural_network._stochastic_optimizers.AdamOptimizer"  # the mlp holds one; skops must trust it
_LIBRARIES = ("numpy", "scikit-learn")
_CODE = tuple(f"digits/{name}.py" for name in ("config", "learner", "prepare", "train"))  # as train's deps


def prepare(config: Config) -> Stage:
    """Describe the stage prepare."""
    log = partial(log_data_sets, folder=PREPARED)
    return Stage(RunRequest("prepare", "prepare"), {"data": config.data.model_dump()}, (PREPARED,), log)


def train(config: Config, model: str, inputs: Path = PREPARED, request: RunRequest | None = None) -> TrainingStage:
    """Describe the training of one model: by the stage train, or by a trial with its own inputs and run request."""
    request = request or RunRequest("train", f"train@{model}")
    request = replace(request, tags={"model": model, **request.tags})
    params = sections(config.model_dump(), model) | {"seed": config.seed}
    outputs = Path("models", model, "model.pickle"), Path("reports/train", model, "history.csv")

    def log(run: Run) -> None:
        import mlflow.sklearn

        from digits.learner import read

        epoch = log_history(run, outputs[1])
        content = {"sk_model": read(outputs[0]), "skops_trusted_types": [_OPTIMIZER]}
        run.model(lambda run_id: models.log_model(run_id, mlflow.sklearn, epoch, _LIBRARIES, **content))
        run.tags({"model.sha256": sha256_file(outputs[0])})

    return TrainingStage(request, params, outputs, log, inputs, _CODE, _LIBRARIES)


def evaluate(config: Config) -> Stage:
    """Describe the stage evaluate."""
    params = config.model_dump(include={"models", "seed"})
    request = RunRequest("evaluate", "evaluate")
    return Stage(request, params, (METRICS,), lambda run: run.metrics(flatten(json.loads(METRICS.read_text("utf-8")))))


def register(config: Config) -> str:
    """Register the model of each training and return a line that names the best; log runs that MLflow lacks first."""
    run_ids = [train(config, model).in_mlflow() for model in config.models]
    description = "Classifiers of digits: pixels float64 [n, 64], 0 to 1."
    return registry.register(config.tracking, "digits", description, run_ids, sha256_files(PREPARED)["val.npy"])
