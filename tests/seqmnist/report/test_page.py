import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from seqmnist.config import Config, validate
from seqmnist.measure.claims import claims
from seqmnist.report import page
from seqmnist.report.page import Picture

SUMMARY: Any = {"train": {"images": 50, "sha256": "ab" * 32, "classes": [5] * 10}}
HOSTILE = '</script><script>alert("<b>")</script>'


class Tags(HTMLParser):
    """The addresses that a page refers to, and the verdicts in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.verdicts: list[str] = []
        self.alternatives: list[str | None] = []
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [value for key in ("src", "href") if (value := values.get(key))]
        self.scripts += tag == "script"
        if verdict := values.get("data-verdict"):
            self.verdicts.append(verdict)
        if tag == "img":
            self.alternatives.append(values.get("alt"))


@pytest.fixture
def written(tiny_config: Config, make_measures: Any, tmp_path: Path) -> Any:
    """Writes a page and gives its text."""

    def write(**changed: Any) -> str:
        measured = {"rnn": [make_measures(wrong=20)], "lstm": [make_measures(wrong=2)]} | changed.pop("measured", {})
        picture = tmp_path / "picture.png"
        picture.write_bytes(b"\x89PNG picture")
        pictures = [Picture(picture, "A caption.", changed.pop("alt", "What it shows."))]
        path = tmp_path / "index.html"
        page.write(
            path,
            changed.pop("config", tiny_config),
            measured,
            claims(measured, {cell: cell for cell in measured}),
            SUMMARY,
            pictures,
        )
        return path.read_text()

    return write


def test_the_page_needs_no_other_file_and_no_network(written: Any) -> None:
    tags = Tags(written())
    assert tags.addresses
    assert all(address.startswith("data:") for address in tags.addresses)
    assert tags.alternatives == ["What it shows."]


def test_the_page_has_the_verdicts(written: Any) -> None:
    tags = Tags(written())
    assert tags.verdicts == ["shown", "one seed: not tested", "one seed: not tested"]


def test_the_same_measures_give_the_same_bytes(written: Any) -> None:
    assert written() == written()


def test_no_text_can_become_code(written: Any, make_measures: Any) -> None:
    plain = Tags(written(measured={"gru": [make_measures()]}))
    hostile = Tags(written(measured={HOSTILE: [make_measures()]}, alt=HOSTILE))
    assert hostile.scripts == plain.scripts
    assert hostile.alternatives == [HOSTILE]


def test_names_that_the_configuration_would_refuse_become_no_code_either(written: Any, tiny_config: Config) -> None:
    data = tiny_config.data.model_copy(update={"name": HOSTILE})
    cells = {HOSTILE: tiny_config.cells["rnn"].model_copy(update={"type": HOSTILE, "train": {}}), **tiny_config.cells}
    text = written(config=tiny_config.model_copy(update={"data": data, "cells": cells}))
    assert Tags(text).scripts == Tags(written()).scripts
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;") >= 3


@pytest.mark.parametrize("text", ["</script>", "<!--", "<script>", "]]>", "\u2028", "\u2029"])
def test_a_chart_s_texts_do_not_end_its_script(text: str) -> None:
    written = page._in_script({text: [text]})
    assert json.loads(written) == {text: [text]}
    assert not any(sign in written for sign in "<\u2028\u2029")


def test_numbers_of_several_seeds_are_means_with_their_spread(written: Any, make_measures: Any) -> None:
    seeds = {"lstm": [make_measures(1, wrong=0), make_measures(2, wrong=6)]}
    seeds["rnn"] = [make_measures(1), make_measures(2)]
    text = written(measured=seeds)
    assert re.search(r"0\.9500 ± 0\.0707", text)
    assert "1.0000, 0.9000" in text


def test_without_the_two_cells_the_page_says_so(
    written: Any, tiny_config: Config, make_measures: Any, tmp_path: Path
) -> None:
    del written
    path = tmp_path / "one.html"
    page.write(path, tiny_config, {"gru": [make_measures()]}, {}, SUMMARY, [])
    assert "one of them is not configured" in path.read_text()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({}, []),
        ({"shift": 2.0}, ["moved"]),
        ({"averaging": 0.9}, ["average"]),
        ({"zoom": 0.1, "averaging": 0.9}, ["moved", "average"]),
    ],
)
def test_the_page_says_what_training_accuracy_is_of(
    tiny_values: dict[str, Any], recipe: dict[str, Any], said: list[str]
) -> None:
    tiny_values["cells"]["lstm"]["train"] = recipe

    notes = page.training_notes(validate(tiny_values, "tiny"))

    assert len(notes) == len(said)
    assert all(word in note for word, note in zip(said, notes, strict=True))
