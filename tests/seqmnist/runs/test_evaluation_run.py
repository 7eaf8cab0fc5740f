import hashlib
from pathlib import Path

import pytest

from seqmnist.runs.evaluation_run import model_digests


def test_models_are_named_by_the_digests_of_their_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models" / "rnn"
    folder.mkdir(parents=True)
    for seed in (1, 2):
        (folder / f"seed-{seed}.weights.h5").write_bytes(bytes([seed]))

    digests = model_digests("rnn", [2, 1])

    assert digests.split(" ") == [hashlib.sha256(bytes([seed])).hexdigest() for seed in (2, 1)]
