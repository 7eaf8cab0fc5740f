"""The project as tracking and sweeps see it."""

from seqmnist.metric_names import TEST_ACCURACY, VALIDATION_ACCURACY
from seqmnist.paths import PROCESSED
from seqmnist.projects import Project

PROJECT = Project(
    functions="seqmnist.trials",
    metric=VALIDATION_ACCURACY,
    reported=(TEST_ACCURACY,),
    variant="cell",
    keys=("cell", "data", "seed", "sequence", "tracking", "train"),
    inputs=str(PROCESSED),
    inputs_stage="preprocess",
    inputs_section="data",
)
