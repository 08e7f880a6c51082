"""Every file an audit writes, from the one result."""

from __future__ import annotations

from poolaudit.report.html import render_html
from poolaudit.report.junit import render_junit
from poolaudit.report.markdown import render_markdown
from poolaudit.report.model_card import render_model_index
from poolaudit.report.sarif import render_sarif
from poolaudit.results import AuditResult
from poolaudit.store.results import encode_result

MODEL_INDEX = "model-index.yml"
FILE_NAMES = ("result.json", "report.html", "junit.xml", "result.sarif", "summary.md", MODEL_INDEX)


def render_all(result: AuditResult) -> dict[str, bytes]:
    """File names to contents: HTML report, JSON result, JUnit XML, SARIF, Markdown summary and model-card fragment."""
    files = {
        "result.json": encode_result(result),
        # A title or file name that is no valid text (a lone surrogate) must not cost the report.
        "report.html": render_html(result).encode(errors="replace"),
        "junit.xml": render_junit(result),
        "result.sarif": render_sarif(result),
        "summary.md": render_markdown(result).encode(errors="replace"),
    }
    card = render_model_index(result)
    return files if card is None else {**files, MODEL_INDEX: card.encode(errors="replace")}
