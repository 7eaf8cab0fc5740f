import psutil
import pytest

from accord.errors import UserError
from benchmarks.run import compare, scaled, start
from benchmarks.workload import Workload

TINY = Workload("lstm", units=4, batch=10, images=25)


@pytest.mark.slow
def test_each_variant_is_timed_in_each_round_and_its_process_ends(capsys: pytest.CaptureFixture[str]) -> None:
    result = compare(TINY, ("fast", "keras"), rounds=2)

    assert list(result["variants"]) == ["fast", "keras"]
    for figures in result["variants"].values():
        assert len(figures["seconds"]) == 2
        assert all(seconds > 0 for seconds in figures["seconds"])
        assert figures["peak_mebibytes"] > 100
    assert len(result["peak_seconds"]) == 2
    assert result["flop"] == TINY.flop()
    assert "round 2/2: fast " in capsys.readouterr().out
    assert not [child for child in psutil.Process().children() if "benchmarks.worker" in child.cmdline()]


def test_a_failing_variant_is_reported_with_its_last_message() -> None:
    with pytest.raises(UserError, match="'abacus' failed: KeyError: 'abacus'"), start("abacus", TINY):
        pass


def test_the_scaling_varies_one_size_at_a_time() -> None:
    works = scaled("gru")
    assert len(works) == len(set(works)) == 7
    usual = Workload("gru", images=5_500)
    assert usual in works
    for work in works:
        different = [name for name, value in vars(work).items() if value != getattr(usual, name)]
        assert len(different) <= 1
