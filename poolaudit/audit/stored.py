"""A stored result is believed as far as its evidence bears it out: it is checked, and judged again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from poolaudit.audit.judging import judge_again, short_title
from poolaudit.results import AuditResult
from poolaudit.store.consistency import require_coherent

_ONLY_STATED = "it stands in the stored result alone; give the baseline with --baseline to count it"


def judge_stored(stored: AuditResult, origin: str) -> AuditResult:
    """The result as its evidence and its own policy have it, with a note where the file said otherwise.

    Acceptances in the file are shown and do not count: anyone can write them there.

    Raises:
        InvalidInputError: Intervals in the evidence are not those of its counts.
    """
    require_coherent(next(_contradictions(stored), ""), origin)
    judged = judge_again(stored, stored.policy)
    return replace(
        judged,
        title=short_title(stored.title),
        accepted=tuple(replace(a, void_because=a.void_because or _ONLY_STATED) for a in stored.accepted),
        notes=tuple(_differences(stored, judged)),
    )


def _differences(stored: AuditResult, judged: AuditResult) -> Iterator[str]:
    if stored.verdict is not judged.verdict:
        yield (
            f"The file says {_words(stored.verdict)}; judged again from its evidence the result is "
            f"{_words(judged.verdict)}."
        )
    said = {finding.code: (finding.outcome, finding.severity) for finding in stored.findings}
    found = {finding.code: (finding.outcome, finding.severity) for finding in judged.findings}
    other = sorted(code for code in said.keys() | found.keys() if said.get(code) != found.get(code))
    if other:
        yield (
            f"The file's findings are not those of its evidence, judged by this version: {', '.join(other)}. "
            "It was edited, or written by another version."
        )


def _contradictions(stored: AuditResult) -> Iterator[str]:
    # Imported here: what of a result is shown and not judged needs no statistics.
    from poolaudit.evaluation.coherence import contradictions_in

    evaluation, policy = stored.evidence.evaluation, stored.policy
    if evaluation is not None:
        yield from contradictions_in(evaluation, policy.confidence, policy.good_recall)
    leak = stored.evidence.leakage
    if leak is not None and leak.impact.evaluation is not None:
        yield from contradictions_in(leak.impact.evaluation, policy.confidence, policy.good_recall, with_curves=False)


def _words(verdict: object) -> str:
    return str(verdict).replace("_", " ")
