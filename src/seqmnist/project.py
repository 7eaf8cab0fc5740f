"""The project as accord sees it."""

from accord.project import Project
from seqmnist.metric_names import TEST_ACCURACY, VALIDATION_ACCURACY
from seqmnist.paths import PROCESSED

_DESCRIPTION = """\
**Compare the cells:** choose *Model training* at the top left, *Runs*; tick the newest `train@rnn` and `train@lstm`
(with several seeds one of each, of the same seed) and press *Compare*. *Show diff only* leaves the parameters that
differ; a click on a metric's name draws it for both.

The chart symbol above the table of runs draws all their metrics. `test.accuracy` is logged every epoch beside
`val.accuracy`, to be looked at: epochs, trials and the champion are chosen by validation accuracy alone.

The other runs are those of the stages `download`, `preprocess` and `evaluate`; all runs of one configuration share the
tag `config.sha256`.
"""

PROJECT = Project(
    name="seqmnist",
    description=_DESCRIPTION,
    config="seqmnist.config:Config",
    functions="seqmnist.trials",
    metric=VALIDATION_ACCURACY,
    reported=(TEST_ACCURACY,),
    variant="cell",
    cores=2,  # shards of a batch
    inputs=str(PROCESSED),
)
