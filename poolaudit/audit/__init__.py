"""AuditPlan to AuditResult: loads the subject, runs the stages, judges what they found."""

from poolaudit.audit.judging import judge_again, judge_part
from poolaudit.audit.plan import BUDGETS, STAGES, AuditPlan
from poolaudit.audit.run import AuditInterruptedError, run_audit
from poolaudit.audit.stored import judge_stored

__all__ = [
    "BUDGETS",
    "STAGES",
    "AuditInterruptedError",
    "AuditPlan",
    "judge_again",
    "judge_part",
    "judge_stored",
    "run_audit",
]
