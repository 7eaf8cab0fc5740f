"""MLflow's page in a real browser: a user compares the cells by clicks and by the links of `make ui`."""

import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.slow

WIDE = {"width": 1600, "height": 1100}  # wide enough beside MLflow's assistant, which covers the right side
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def links(reproduced: Any, serving: Any) -> Iterator[dict[str, str]]:
    """Yield the addresses that `make ui` prints, by their captions."""
    with serving(reproduced, "seqmnist.ui") as output:
        yield dict(re.findall(r"^  (.+): (http://\S+)$", output, re.MULTILINE))


def run_ids(link: str) -> list[str]:
    return re.findall(r"[0-9a-f]{32}", urllib.parse.unquote(link))


def test_ticking_two_runs_and_pressing_compare_shows_both(
    links: dict[str, str], new_page: Any, reproduced: Any, screenshot: Any
) -> None:
    page = new_page(WIDE)
    page.goto(links["all runs"])
    compare = page.get_by_test_id("runs-compare-button")
    for run_id in run_ids(links["rnn and lstm compared"]):
        row = page.locator(f'a[href*="{run_id}"]').first.locator("xpath=ancestor::*[@row-index]").first
        row.locator('input[aria-label^="Press Space to toggle row selection"]').click()
        compare.wait_for()  # the button appears with the first tick and moves the rows
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
    for cell in ("rnn", "lstm"):  # both are in the legend of one chart
        page.get_by_text(f"train@{cell} (val.accuracy)").wait_for()
    screenshot(page, "mlflow-charts")


def test_the_experiments_description_says_how_to_compare_the_cells(
    links: dict[str, str], new_page: Any, screenshot: Any
) -> None:
    page = new_page(WIDE)
    page.goto(links["all runs"])
    page.get_by_text("Compare the cells").first.wait_for()
    page.get_by_text("train@rnn", exact=True).first.wait_for()
    screenshot(page, "mlflow-experiment")


def scroll_to_metric(page: Any, name: str, first: str) -> Any:
    """Scroll to a metric's link in the table of two compared runs; return the link once it accepts clicks.

    After the table notices a scroll, it ignores clicks for 150 ms. Playwright's click scrolls and presses at once, so
    it would be lost if the table noticed the scroll before the mouse button is released.

    Args:
        page: Page that compares two runs.
        name: Name of the metric, far down in the table.
        first: Name of the first metric in the table; its link disappears when the table has noticed the scroll.
    """
    link = page.get_by_role("link", name=name, exact=True)
    link.scroll_into_view_if_needed()
    page.get_by_role("link", name=first, exact=True).wait_for(state="detached")  # now the table has noticed the scroll
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
    page.wait_for_selector(curves, state="attached")  # not `visible`: a flat curve has no height
    assert page.locator(curves).count() == 4, "Plotly draws two paths for each curve"
