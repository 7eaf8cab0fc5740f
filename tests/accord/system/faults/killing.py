"""Commands that are killed at a random moment, and the process and phase that each kill hit."""

import os
import random
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from tests.projects import Project

SEED = 20260
SWEEPS = ("sweep", "search")
LOG = "killed.txt"  # in the clone's .git, which no command reads
STAGE = "python -m "  # start of the command line of every stage
_END_SECONDS = 600  # timeout for the processes that were not hit; other work may keep the cores busy


@dataclass(frozen=True)
class Draw:
    """Planned kill of a command.

    Attributes:
        stage: Stage of the pipeline, `sweep` or `search`.
        victim: DVC, its stage or both of a pipeline; driver, worker or trial of a sweep or search.
        moment: Moment as a share of the command's duration, 0 to 1.
        number: Number of the kill among those of its stage.
    """

    stage: str
    victim: str
    moment: float
    number: int


def draws(stage: str, count: int, of: int) -> list[Draw]:
    """Return the first planned kills of a stage, the same ones each time.

    Args:
        stage: Stage of the pipeline, `sweep` or `search`.
        count: Number of kills to return.
        of: Number of planned kills. The command's duration is divided into as many equal parts, with a kill in each.
    """
    source = random.Random(f"{SEED} {stage}")
    victims = ("driver", "worker", "trial") if stage in SWEEPS else ("DVC", "stage", "both")
    moments = [(part + source.random()) / of for part in range(of)]
    chosen = [victims[number % len(victims)] for number in range(of)]
    source.shuffle(chosen)
    pairs = zip(chosen, moments, strict=True)
    drawn = [Draw(stage, victim, moment, number) for number, (victim, moment) in enumerate(pairs)]
    source.shuffle(drawn)
    return drawn[:count]


def parametrize_draws(metafunc: pytest.Metafunc, kills: Mapping[str, int], few: Mapping[str, int]) -> None:
    """Parametrize a test by `draw`: `kills` has the number of kills by stage in a campaign, `few` otherwise."""
    if "draw" in metafunc.fixturenames:
        wanted = kills if metafunc.config.getoption("campaign") else few
        every = [draw for stage, count in wanted.items() for draw in draws(stage, count, of=kills[stage])]
        metafunc.parametrize("draw", every, ids=[f"{draw.stage}-{draw.victim}-{draw.moment:.2f}" for draw in every])


@dataclass(frozen=True)
class Hit:
    """Process that a kill hit, and the phase in which it was.

    Attributes:
        victim: Victim as in `Draw`; the command's first process if the drawn one did not run.
        phase: Progress of the command, in words.
    """

    victim: str
    phase: str

    def __str__(self) -> str:
        """Return the words under which the hit is counted."""
        return f"{self.victim} {self.phase}"


class Command:
    """Command in its own session; its output goes to a file, since orphaned processes may still write."""

    def __init__(self, project: Project, command: list[str], log: str = LOG) -> None:
        self._log = Path(project.repository, ".git", log)
        self._epochs: int = yaml.safe_load((project.root / "params.yaml").read_text())["train"]["epochs"]
        environment = project.environment | {"PYTHONPATH": "src"}
        with self._log.open("w") as file:
            self.process = subprocess.Popen(
                command,
                cwd=project.root,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return self.process.returncode

    @property
    def output(self) -> str:
        """Text printed until now."""
        return self._log.read_text()

    def runs_for(self, seconds: float) -> bool:
        """Return whether the command still runs after this time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def below(self, part: str) -> list[psutil.Process]:
        """Return the command's processes that have a text in their command line."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if part in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:  # it is gone
                continue
        return found

    def kill(self, draw: Draw) -> Hit:
        """Send SIGKILL to the drawn victim and wait for the command's end."""
        hit = self._kill_in_sweep(draw) if draw.stage in SWEEPS else self._kill_in_pipeline(draw)
        self.process.wait(_END_SECONDS)
        return hit

    def _kill_in_pipeline(self, draw: Draw) -> Hit:
        stage = self.below(STAGE)
        phase = phase_of(self.output, draw.stage, self._epochs, lives=bool(stage))
        if draw.victim == "both":
            os.killpg(self.process.pid, signal.SIGKILL)
            return Hit("both", phase)
        if draw.victim == "stage" and stage:
            stage[-1].kill()
            return Hit("stage", phase)
        self.process.kill()
        return Hit("DVC", phase)

    def _kill_in_sweep(self, draw: Draw) -> Hit:
        trials, workers = self.below("accord.sweep.trial"), self.below("popen_loky")
        phase = "with trials" if trials else "before trials" if "validation" not in self.output else "after trials"
        those = {"trial": trials, "worker": workers}.get(draw.victim)
        if those:
            those[draw.number % len(those)].kill()
            return Hit(draw.victim, phase)
        self.process.kill()
        return Hit("driver", phase)


def phase_of(output: str, stage: str, epochs: int, *, lives: bool) -> str:
    """Return the phase of `dvc repro <stage>`, from its output and whether the stage's process lives."""
    if f"Running stage '{stage}'" not in output:
        return "before the stage"
    if not lives:
        return "beside the stage"
    # digits prints `train@mlp  epoch 3  ...`, seqmnist `train@rnn  3/14  ...`.
    numbers = re.findall(rf"^{stage} +(?:epoch )?(\d+)", output, re.MULTILINE)
    if not numbers:
        return "in the stage"
    return "in its epochs" if int(numbers[-1]) < epochs - 1 else "after its epochs"
