import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pytest

from accord.sweep.search import pictures
from tests.accord.sweep.search.simulated import SPACES, Curve, go_on, run, search, smooth

NAN = math.nan
NAMES = ["history.png", "importances.png", "parallel_coordinates.png", "slices.png"]
PNG = b"\x89PNG\r\n\x1a\n"


def searched(sweep: Path, curves: Sequence[Curve], spaces: Sequence[str] = SPACES, pruner: str = "none") -> None:
    """Run a search whose trials have these curves."""
    sweep.mkdir()
    found = search(sweep, spaces, sampler="random", pruner=pruner)
    for curve in curves:
        run(sweep, found, found.ask(), curve)


def test_importances_are_sorted_and_add_up_to_one(tmp_path: Path) -> None:
    go_on(tmp_path, search(tmp_path, sampler="random", pruner="none", n_trials=20), smooth)
    shares = pictures.importances(tmp_path)
    assert next(iter(shares)) == "train.rate"
    assert shares["cell"] < 0.1, "nothing depends on it"
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


@pytest.mark.parametrize(
    ("curves", "pruner"),
    [
        ([], "none"),
        ([[0.5]], "none"),
        ([[0.5], [0.5], [0.5]], "none"),
        ([[0.5], [NAN]], "none"),
        ([[NAN], [NAN]], "none"),
        ([[0.5], [0.5], [0.1], [0.2]], "median"),
    ],
    ids=["none", "one", "the same", "one number", "no number", "pruned"],
)
def test_without_two_results_there_are_no_importances(tmp_path: Path, curves: Sequence[Curve], pruner: str) -> None:
    searched(tmp_path / "sweep", curves, pruner=pruner)
    assert pictures.importances(tmp_path / "sweep") == {}
    pictures.draw(tmp_path / "sweep", tmp_path)
    assert not (tmp_path / "importances.png").exists()
    assert (tmp_path / "history.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spaces", "curves"),
    [
        (SPACES, [[0.5], [0.6]]),
        (["a=choice(1,auto,2.5)", "b=true,false", "c=null,1"], [[0.5], [0.7], [0.6], [NAN]]),
        (["a=choice(x)", "b=[1,2],[3]"], [[0.5], [0.6], [0.7]]),
        (["a=range(1)"], [[0.5], [0.6]]),
    ],
    ids=["two trials", "mixed kinds", "one category", "one number"],
)
def test_all_figures_are_drawn_for_any_spaces(tmp_path: Path, spaces: Sequence[str], curves: Sequence[Curve]) -> None:
    searched(tmp_path / "sweep", curves, spaces)
    backend, style = mpl.get_backend(), mpl.rcParams["axes.facecolor"]
    pictures.draw(tmp_path / "sweep", tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == NAMES
    assert all((tmp_path / name).read_bytes().startswith(PNG) for name in NAMES)
    assert mpl.rcParams["axes.facecolor"] == style
    mpl.use(backend)


def test_the_projects_own_parallel_coordinates_are_kept(tmp_path: Path) -> None:
    searched(tmp_path / "sweep", [[0.5], [0.6]], ["a=range(9)"])
    (tmp_path / NAMES[2]).write_text("the project's")
    pictures.draw(tmp_path / "sweep", tmp_path)
    assert (tmp_path / NAMES[2]).read_text() == "the project's"
    assert len(list(tmp_path.glob("*.png"))) == 4


def test_a_search_that_was_refused_before_its_first_trial_has_no_importances(tmp_path: Path) -> None:
    assert pictures.importances(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []
