import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from accord.tracking.runs import RunRequest, stage_run
from seqmnist.cells.model import build, exported
from seqmnist.config import Config
from seqmnist.runs.models import log_model
from seqmnist.training.runtime import start_tensorflow


# Raised where MLflow's loaders are imported.
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")
def test_a_logged_model_has_its_own_figures_says_what_it_takes_and_predicts_the_same_when_loaded(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_tensorflow(2)
    model = exported(build(config.cells["lstm"], config.sequence, 42), config.cells["lstm"], config.sequence)
    images = np.random.default_rng(1).integers(0, 256, (5, 28, 28)).astype(np.uint8)
    expected = model(images).numpy()

    with stage_run(config.tracking, RunRequest("train", "train@lstm")) as run:
        for step, accuracy in enumerate([0.5, 0.9, 0.7]):
            run.metrics({"val.accuracy": accuracy}, step=step)
        run.metrics({"selected.epoch": 1}, step=1)
        run.model(lambda run_id: log_model(run_id, model, images[:1], step=1))
        monkeypatch.setenv("MLFLOW_ACTIVE_MODEL_ID", MlflowClient().get_run(run.id).outputs.model_outputs[0].model_id)
        run.metrics({"last.epoch": 2, "val.loss": 0.1}, step=1)

    [own] = MlflowClient().search_logged_models([MlflowClient().get_run(run.id).info.experiment_id])
    assert {(one.key, one.value, one.step) for one in own.metrics} == {
        ("val.accuracy", 0.9, 1),
        ("selected.epoch", 1, 1),
    }
    uri = f"runs:/{run.id}/model"
    by_pyfunc, by_keras = mlflow.pyfunc.load_model(uri), mlflow.keras.load_model(uri)
    np.testing.assert_allclose(by_pyfunc.predict(images), expected, rtol=1e-5)
    np.testing.assert_allclose(by_keras(images).numpy(), expected, rtol=1e-5)
    signature = by_pyfunc.metadata.signature
    assert [(one.type, one.shape) for one in signature.inputs] == [(np.uint8, (-1, 28, 28))]
    assert [(one.type, one.shape) for one in signature.outputs] == [(np.float32, (-1, 10))]
    np.testing.assert_array_equal(by_pyfunc.input_example, images[:1])

    with stage_run(config.tracking, RunRequest("train", "train@lstm", resume=run.id)) as again:
        again.model(lambda run_id: log_model(run_id, model, images[:1], step=1))
    assert len(MlflowClient().get_run(run.id).outputs.model_outputs) == 1
