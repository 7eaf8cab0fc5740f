from seqmnist.data.splits import Summary
from seqmnist.stages.preprocess import table


def test_the_table_has_a_line_a_split_and_a_column_a_class() -> None:
    summary: Summary = {
        "train": {"images": 55_000, "sha256": "0" * 64, "classes": [5444, 6179, *[5000] * 8]},
        "test": {"images": 10, "sha256": "1" * 64, "classes": [1] * 10},
    }

    head, *lines = table(summary).splitlines()

    assert head.split() == ["split", "images", *map(str, range(10))]
    assert [line.split() for line in lines] == [
        ["train", "55000", "5444", "6179", *["5000"] * 8],
        ["test", "10", *["1"] * 10],
    ]
    assert {len(line) for line in lines} == {len(head)}
