import re
from pathlib import Path

from dvc_render.html import HTML

from seqmnist.report.plots_template import write


def test_dvc_puts_its_plots_into_a_page_that_asks_the_web_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "plots.html"
    write(path)
    page = HTML(path.read_text(encoding="utf-8"), refresh_seconds=5)
    text = page.with_scripts('<script src="https://example.org/vega"></script>').with_element("<p>a plot</p>").embed()
    assert text.count("<p>a plot</p>") == 1
    assert text.count('http-equiv="refresh"') == 1
    assert "vegaEmbed" in text
    assert re.findall(r"<(?:script|link)[^>]*(?:src|href)=\"(.*?)\"", text) == ["data:,"]
