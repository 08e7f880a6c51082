"""Input cells that cannot change the output."""

from __future__ import annotations

from poolaudit.evidence.geometry import GeometryEvidence, InputCoverage
from poolaudit.evidence.wording import percent
from poolaudit.findings import Fact, Subject
from poolaudit.outcomes import Outcome, Severity
from poolaudit.pitfalls.detector import Judgement, detector
from poolaudit.policy import Policy
from poolaudit.results import Evidence

# A blind frame below this share is a rounding of the architecture: one column of 224 is 0.4 %.
_SERIOUS_SHARE = 0.10
# Where test items show what the blind cells hold, this decides instead: share of the items' variance.
_SERIOUS_VARIANCE = 0.05


@detector("PA301", Severity.MAJOR)
def every_input_cell_counts(evidence: Evidence, policy: Policy) -> Judgement:
    """Every input cell can change the output.

    Why: What lies in a blind spot is missed whatever the training: a lesion in the last column, an event in the last
        samples. No metric shows it while the test data keep their objects in the middle.
    How: The dependence of every map on the input is followed exactly through the model's graph: windows, strides,
        padding, cropping, branches. Cells from which no way leads to any output are blind. The audit overwrites them
        in real items and checks that the model's output stays the same to the last bit, and that neighbours change
        it. Of the other cells it asks the model for a gradient, and overwrites those that show none: cells that never
        change the output though a way leads from them (weights of 0, a mask in an attention, dead units) leave the
        check undecided. Major where the blind cells hold 5 % or more of the test items' variance, or without test items
        are 10 % or more of the cells; minor below.
    Do: Pad so that windows end with the map (padding="same", or ZeroPadding before a VALID pool), choose input sizes
        that the strides divide, and keep strides no larger than windows.
    False alarm: A blind frame that never holds anything, because the data are framed that way.
    """
    geometry = evidence.geometry
    if geometry is None or not geometry.coverage:
        return _not_measured(geometry)
    guilty = [entry for entry in geometry.coverage if entry.blind or entry.blind_channels]
    facts = tuple(_fact(entry) for entry in geometry.coverage)
    if not guilty:
        return _none_blind(geometry, facts)
    worst = max(guilty, key=lambda entry: entry.blind)
    refuted = [e for e in guilty if e.proof is not None and (e.proof.unchanged == 0 or _is_large(e))]
    if refuted:
        return Judgement(
            Outcome.UNDECIDED,
            f"The graph says that {worst.blind:,} cells are blind, and the model changed its output when they were "
            "overwritten; one of the two is wrong.",
            facts,
            "A report of this model to the authors of poolaudit.",
            subjects=_subjects(guilty, is_shown=False),
        )
    serious = any(_is_serious(entry) for entry in guilty)
    return Judgement(
        Outcome.FAILED,
        _summary(worst),
        facts,
        "A model in which windows and strides leave no cell out.",
        None if serious else Severity.MINOR,
        _subjects(guilty),
    )


def _none_blind(geometry: GeometryEvidence, facts: tuple[Fact, ...]) -> Judgement:
    silent = [entry for entry in geometry.coverage if entry.answers is not None and entry.answers.silent]
    if silent:
        worst = max(silent, key=lambda entry: entry.answers.silent if entry.answers is not None else 0)
        proof = worst.answers
        assert proof is not None
        serious = proof.silent / worst.cells >= _SERIOUS_SHARE
        subjects = tuple(
            Subject(entry.name, is_shown=False, extent=_counted(entry.answers.silent / entry.cells))
            for entry in silent
            if entry.answers is not None
        )
        if proof.silent == worst.cells:
            return Judgement(
                Outcome.UNDECIDED,
                f"A way leads from every cell of {worst.name!r} to the output, but on {proof.items} items no cell had "
                "a gradient, and overwriting all of them changed nothing: the output may answer to nothing.",
                facts,
                "A look at what stands between this input and the output: weights of 0, dead units, a saturated head.",
                subjects=subjects,
            )
        return Judgement(
            Outcome.UNDECIDED,
            f"A way leads from every input cell to the output, but {proof.silent:,} of {worst.cells:,} cells "
            f"({percent(proof.silent / worst.cells)}) showed no gradient and changed nothing when overwritten in "
            f"{proof.items} items: {'; '.join(proof.silent_where)}.",
            facts,
            "A look at what stands between these cells and the output: a constant mask, weights of 0, dead units.",
            None if serious else Severity.MINOR,
            subjects,
        )
    untried = [entry for entry in geometry.coverage if _untried_share(entry) >= _SERIOUS_SHARE]
    doubt = next((entry.doubt for entry in geometry.coverage if entry.doubt), None)
    if doubt is None and untried and untried[0].answers is not None:
        return Judgement(
            Outcome.UNDECIDED,
            f"A way leads from every cell of {untried[0].name!r} to the output, but {untried[0].answers.unsettled:,} "
            "cells showed no gradient and answered only together with others when they were overwritten.",
            facts,
            "Test items on which more of the cells matter (`poolaudit audit`).",
            Severity.MINOR,
            tuple(Subject(entry.name, is_shown=False) for entry in untried),
        )
    if doubt is None:
        asked = all(entry.answers is not None for entry in geometry.coverage)
        return Judgement(
            Outcome.PASSED,
            "From every input cell a way leads to the output"
            + (", and the model itself answered to each." if asked else "; the model itself could not be asked."),
            facts,
        )
    if all(entry.answers is not None and not entry.answers.unsettled for entry in geometry.coverage):
        return Judgement(
            Outcome.PASSED,
            "Every input cell can change the output: parts of the graph could not be followed, and the model itself "
            "answered to each cell.",
            (*facts, Fact("Not followed", doubt)),
        )
    return Judgement(
        Outcome.UNDECIDED,
        f"No blind cell was found, but parts of the graph could not be followed and were taken to read everything: "
        f"{doubt}.",
        facts,
        "A model whose operations can be followed, or a look at this part by hand.",
        Severity.MINOR,
        tuple(Subject(entry.name, is_shown=False) for entry in geometry.coverage if entry.doubt),
    )


