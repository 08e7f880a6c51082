"""AuditResult as a Markdown summary for a CI job page or a pull request."""

from __future__ import annotations

import re

from poolaudit.evidence.wording import interval, percent
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome
from poolaudit.report.blocks import SYMBOLS, Note, Table
from poolaudit.report.charts.chart import legible
from poolaudit.report.compare import Comparison
from poolaudit.report.machine import standing, void_acceptances
from poolaudit.report.page import build_diff_page
from poolaudit.results import AuditResult

# A pull-request comment may hold 65,536 characters, a job summary 1 MiB.
_LONGEST = 60_000
# Besides Markdown's own signs: mentions, emoji codes and addresses that would turn into links.
_ACTIVE = re.compile(r"([\\`*_{}\[\]<>#!|~@&$]|:(?=\S)|(?<=www)\.|^[-+](?=\s))")


def render_markdown(result: AuditResult) -> str:
    """Verdict, reasons, open checks, counts and what was not assessed; at most 60,000 characters.

    Whatever a user could have named (classes, files, layers) is escaped: it neither formats, links nor mentions.
    """
    lines = [f"## {result.verdict.value.replace('_', ' ')}: {plain(result.title)}", ""]
    lines += [f"Not run: {', '.join(result.stages_not_run)}.\n"] if result.stages_not_run else []
    lines += [f"> {plain(note)}\n" for note in (*result.notes, *void_acceptances(result))]
    lines += [f"{number}. {plain(reason)}" for number, reason in enumerate(result.decision.reasons[:3], start=1)]
    more = len(result.decision.reasons) - 3
    lines += [f"\nand {more} more in the report."] if more > 0 else []
    if result.decision.would_change:
        lines += ["", "**What would change it**", ""]
        lines += [f"- {plain(change)}" for change in result.decision.main_changes]
    lines += _metrics(result)
    counts = {outcome: sum(f.outcome is outcome for f in result.findings) for outcome in Outcome}
    lines += ["", "**Checks**: " + ", ".join(f"{SYMBOLS[o]} {n} {o.value.lower()}" for o, n in counts.items()), ""]
    lines += _checks([f for f in result.findings if f.outcome is not Outcome.PASSED], result)
    if result.not_assessed:
        lines += ["", f"<details><summary>Not assessed ({len(result.not_assessed)})</summary>", ""]
        lines += [f"- **{plain(item.what)}**: {plain(item.reason)}" for item in result.not_assessed]
        lines += ["", "</details>"]
    return _cut("\n".join(lines) + "\n")


def render_comparison_markdown(comparison: Comparison) -> str:
    """The comparison of two results for a CI job page or a pull request; at most 60,000 characters."""
    page = build_diff_page(comparison)
    lines = [f"## {page.verdict}: {plain(page.title)}", "", page.lead, ""]
    lines += [f"> {plain(note)}\n" for note in page.notes]
    lines += [f"- {line}" for line in page.counts]
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                lines += ["", f"### {plain(block.title)}", "", "| " + " | ".join(block.columns) + " |"]
                lines += ["|" + " --- |" * len(block.columns)]
                lines += ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in block.rows]
            elif isinstance(block, Note):
                lines += ["", plain(block.text)]
    return _cut("\n".join(lines) + "\n")


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _ACTIVE.sub(r"\\\1", " ".join(legible(text).split()))


def _metrics(result: AuditResult) -> list[str]:
    evaluation = result.evidence.evaluation
    if evaluation is None:
        return []
    rows = [("Accuracy", evaluation.accuracy)]
    for c in evaluation.per_class:
        if evaluation.positive in (None, c.name) and len(rows) < 21:
            rows += [(f"Recall of {c.name!r}", c.recall), (f"Precision of {c.name!r}", c.precision)]
    lines = ["", "| Metric | Value | Interval | n |", "| --- | --- | --- | --- |"]
    return lines + [
        f"| {plain(name)} | {percent(e.value)} | {interval(e, as_percent=True)} | {e.n:,} |" for name, e in rows
    ]


def _checks(findings: list[Finding], result: AuditResult) -> list[str]:
    if not findings:
        return []
    lines = ["| Outcome | Check | What was found |", "| --- | --- | --- |"]
    return lines + [
        f"| {SYMBOLS[f.outcome]} {plain(standing(f, result))} | {f.code} {plain(f.title)} | {plain(f.summary)} |"
        for f in findings
    ]


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    kept = text[:_LONGEST].rpartition("\n")[0]
    # An open disclosure would swallow whatever the page shows after this summary.
    closing = "\n\n</details>" if kept.count("<details>") > kept.count("</details>") else ""
    return f"{kept}{closing}\n\nCut here; the rest stands in the report.\n"
