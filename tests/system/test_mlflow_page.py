"""MLflow's own page in a real browser: what a user clicks to compare the cells."""

import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.slow

WIDE = {"width": 1600, "height": 1100}  # MLflow's assistant takes the right side
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def links(reproduced: Any, serving: Any) -> Iterator[dict[str, str]]:
    """What `make ui` prints: addresses by what they show."""
    with serving(reproduced, "seqmnist.ui") as output:
        yield dict(re.findall(r"^  (.+): (http://\S+)$", output, re.MULTILINE))


def run_ids(link: str) -> list[str]:
    return re.findall(r"[0-9a-f]{32}", urllib.parse.unquote(link))


def test_two_ticked_runs_are_compared(links: dict[str, str], new_page: Any, reproduced: Any, screenshot: Any) -> None:
    page = new_page(WIDE)
    page.goto(links["all runs"])
    compare = page.get_by_test_id("runs-compare-button")
    for run_id in run_ids(links["rnn and lstm compared"]):
        row = page.locator(f'a[href*="{run_id}"]').first.locator("xpath=ancestor::*[@row-index]").first
        row.locator('input[aria-label^="Press Space to toggle row selection"]').click()
        compare.wait_for()  # it comes with the first tick and moves the rows
    screenshot(page, "mlflow-runs")

    compare.click()
    page.get_by_text("Comparing 2 Runs").wait_for()
    text = page.inner_text("body")
    screenshot(page, "mlflow-compare")

    assert re.search(r"cell\.type\s+rnn\s+lstm", text)
    assert re.search(r"cell\.units\s+8\s+8", text)
    accuracies = [reproduced.metrics()[cell]["selected"]["test"]["accuracy"] for cell in ("rnn", "lstm")]
    pattern = r"\s+".join(re.escape(f"{round(accuracy, 3):g}") for accuracy in accuracies)
    assert re.search(rf"\s{pattern}\s", text.partition("last.epoch")[2])

    scroll_to_metric(page, "val.accuracy", first="last.epoch").click()
    page.wait_for_url(re.compile(r"/#/metric\?"))
    assert_both_curves(page)
    screenshot(page, "mlflow-metric")


def test_the_printed_links_show_both_curves_and_all_charts(
    links: dict[str, str], new_page: Any, screenshot: Any
) -> None:
    page = new_page(WIDE)
    page.goto(links["val.accuracy of rnn and lstm"])
    assert_both_curves(page)

    page.goto(links["charts of rnn and lstm"])
    page.get_by_text("2 matching runs").wait_for()
    page.get_by_placeholder("Search metric charts").fill("val.accuracy")
    for cell in ("rnn", "lstm"):  # both in the legend of one chart
        page.get_by_text(f"train@{cell} (val.accuracy)").wait_for()
    screenshot(page, "mlflow-charts")


def test_the_experiment_tells_a_newcomer_what_to_click(links: dict[str, str], new_page: Any, screenshot: Any) -> None:
    page = new_page(WIDE)
    page.goto(links["all runs"])
    page.get_by_text("Compare the cells").first.wait_for()
    page.get_by_text("train@rnn", exact=True).first.wait_for()
    screenshot(page, "mlflow-experiment")


def scroll_to_metric(page: Any, name: str, first: str) -> Any:
    """The metric's link in the table of two compared runs, once it takes clicks; it is far below the `first` one.

    From when the table notices that it is scrolled until 150 ms after, it takes none. Playwright's click scrolls and
    presses at once: where the table notices before the release, the click is lost.
    """
    link = page.get_by_role("link", name=name, exact=True)
    link.scroll_into_view_if_needed()
    page.get_by_role("link", name=first, exact=True).wait_for(state="detached")  # the table has noticed
    page.wait_for_function(
        """link => {
            const {x, y, width, height} = link.getBoundingClientRect();
            return link.contains(document.elementFromPoint(x + width / 2, y + height / 2));
        }""",
        arg=link.element_handle(),
    )
    return link


def assert_both_curves(page: Any) -> None:
    curves = ".js-plotly-plot path.js-line"
    page.wait_for_selector(curves, state="attached")  # a curve that is level has no height
    assert page.locator(curves).count() == 4, "two paths a curve"
