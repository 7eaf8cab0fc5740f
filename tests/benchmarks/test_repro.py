from collections import Counter

from benchmarks.repro import count, table

TRAIN = 'process 1:"sh -c python -m a";process 2:"/bin/python3 -m seqmnist.stages.train rnn";thread (2): MainThread'
STACKS = [
    "thread (1): MainThread;main (dvc/cli.py:1);wait (subprocess.py:2) 900",
    "thread (1): MainThread;main (dvc/cli.py:1);hash (dvc/data.py:5) 50",
    f"{TRAIN} 10",
    f"{TRAIN};main (seqmnist/stages/train.py:1);_find (<frozen importlib._bootstrap>:3);f (mlflow/a.py:1) 110",
    f"{TRAIN};main (seqmnist/stages/train.py:1);TrainingGraph.run (seqmnist/training/graph.py:3) 200",
    f"{TRAIN};main (seqmnist/stages/train.py:9) 7",
    f"{TRAIN};pip (seqmnist/data/sources.py:9);wait (selectors.py:1) 40",
    'process 2:"python -m seqmnist.stages.train rnn";thread (3): Thread-1;log (mlflow/a.py:1) 400',
]


def test_samples_of_main_threads_count_once_and_waits_for_stages_do_not_count() -> None:
    found: dict[str, Counter[str]] = {}

    count("-m dvc repro", STACKS, found)

    train = {"start and end": 10, "imports": 110, "training": 200, "all else": 7}
    assert found == {"dvc repro": {"all else": 50}, "seqmnist.stages.train rnn": train}
    assert table(found).splitlines() == [
        "|  | start and end | imports | training | all else | all |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| dvc repro |  |  |  | 0.5 | 0.5 |",
        "| seqmnist.stages.train rnn | 0.1 | 1.1 | 2.0 | 0.1 | 3.3 |",
        "| all | 0.1 | 1.1 | 2.0 | 0.6 | 3.8 |",
    ]
