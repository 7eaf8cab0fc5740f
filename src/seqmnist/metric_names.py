"""Names of metrics that several parts of the experiment must agree on."""

VALIDATION_ACCURACY = "val.accuracy"  # chooses epochs, trials and the champion
TEST_ACCURACY = "test.accuracy"  # shown, and chooses nothing
