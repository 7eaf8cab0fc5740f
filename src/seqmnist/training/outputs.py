"""The outputs of the train stage, checked against the configuration."""

from accord.errors import UserError
from seqmnist.cells import saved
from seqmnist.config import Config
from seqmnist.paths import history_file, model_folder
from seqmnist.training import history
from seqmnist.training.history import Row


def read_histories(configuration: Config) -> dict[str, list[Row]]:
    """Read the history of each cell, and check that the cells were trained with the present configuration.

    An experiment that is started in the same workspace can change params.yaml while the pipeline runs.

    Raises:
        UserError: A history is missing, or a saved cell or a history's seeds and epochs are not the configured ones.
    """
    histories = {cell: history.read(history_file(cell)) for cell in configuration.cells}
    for cell, rows in histories.items():
        epochs = list(range(configuration.train_of(cell).epochs))
        trained = {seed: [row.epoch for row in part] for seed, part in history.by_seed(rows).items()}
        if trained != dict.fromkeys(configuration.seeds, epochs):
            raise UserError(f"{history_file(cell)} has other seeds or epochs than params.yaml: run `dvc repro` again")
        saved.check(model_folder(cell), configuration.cells[cell], configuration.sequence)
    return histories
