"""reports/plots.html: the page that `dvc plots` fills. It embeds Vega, which DVC's own page loads from the web."""

from pathlib import Path

from accord.files import write_text
from seqmnist.report.page import vega_library

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<link rel="icon" href="data:,">
<title>DVC plots</title>
<style>table { border-spacing: 15px; }</style>
<script>LIBRARY</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def write(path: Path) -> None:
    """Write the page. DVC replaces `{plot_divs}` by its plots."""
    write_text(path, _PAGE.replace("LIBRARY", vega_library()))
