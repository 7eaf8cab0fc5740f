"""The project as tracking and sweeps see it."""

from seqmnist.metric_names import TEST_ACCURACY, VALIDATION_ACCURACY
from seqmnist.paths import PROCESSED
from seqmnist.projects import Project

PROJECT = Project(
    name="seqmnist",
    metric=VALIDATION_ACCURACY,
    reported=(TEST_ACCURACY,),
    variant="cell",
    keys=("cell", "data", "seed", "sequence", "tracking", "train"),
    run_tags="seqmnist.trials:run_tags",
    trial_values="seqmnist.trials:pipeline_values",
    ineffective="seqmnist.trials:shadowed",
    parameters="seqmnist.trials:parameters",
    train="seqmnist.trials:train",
    restore="seqmnist.trials:restore",
    promotion="seqmnist.trials:promotion",
    sync="seqmnist.runs.restore:restore_stages",
    data_folder="seqmnist.runs.data_sets:folder_of",
    sweep_figures="seqmnist.runs.sweep_figures:draw",
    inputs=str(PROCESSED),
    inputs_stage="preprocess",
    inputs_section="data",
    packages=("seqmnist",),
)