def _subjects(entries: list[InputCoverage], *, is_shown: bool = True) -> tuple[Subject, ...]:
    blind = [Subject(e.name, is_shown, extent=_counted(e.blind_share)) for e in entries if e.blind]
    return (*blind, *(Subject(f"channel {c} of {e.name}", is_shown) for e in entries for c in e.blind_channels))


def _counted(share: float) -> tuple[float, float]:
    return share, share


def _untried_share(entry: InputCoverage) -> float:
    return 0.0 if entry.answers is None else entry.answers.unsettled / entry.cells


def _is_serious(entry: InputCoverage) -> bool:
    if entry.blind_variance is not None:
        return entry.blind_variance >= _SERIOUS_VARIANCE
    return entry.blind_share >= _SERIOUS_SHARE


def _is_large(entry: InputCoverage) -> bool:
    """More than another order of floating point sums can do."""
    return entry.proof is not None and entry.proof.unchanged < entry.proof.items and entry.proof.largest_change > 1e-5


def _summary(entry: InputCoverage) -> str:
    if not entry.blind:
        count = len(entry.blind_channels)
        return f"{count} of the input's channels {'is' if count == 1 else 'are'} never read: {_listed(entry)}."
    held = ""
    if entry.blind_variance is not None:
        held = f" They hold {percent(entry.blind_variance)} of the variance of the test items."
    proof = ""
    if entry.proof is not None and entry.proof.unchanged == entry.proof.items:
        proof = (
            f" Overwriting them left the output of {entry.proof.items} {entry.proof.inputs} the same to the last bit"
            f" (overwriting their neighbours changed it for {entry.proof.neighbours_changed})."
        )
    return (
        f"{entry.blind:,} of {entry.cells:,} input cells ({percent(entry.blind_share)}) cannot change the output: "
        f"{'; '.join(entry.blind_where)}.{held}{proof}"
    )


def _listed(entry: InputCoverage) -> str:
    shown = ", ".join(str(channel) for channel in entry.blind_channels[:8])
    return shown if len(entry.blind_channels) <= 8 else f"{shown} and {len(entry.blind_channels) - 8} more"


def _fact(entry: InputCoverage) -> Fact:
    where = f" ({'; '.join(entry.blind_where)})" if entry.blind_where else ""
    channels = f"; channels never read: {_listed(entry)}" if entry.blind_channels else ""
    sizes = " × ".join(str(size) for size in entry.sizes)
    return Fact(
        f"Blind cells of {entry.name!r}, {sizes}",
        f"{'at least ' if entry.doubt else ''}{entry.blind:,} of {entry.cells:,}, {percent(entry.blind_share)}"
        f"{where}{channels}",
    )


def _not_measured(geometry: GeometryEvidence | None) -> Judgement:
    if geometry is None:
        return Judgement(Outcome.SKIPPED, "The model's graph was not looked at in this run.")
    reason = geometry.fields_reason or "this run only listed the pooling sites"
    return Judgement(Outcome.SKIPPED, f"What the network sees of its input is not known: {reason}.")
