"""What ties MLflow's runs to the pipeline's outputs: the digest of what a stage made, however it came here.

A stage that DVC skips or restores from its cache makes no run, and one whose server goes away leaves a part of one. Its
outputs are found by their digest in a run that made the same, here or before; where there is none, the part is
completed from the files, or else a stand-in is made of them.
"""

from collections.abc import Callable, Mapping

from mlflow import MlflowClient
from mlflow.entities import Run as LoggedRun

from seqmnist.config import Config
from seqmnist.files import sha256_file
from seqmnist.paths import PARAMS
from seqmnist.tracking.away import telling
from seqmnist.tracking.drafts import Draft
from seqmnist.tracking.identity import CONFIG, experiment_tags
from seqmnist.tracking.processes import end_stale_runs
from seqmnist.tracking.runs import Run, stage_run
from seqmnist.tracking.store import open_store, quoted

SOURCE = {"source": "dvc-cache"}  # the tag of stand-ins
_REMEMBERED = 100  # configurations, experiments: a tag has room for 8,000 characters


def found_or_restored(
    config: Config,
    stage: str,
    name: str,
    identity: Mapping[str, str],
    log: Callable[[Run], None],
    tags: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    """The id of the run that made a stage's outputs, now also a run of the present configuration.

    Args:
        config: the pipeline's.
        stage: as in `stage_run`.
        name: of the run that is completed, or of the stand-in.
        identity: tags with the digests of the outputs.
        log: tells a run what the stage would have told it.
        tags: further tags that the run has.
        notes: tags for a run that is completed or made; others may lack them.

    Raises:
        UserError: the store can't be used; `ServerAway` where the server is away, before or during it.
    """
    client, experiment = open_store(config.tracking)
    wanted = {"stage": stage, **(tags or {})}
    with telling(client.tracking_uri):
        if run := newest_finished(client, experiment, {**wanted, **identity}):
            _join(client, run)
            return str(run.info.run_id)
        end_stale_runs(client, experiment)
        part = _part(client, experiment, name, wanted, log)
    given = {**(tags or {}), **(notes or {}), **({} if part else SOURCE)}
    with stage_run(config, stage, name, given, resume=part, later=None) as run:
        log(run)
        run.tags(identity)
    how = "completed in MLflow" if part else "MLflow did not have it: logged now"
    print(f"{name}: {how}", flush=True)
    return run.id


def _part(
    client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str], log: Callable[[Run], None]
) -> str | None:
    """The id of a run of the present configuration that was cut off and holds nothing but what the files say."""
    wanted = {**tags, "mlflow.runName": name, CONFIG: sha256_file(PARAMS)}
    parts = client.search_runs([experiment], _condition("KILLED", wanted))
    if not parts:
        return None
    log(draft := Draft())
    return next((str(run.info.run_id) for run in parts if draft.has_part(client, run)), None)


def newest_finished(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> LoggedRun | None:
    """The newest finished run with these tags; of a configuration's digest, which may be one of several."""
    runs = client.search_runs([experiment], _condition("FINISHED", tags), max_results=1)
    return runs[0] if runs else None


def _condition(status: str, tags: Mapping[str, str]) -> str:
    """What `search_runs` takes; the digest of a configuration may be one of several."""
    conditions = [f"attributes.status = '{status}'"]
    conditions += [
        f"tags.`{key}` LIKE '%{value}%'" if key == CONFIG else f"tags.`{key}` = {quoted(value)}"
        for key, value in tags.items()
    ]
    return " and ".join(conditions)


def _join(client: MlflowClient, run: LoggedRun) -> None:
    """Make a run one of the present configuration and of the present DVC experiment too."""
    for key, value in experiment_tags().items():
        known = run.data.tags.get(key, "").split()
        if value not in known:
            client.set_tag(run.info.run_id, key, " ".join([*known, value][-_REMEMBERED:]))
