"""`make demo`: digits drawn in a real browser, by mouse and by keyboard."""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from seqmnist.cells import saved
from seqmnist.evidence.beliefs import beliefs
from seqmnist.training.runtime import start_tensorflow

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
ONE = [(0.5, 0.2), (0.5, 0.5), (0.5, 0.8)]
ZERO = [(0.5 + 0.2 * math.sin(k / 5), 0.5 - 0.3 * math.cos(k / 5)) for k in range(32)]


@pytest.fixture(scope="module")
def address(reproduced: Any, serving: Any) -> Iterator[str]:
    """What `make demo` prints."""
    with serving(reproduced, "seqmnist.demo") as output:
        found = re.search(r"http://\S+", output)
        assert found, output
        yield found[0]


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def page(request: Any, address: str, new_page: Any) -> Iterator[Any]:
    """The page; what its console said is an error of the test."""
    page, errors = new_page(request.param), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda message: errors.append(message.text) if message.type == "error" and "503" not in message.text else None,
    )
    page.goto(address)
    yield page
    assert errors == []


def draw_only(page: Any, points: list[tuple[float, float]]) -> None:
    """Draw with the mouse."""
    box = page.locator("#pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def draw(page: Any, points: list[tuple[float, float]]) -> Any:
    """Draw with the mouse; what the server answered."""
    with page.expect_response("**/read") as answered:
        draw_only(page, points)
    return answered.value.json()


def said(page: Any) -> str:
    page.wait_for_function("document.getElementById('said').textContent")
    return str(page.inner_text("#said"))


@pytest.mark.parametrize(("points", "middle"), [(ONE, True), (ZERO, False)], ids=["one", "zero"])
def test_the_cells_read_what_is_drawn(
    page: Any, reproduced: Any, points: list[tuple[float, float]], middle: bool, screenshot: Any
) -> None:
    answer = draw(page, points)

    image = np.array(answer["image"], np.uint8)
    assert bool(image[14, 14] > 128) is middle, "a one has ink in its middle, a zero has none"
    start_tensorflow(2)
    for cell in answer["cells"]:
        model, _ = saved.load(reproduced.root / "models" / cell["cell"], 42)
        expected = beliefs(model, image[None])[0]
        np.testing.assert_allclose(cell["beliefs"], expected, atol=1e-3)
        assert f"{cell['cell']}: {expected[-1].argmax()}, " in said(page)
        assert page.locator(f"[data-cell={cell['cell']}] canvas").count() == 1 + bool(cell["gates"])
    screenshot(page, f"demo-{'one' if middle else 'zero'}-{page.viewport_size['width']}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_keyboard_draws_reads_and_clears(page: Any) -> None:
    page.focus("#pad")
    for key in (*["ArrowUp"] * 6, " ", *["ArrowDown"] * 12):
        page.keyboard.press(key)
    with page.expect_response("**/read") as answered:
        page.keyboard.press(" ")
    assert np.array(answered.value.json()["image"])[14, 14] > 128
    assert "lstm: " in said(page)

    page.keyboard.press("Delete")
    assert page.inner_text("#said") == ""
    assert page.inner_text("#state") == "Cleared."
    page.keyboard.press("Enter")
    assert page.inner_text("#state") == "Nothing is drawn yet."


def test_a_held_key_does_not_flood_and_shortcuts_are_the_browser_s(page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.focus("#pad")
    page.keyboard.down(" ")
    for _ in range(5):  # as a held key repeats
        page.keyboard.down(" ")
    assert page.inner_text("#state") == "Pen down."
    page.keyboard.press("Alt+ArrowUp")
    assert page.inner_text("#state") == "Pen down."
    page.keyboard.press("ArrowUp")
    assert page.inner_text("#state") == "Column 10 and row 9 of 20, pen down."
    assert asked == []


def test_after_a_failure_no_old_answer_stands_beside_a_new_drawing(page: Any) -> None:
    draw(page, ONE)
    assert said(page)
    page.route("**/read", lambda route: route.fulfill(status=503))
    draw_only(page, ZERO)
    page.wait_for_function("document.getElementById('state').textContent.includes('did not answer')")
    assert page.inner_text("#said") == ""
    page.unroute("**/read")
    with page.expect_response("**/read"):
        page.click("#again")
    assert said(page)


def test_undo_takes_back_the_last_stroke(page: Any) -> None:
    one = draw(page, ONE)["image"]
    assert draw(page, ZERO)["image"] != one
    with page.expect_response("**/read") as answered:
        page.click("#undo")
    assert answered.value.json()["image"] == one


def test_without_models_the_user_is_told_what_to_do(unrun: Any) -> None:
    unrun.succeed("dvc", "repro", "compose")
    result = unrun.run("python", "-m", "seqmnist.demo", PYTHONPATH="src")
    assert result.code == 1
    assert "run `dvc repro`" in result.output
    assert "Traceback" not in result.output
