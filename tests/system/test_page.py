"""reports/index.html and the page of `dvc plots`, in a real browser without a network."""

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def opened(request: Any, new_page: Any, reproduced: Any, screenshot: Any) -> tuple[Any, list[str], list[str]]:
    """Open the page from its file; return it with the addresses that it requested and its errors."""
    page = new_page(request.param, offline=True)
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda one: requests.append(one.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto((reproduced.root / "reports" / "index.html").as_uri())
    page.wait_for_function(
        "document.querySelectorAll('.chart svg').length === document.querySelectorAll('.chart').length"
    )
    screenshot(page, f"evidence-{request.param['width']}")
    return page, requests, errors


def test_the_page_loads_nothing_else_and_shows_the_verdicts(opened: Any, reproduced: Any) -> None:
    page, (itself, *others), errors = opened
    assert itself.endswith("reports/index.html")
    assert [one for one in others if not one.startswith("data:")] == []
    assert errors == []
    shown = [element.get_attribute("data-verdict") for element in page.query_selector_all("[data-verdict]")]
    claims = json.loads(Path(reproduced.root / "reports" / "metrics.json").read_text(encoding="utf-8"))["claims"]
    assert shown == [claim["verdict"] for claim in claims.values()]
    assert len(shown) == 3


def test_the_page_fits_the_screen_and_every_picture_has_an_alternative_text(opened: Any) -> None:
    page, _, _ = opened
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for picture in page.query_selector_all("img"):
        assert len(picture.get_attribute("alt")) > 20
        assert picture.evaluate("one => one.naturalWidth > 0")
    assert all(chart.get_attribute("aria-label") for chart in page.query_selector_all(".chart"))


def test_choosing_another_metric_redraws_the_chart_of_curves(opened: Any) -> None:
    page, _, _ = opened
    drawn = page.inner_html("#curves svg")
    page.select_option("#curves select", "training accuracy")
    page.wait_for_function("before => document.querySelector('#curves svg').innerHTML !== before", arg=drawn)


def test_dvcs_plots_are_drawn_without_a_network(
    new_page: Any, reproduced: Any, screenshot: Any, tmp_path: Path
) -> None:
    reproduced.succeed("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    page = new_page(DESKTOP, offline=True)
    requests: list[str] = []
    page.on("request", lambda one: requests.append(one.url))
    page.goto((tmp_path / "plots" / "index.html").as_uri())
    charts = len(page.query_selector_all("body > div"))
    page.wait_for_function("charts => document.querySelectorAll('.vega-embed svg.marks').length === charts", arg=charts)
    screenshot(page, "dvc-plots")
    assert charts == 4  # validation accuracy, training loss, and each cell's confusion matrix
    assert [one for one in requests if not one.startswith(("data:", "file:"))] == []
