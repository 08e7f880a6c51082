"""Page to HTML: one file, offline, without a script."""

from __future__ import annotations

from pathlib import Path

import jinja2
import markupsafe

import poolaudit.report
from poolaudit.report.charts.chart import legible
from poolaudit.report.page import build_page
from poolaudit.results import AuditResult


def render_html(result: AuditResult) -> str:
    """The report as one self-contained HTML document; the same result renders to the same text."""
    folder = _template_folder()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = _prose
    # The style sheet is ours and read from the package; it goes in as it is.
    environment.globals["style"] = markupsafe.Markup((folder / "report.css").read_text(encoding="utf-8"))
    return legible(environment.get_template("report.html").render(page=build_page(result)))


def _prose(text: str) -> markupsafe.Markup:
    """Text with `code` between backticks set as code; everything is escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return markupsafe.escape(text)
    code, plain = markupsafe.Markup("<code>{}</code>"), markupsafe.Markup("{}")
    return markupsafe.Markup("").join((code if index % 2 else plain).format(part) for index, part in enumerate(parts))


def _template_folder() -> Path:
    """Where the templates are: inside the installed package, or beside it in a checkout."""
    package = Path(poolaudit.report.__file__).parent
    candidates = (package / "templates", package.parent.parent / "reports" / "templates")
    for folder in candidates:
        if (folder / "report.html").is_file():
            return folder
    raise FileNotFoundError("poolaudit's report templates are not installed")
