"""Page to HTML: one file that opens offline; its script only adds comfort."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2
import markupsafe

import poolaudit.report
from poolaudit.report.charts.chart import legible
from poolaudit.report.compare import Comparison
from poolaudit.report.page import (
    DiffPage,
    Page,
    SessionEntry,
    SessionGap,
    SessionPage,
    build_diff_page,
    build_page,
    build_session_page,
)
from poolaudit.results import AuditResult

_CODE = re.compile(r"""(?<![\w'"`])`([^`]+)`""")


def render_html(result: AuditResult) -> str:
    """The report as one self-contained HTML document; the same result renders to the same text."""
    return _render("report.html", build_page(result))


def render_comparison_html(comparison: Comparison) -> str:
    """The comparison of two results as one self-contained HTML document."""
    return _render("diff.html", build_diff_page(comparison))


def render_session_html(
    entries: Sequence[SessionEntry], gaps: Sequence[SessionGap] = (), notes: Sequence[str] = ()
) -> str:
    """The overview of a test session; each result's own report lies in its folder beside it."""
    return _render("session.html", build_session_page(entries, gaps, notes))


def _render(template: str, page: Page | DiffPage | SessionPage) -> str:
    folder = _template_folder()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = _prose
    # Style sheet and script are ours and read from the package; they go in as they are. The page's policy lets this
    # script run, known by its hash, and no other.
    script = (folder / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals["style"] = markupsafe.Markup((folder / "report.css").read_text(encoding="utf-8"))
    environment.globals["script"] = markupsafe.Markup(script)
    environment.globals["script_hash"] = f"sha256-{digest}"
    return legible(environment.get_template(template).render(page=page))


def _prose(text: str) -> markupsafe.Markup:
    """Text with `code` between backticks set as code; everything is escaped.

    Backticks within a word or at the beginning of a quoted name are the name's own and stay.
    """
    if text.count("`") % 2:
        return markupsafe.escape(text)
    code = markupsafe.Markup("<code>{}</code>")
    parts = _CODE.split(text)  # plain, code, plain, ...
    return markupsafe.Markup("").join(
        code.format(part) if index % 2 else markupsafe.escape(part) for index, part in enumerate(parts)
    )


def _template_folder() -> Path:
    """Where the templates are: inside the installed package, or beside it in a checkout."""
    package = Path(poolaudit.report.__file__).parent
    candidates = (package / "templates", package.parent.parent / "reports" / "templates")
    for folder in candidates:
        if (folder / "report.html").is_file():
            return folder
    raise FileNotFoundError("poolaudit's report templates are not installed")
