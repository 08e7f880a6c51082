"""A finding: what one detector concluded, with its evidence and what to do about it."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from poolaudit.outcomes import Outcome, Severity

_CODE = re.compile(r"PA[1-5]\d\d")
_SECTIONS = {"Why": "why", "How": "how", "Do": "do", "False alarm": "false_alarm"}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of evidence: a label and its value, both ready to show."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing a finding accuses, by a name that another run would give it: a class, a site, a layer, a leaked item.

    Evidence is what a reader sees of it, and is cut short; subjects are complete, and what results are compared by.

    Attributes:
        is_shown: False where the charge is open: the evidence leaves room for it.
        metric: The rate the charge rests on ("recall", "precision", "accuracy"), `hits` of `items`; empty without one.
        extent: How much is wrong, as an interval; a share that was counted has equal ends. Larger is worse.
    """

    name: str
    is_shown: bool = True
    metric: str = ""
    hits: int = 0
    items: int = 0
    extent: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class CheckDoc:
    """The documentation of a check, read from its docstring.

    `title` is a statement that holds when the check passes.
    """

    code: str
    title: str
    why: str
    how: str
    do: str
    false_alarm: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, stable in its code.

    Attributes:
        summary: One sentence a manager understands; for outcomes other than PASSED and FAILED, the reason.
        evidence: The numbers behind the summary.
        subjects: All that is accused, where the check accuses single things; empty where it is about the whole.
        would_change: What would turn the outcome around or decide it; None where the check passed.
    """

    code: str
    title: str
    outcome: Outcome
    severity: Severity
    summary: str
    evidence: tuple[Fact, ...] = ()
    would_change: str | None = None
    why: str = ""
    how: str = ""
    do: str = ""
    false_alarm: str = ""
    subjects: tuple[Subject, ...] = ()

    @property
    def is_open(self) -> bool:
        """True where the check found something or could not tell."""
        return self.outcome in (Outcome.FAILED, Outcome.UNDECIDED, Outcome.CRASHED)


def document_check(code: str, function: object) -> CheckDoc:
    """Reads the sections Why, How, Do and False alarm from a check's docstring.

    Raises:
        ValueError: The code is malformed or a section is missing: an undocumented check does not register.
    """
    if not _CODE.fullmatch(code):
        raise ValueError(f"finding code {code!r} is not of the form PA1xx to PA5xx")
    text = inspect.getdoc(function) or ""
    title, _, body = text.partition("\n")
    sections = dict.fromkeys(_SECTIONS.values(), "")
    current = None
    for line in body.splitlines():
        head, colon, rest = line.partition(":")
        if colon and head in _SECTIONS:
            current, line = _SECTIONS[head], rest
        if current:
            sections[current] = f"{sections[current]} {line.strip()}".strip()
    missing = [name for name, field in _SECTIONS.items() if not sections[field]]
    if not title or missing:
        raise ValueError(f"the docstring of {code} lacks: {', '.join(missing) or 'a title'}")
    return CheckDoc(code=code, title=title.strip().rstrip("."), **sections)
