from typing import Any

from seqmnist.stages.evaluate import table


def test_the_table_has_a_line_a_cell_and_a_line_a_verdict() -> None:
    def seed(test: float) -> dict[str, Any]:
        return {"selected": {"val": {"accuracy": 0.97518}, "test": {"accuracy": test, "loss": 0.094829}}}

    rnn = {"selected": {"epoch": 12.0}, "seeds": {"42": seed(0.97314)}}
    lstm = {"selected": {"epoch": 7.5}, "seeds": {"42": seed(0.98), "43": seed(0.99)}}

    head, *lines, verdict = table(
        {"rnn": rnn, "lstm": lstm, "claims": {"better": {"verdict": "not shown", "p": 0.25}}}
    ).splitlines()

    assert [line.split() for line in lines] == [
        ["rnn", "12", "0.9752", "0.9731", "0.0948"],
        ["lstm", "7.5", "0.9752", "±", "0.0000", "0.9850", "±", "0.0071", "0.0948", "±", "0.0000"],
    ]
    assert {len(line) for line in lines} == {len(head)}
    assert (
        verdict
        == "The LSTM is better: not shown (of these two models alone; give 6 seeds or more to speak of the cells)"
    )
