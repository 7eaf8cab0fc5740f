"""Names of metrics that several parts of the project must agree on."""

VALIDATION_ACCURACY = "val.accuracy"  # chooses epochs, trials and the champion
TEST_ACCURACY = "test.accuracy"  # shown, and chooses nothing
EPOCH = "epoch"
SELECTED = "selected."  # begins the names of the metrics of a training's selected epoch
LAST = "last."  # begins those of its last epoch
