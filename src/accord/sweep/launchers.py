"""Names of the launchers of Hydra that accord treats in a special way."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"  # processes on this machine
RAY = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"  # tasks on a Ray cluster
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"  # jobs of Slurm


def is_of(launcher: DictConfig | Mapping[str, Any], kind: str) -> bool:
    """Return whether the configured launcher is of a kind."""
    return bool(launcher.get("_target_") == kind)
