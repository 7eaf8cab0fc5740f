"""What ties MLflow's runs to the pipeline's outputs: the digest of what a stage made, however it came here.

A stage that DVC skips or restores from its cache makes no run. Its outputs are found by their digest in a run that
made the same, here or before; where there is none, a stand-in is made of the files.
"""

from collections.abc import Callable, Mapping

from mlflow import MlflowClient
from mlflow.entities import Run as LoggedRun

from seqmnist.config import Config
from seqmnist.tracking.identity import CONFIG, experiment_tags
from seqmnist.tracking.runs import Run, stage_run
from seqmnist.tracking.store import open_store

SOURCE = {"source": "dvc-cache"}  # the tag of stand-ins
_REMEMBERED = 100  # configurations, experiments: a tag has room for 8,000 characters


def found_or_restored(
    config: Config,
    stage: str,
    name: str,
    identity: Mapping[str, str],
    log: Callable[[Run], None],
    tags: Mapping[str, str] | None = None,
) -> str:
    """The id of the run that made a stage's outputs, now also a run of the present configuration.

    Args:
        config: the pipeline's.
        stage: as in `stage_run`.
        name: of the stand-in, where one is made.
        identity: tags with the digests of the outputs.
        log: tells a stand-in what the stage would have told its run.
        tags: further tags that the run has.

    Raises:
        UserError: the store can't be used.
    """
    client, experiment = open_store(config.tracking)
    wanted = {"stage": stage, **identity, **(tags or {})}
    if run := newest_finished(client, experiment, wanted):
        _join(client, run)
        return str(run.info.run_id)
    with stage_run(config, stage, name, {**SOURCE, **(tags or {})}) as stand_in:
        log(stand_in)
        stand_in.tags(identity)
    print(f"{name}: DVC had it, MLflow did not: logged now", flush=True)
    return stand_in.id


def newest_finished(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> LoggedRun | None:
    """The newest finished run with these tags; of a configuration's digest, which may be one of several."""
    conditions = ["attributes.status = 'FINISHED'"]
    conditions += [
        f"tags.`{key}` LIKE '%{value}%'" if key == CONFIG else f"tags.`{key}` = '{value}'"
        for key, value in tags.items()
    ]
    runs = client.search_runs([experiment], " and ".join(conditions), max_results=1)
    return runs[0] if runs else None


def _join(client: MlflowClient, run: LoggedRun) -> None:
    """Make a run one of the present configuration and of the present DVC experiment too."""
    for key, value in experiment_tags().items():
        known = run.data.tags.get(key, "").split()
        if value not in known:
            client.set_tag(run.info.run_id, key, " ".join([*known, value][-_REMEMBERED:]))
