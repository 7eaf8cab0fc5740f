"""Check an experiment before DVC writes anything: DVC imports this module right before it composes conf/."""

from pathlib import Path

from accord.experiment_check import install

install(Path(__file__).resolve().parents[3])
