"""`make demo`: digits drawn in a real browser, by mouse and by keyboard."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from seqmnist.cells import saved
from seqmnist.measure.beliefs import beliefs
from seqmnist.training.runtime import start_tensorflow

pytestmark = pytest.mark.slow

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
ONE = [(0.5, 0.2), (0.5, 0.5), (0.5, 0.8)]
ZERO = [(0.5 + 0.2 * math.sin(k / 5), 0.5 - 0.3 * math.cos(k / 5)) for k in range(32)]


@pytest.fixture(scope="module")
def address(reproduced: Any, serving: Any) -> Iterator[str]:
    """Yield the address that `make demo` prints."""
    with serving(reproduced, "seqmnist.demo") as output:
        found = re.search(r"http://\S+", output)
        assert found, output
        yield found[0]


@pytest.fixture
def open_demo(address: str, new_page: Any) -> Iterator[Callable[..., Any]]:
    """Yield a function that opens the page; an error in its console fails the test."""
    errors: list[str] = []

    def note(message: Any) -> None:
        if message.type == "error" and "503" not in message.text:
            errors.append(message.text)

    def open_page(viewport: dict[str, int], **options: Any) -> Any:
        page = new_page(viewport, **options)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", note)
        page.goto(address)
        return page

    yield open_page
    assert errors == []


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def page(request: Any, open_demo: Any) -> Any:
    return open_demo(request.param)


def on_pad(page: Any, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Convert points on the pad, from 0 to 1 over its width and height, to pixels of the page."""
    box = page.locator("#pad").bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]


def draw_only(page: Any, points: list[tuple[float, float]]) -> None:
    """Draw a stroke with the mouse and do not wait for an answer."""
    pixels = on_pad(page, points)
    page.mouse.move(*pixels[0])
    page.mouse.down()
    for pixel in pixels[1:]:
        page.mouse.move(*pixel, steps=3)
    page.mouse.up()


def draw(page: Any, points: list[tuple[float, float]]) -> Any:
    """Draw a stroke with the mouse and return the server's answer."""
    with page.expect_response("**/read") as answered:
        draw_only(page, points)
    return answered.value.json()


def said(page: Any) -> str:
    page.wait_for_function("document.getElementById('said').textContent", polling=50)
    return str(page.inner_text("#said"))


@pytest.mark.parametrize(("points", "middle"), [(ONE, True), (ZERO, False)], ids=["one", "zero"])
def test_the_cells_read_what_is_drawn(
    page: Any, reproduced: Any, points: list[tuple[float, float]], middle: bool, screenshot: Any
) -> None:
    answer = draw(page, points)

    image = np.array(answer["image"], np.uint8)
    assert bool(image[14, 14] > 128) is middle, "only a one has ink in the middle"
    start_tensorflow(2)
    for cell in answer["cells"]:
        model, _ = saved.load(reproduced.root / "models" / cell["cell"], 42)
        expected = beliefs(model, image[None])[0]
        np.testing.assert_allclose(cell["beliefs"], expected, atol=1e-3)
        assert f"{cell['cell']}: {expected[-1].argmax()}, " in said(page)
        assert page.locator(f"[data-cell={cell['cell']}] canvas").count() == 1 + bool(cell["gates"])
    screenshot(page, f"demo-{'one' if middle else 'zero'}-{page.viewport_size['width']}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def touch(page: Any, fingers: list[list[tuple[float, float]]]) -> None:
    """Touch the pad with one finger after another, move them together along their points, and lift them together."""
    devtools = page.context.new_cdp_session(page)
    paths = [on_pad(page, points) for points in fingers]

    def send(kind: str, places: list[tuple[float, float]]) -> None:
        points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(places)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for count in range(1, len(paths) + 1):
        send("touchStart", [path[0] for path in paths[:count]])
    for places in zip(*paths, strict=True):
        send("touchMove", list(places))
    send("touchEnd", [])


def test_one_finger_draws_and_a_second_finger_is_ignored(open_demo: Any, screenshot: Any) -> None:
    page = open_demo(PHONE, has_touch=True, is_mobile=True, device_scale_factor=3)
    with page.expect_response("**/read") as answered:
        touch(page, [ONE])
    one = answered.value.json()["image"]
    assert np.array(one)[14, 14] > 128
    assert "lstm: " in said(page)
    screenshot(page, "demo-finger")

    assert page.evaluate("document.documentElement.scrollHeight > innerHeight"), "the page is too short to scroll"
    with page.expect_response("**/read"):
        touch(page, [ONE[::-1]])  # upwards: outside the pad this scrolls the page
    assert page.evaluate("scrollY") == 0, "a finger on the pad scrolled the page"

    page.click("#clear")
    with page.expect_response("**/read") as answered:
        touch(page, [ONE, [(0.9, 0.1), (0.9, 0.5), (0.9, 0.9)]])
    assert answered.value.json()["image"] == one


def test_reduced_motion_shows_the_final_state_at_once(open_demo: Any) -> None:
    page = open_demo(DESKTOP, reduced_motion="reduce")
    page.evaluate("void (window.requestAnimationFrame = () => 0)")  # an animation would never end
    draw(page, ZERO)
    assert "lstm: " in said(page)


def test_a_table_shows_the_numbers_of_each_step(page: Any, screenshot: Any) -> None:
    cell = draw(page, ZERO)["cells"][1]
    said(page)
    page.click("text=numbers of the lstm")

    rows = page.locator("[data-cell=lstm] table tr")
    texts = [row.split() for row in rows.all_inner_texts()]
    assert texts[0][0] == "row"
    assert [int(row[0]) for row in texts[1:]] == list(range(28))
    assert [int(row[1]) for row in texts[1:]] == np.argmax(cell["beliefs"], axis=1).tolist()
    assert [float(row[4]) for row in texts[1:]] == pytest.approx(cell["gates"]["input gate"], abs=0.00501)
    screenshot(page, f"demo-numbers-{page.viewport_size['width']}")
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


def test_a_held_key_sends_no_requests_and_shortcuts_are_left_to_the_browser(page: Any) -> None:
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


def test_after_a_failed_request_the_old_answer_is_removed(page: Any) -> None:
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


def test_undo_removes_the_last_stroke(page: Any) -> None:
    one = draw(page, ONE)["image"]
    assert draw(page, ZERO)["image"] != one
    with page.expect_response("**/read") as answered:
        page.click("#undo")
    assert answered.value.json()["image"] == one


def test_without_models_the_error_names_the_command_to_run(unrun: Any) -> None:
    unrun.succeed("dvc", "repro", "compose")
    result = unrun.run("python", "-m", "seqmnist.demo", PYTHONPATH="src")
    assert result.code == 1
    assert "run `dvc repro`" in result.output
    assert "Traceback" not in result.output
