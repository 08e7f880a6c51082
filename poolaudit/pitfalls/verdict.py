"""From findings to the verdict: what decided it and what would change it."""

from __future__ import annotations

from collections.abc import Sequence

from poolaudit.evidence.wording import counted
from poolaudit.findings import Finding
from poolaudit.outcomes import Outcome, Severity, Verdict
from poolaudit.results import AuditResult, Decision, StageResult

# Where inputs are scaled or classes ordered otherwise than the model has it, all further numbers follow from that.
_CAUSES = ("PA210", "PA211")


def decide(findings: Sequence[Finding], stages: Sequence[StageResult]) -> tuple[Verdict, Decision]:
    """The verdict and its reasons.

    NOT_READY where a critical check failed; NEEDS_REVIEW where a major one failed; INCONCLUSIVE where nothing failed
    but a check of major or higher severity is undecided or crashed, a stage crashed, no check passed at all, or no
    prediction was evaluated (layers alone, without a model, need none); READY otherwise. Minor findings never change
    the verdict. Skipped checks do not either: they stand among what was not assessed.
    """
    failed = [f for f in findings if f.outcome is Outcome.FAILED and f.severity.at_least(Severity.MAJOR)]
    unclear = [
        f for f in findings if f.outcome in (Outcome.UNDECIDED, Outcome.CRASHED) and f.severity.at_least(Severity.MAJOR)
    ]
    crashed = [stage for stage in stages if stage.outcome is Outcome.CRASHED]
    passed = [f for f in findings if f.outcome is Outcome.PASSED]
    crash_reasons = tuple(f"The stage {stage.name!r} did not finish: {stage.reason}" for stage in crashed)
    if failed:
        critical = any(f.severity is Severity.CRITICAL for f in failed)
        return (
            Verdict.NOT_READY if critical else Verdict.NEEDS_REVIEW,
            _decision(sorted(failed, key=lambda f: (f.code not in _CAUSES, f.severity.rank)), crash_reasons, unclear),
        )
    if unclear or crashed:
        return Verdict.INCONCLUSIVE, _decision(unclear, crash_reasons)
    if [stage.name for stage in stages] == ["benchmarks"]:
        return Verdict.INCONCLUSIVE, Decision(
            ("Speed was measured, and nothing else.",), (), ("An audit of the model with test data.",)
        )
    if not passed:
        return Verdict.INCONCLUSIVE, Decision(("No check could be carried out.",), (), ("Data or a model to check.",))
    if not _looked_at_predictions(stages):
        return Verdict.INCONCLUSIVE, Decision(
            (
                "No prediction was evaluated, so nothing is known of accuracy, recall and precision.",
                _of_the_rest(passed, [f for f in findings if f.is_open]),
            ),
            (),
            ("An audit with test data and the evaluation stage.",),
        )
    # The demands met one by one tell more than the absence of the grossest traps, so those of major severity lead.
    weighty = [f for f in passed if f.severity.at_least(Severity.MAJOR)]
    major = sorted(weighty, key=lambda f: (-f.severity.rank, f.code))
    return Verdict.READY, Decision(
        tuple(f.summary for f in major) or ("Nothing of weight was found.",),
        tuple(f.code for f in major),
        ("Any failed check, and anything listed as not assessed.",),
    )


def _of_the_rest(passed: Sequence[Finding], minor: Sequence[Finding]) -> str:
    if not minor:
        return f"The {counted(len(passed), 'check')} that could be made found nothing against the model."
    count = len(passed) + len(minor)
    return f"Of the {count} checks that could be made {len(passed)} passed; {', '.join(f.code for f in minor)} did not."


def _looked_at_predictions(stages: Sequence[StageResult]) -> bool:
    """True where the evaluation ran, or where only layers were asked about, which have no predictions."""
    only_layers = [stage.name for stage in stages] == ["conformance"]
    return only_layers or any(s.name == "evaluation" and s.outcome is Outcome.PASSED for s in stages)


def fails_release(result: AuditResult) -> bool:
    """True where a finding breaks the build, a stage crashed, or checks were asked for and none could be made."""
    crashed = any(stage.outcome is Outcome.CRASHED for stage in result.stages)
    return crashed or result.nothing_was_checked or any(map(result.breaks_the_build, result.findings))


def _decision(findings: Sequence[Finding], further: tuple[str, ...], still_unclear: Sequence[Finding] = ()) -> Decision:
    changes = list(dict.fromkeys(f.would_change for f in findings if f.would_change))
    if still_unclear:
        # Who cures what failed is not ready yet.
        one = len(still_unclear) == 1
        changes.append(
            f"Not yet by that alone: {', '.join(f.code for f in still_unclear)} "
            f"{'is' if one else 'are'} not decided and would have to be as well."
        )
    return Decision(
        reasons=tuple(f.summary for f in findings) + further,
        decided_by=tuple(f.code for f in findings),
        would_change=tuple(changes),
    )
