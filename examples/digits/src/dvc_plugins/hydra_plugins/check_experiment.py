"""Have DVC check an experiment before it writes anything; DVC imports this module right before it composes."""

from pathlib import Path

from accord.experiment_check import install

install(Path(__file__).resolve().parents[3])
