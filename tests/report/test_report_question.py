"""Pairs of runs made to be misread: what is worse, lost or asked otherwise is never fine, and chance is no alarm."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from report_examples import result_of

from poolaudit.audit import judge_again
from poolaudit.baseline import accept, apply_baseline, encode_baseline
from poolaudit.outcomes import Outcome
from poolaudit.policy import Policy
from poolaudit.report.changes import Change
from poolaudit.report.compare import Comparison, compare
from poolaudit.report.html import render_comparison_html
from poolaudit.report.markdown import render_comparison_markdown
from poolaudit.results import AuditResult, StageResult
from specimens.outcomes import from_confusion, scored_counts

LAX, STRICT = Policy(good_recall=0.3, bad_recall=0.2), Policy(good_recall=0.98)
DAY = datetime.date(2999, 1, 1)


@dataclass(frozen=True)
class Run:
    """Hits and items of each class; what is missed is called "sink", a class of 500 items that are all found
    but for those that are called by the name of the first."""

    classes: dict[str, tuple[int, int]]
    positive: str | None = None
    policy: Policy = field(default_factory=Policy)
    sink: str = "sink"
    sink_as_a: int = 0

    def result(self) -> AuditResult:
        names = [*self.classes, self.sink]
        counts = np.zeros((len(names), len(names)), np.int64)
        for index, (hits, items) in enumerate(self.classes.values()):
            counts[index, index], counts[index, -1] = hits, items - hits
        counts[-1, -1] = 500 - self.sink_as_a
        counts[-1, 0] += self.sink_as_a
        judged = result_of(from_confusion(counts, names), self.positive)
        return judge_again(judged, self.policy)


def many(failing: int, of: int = 30, hits: int = 100, first: int = 0) -> dict[str, tuple[int, int]]:
    """`of` classes of 200 items; `failing` of them, from `first` on, have this many hits and the others 198."""
    return {f"c{i:02}": (hits if first <= i < first + failing else 198, 200) for i in range(of)}


A50, A99, B50, B99 = (100, 200), (198, 200), (100, 200), (198, 200)
BASE = Run({"a": A50, "b": B99})

GUILTY = {
    "another class as well": (BASE, Run({"a": A50, "b": B50}), "PA204", Change.WORSE),
    "another class instead": (BASE, Run({"a": A99, "b": B50}), "PA204", Change.WORSE),
    "the same class, less of it": (BASE, Run({"a": (40, 200), "b": B99}), "PA204", Change.WORSE),
    "from 65 % to 55 %": (Run({"a": (650, 1000)}), Run({"a": (550, 1000)}), "PA204", Change.WORSE),
    "nothing of it is found any more": (BASE, Run({"a": (0, 200), "b": B99}), "PA204", Change.WORSE),
    "beyond the lines shown": (Run(many(12)), Run(many(13)), "PA204", Change.WORSE),
    "far beyond the lines shown": (Run(many(14)), Run(many(27)), "PA204", Change.WORSE),
    "others beyond the lines shown": (Run(many(15)), Run(many(15, first=3)), "PA204", Change.WORSE),
    "one of many beyond the lines fell": (
        Run(many(20)),
        Run({**many(20), "c19": (40, 200)}),
        "PA204",
        Change.WORSE,
    ),
    "open about another": (Run({"a": (16, 20), "b": B99}), Run({"a": (16, 20), "b": (17, 20)}), "PA204", Change.WORSE),
    "open, now shown": (Run({"a": (8, 10)}), Run({"a": (40, 100)}), "PA204", Change.WORSE),
    "a failure hides an open one": (BASE, Run({"a": A50, "b": (17, 20)}), "PA204", Change.WORSE),
    "major, now critical": (Run({"a": (160, 200)}), Run({"a": (100, 200)}), "PA204", Change.WORSE),
    "accuracy within one severity": (
        Run({"a": (700, 1000), "b": (800, 1000)}),
        Run({"a": (600, 1000), "b": (700, 1000)}),
        "PA203",
        Change.WORSE,
    ),
    "precision of the sink": (Run({"a": (600, 1000)}), Run({"a": (300, 1000)}), "PA205", Change.WORSE),
    "passed before": (Run({"a": A99, "b": B99}), BASE, "PA204", Change.NEW),
    "no item of it any more": (BASE, Run({"b": B99}), "PA204", Change.NO_LONGER_ASSESSED),
    "no item of it, the class still named": (BASE, Run({"a": (0, 0), "b": B99}), "PA204", Change.NO_LONGER_ASSESSED),
    "renamed": (BASE, Run({"A": A99, "b": B99}), "PA204", Change.NO_LONGER_ASSESSED),
    "too few to decide": (BASE, Run({"a": (7, 10), "b": B99}), "PA204", Change.NO_LONGER_DECIDED),
    "another class of interest": (
        replace(BASE, positive="a"),
        replace(BASE, positive="b"),
        "PA204",
        Change.NO_LONGER_ASSESSED,
    ),
    "only one class asked about": (BASE, replace(BASE, positive="b"), "PA204", Change.NO_LONGER_ASSESSED),
    "another class of interest, which fails": (
        Run({"a": A50, "b": B50}, "a"),
        Run({"a": A50, "b": B50}, "b"),
        "PA204",
        Change.NEWLY_ASSESSED,
    ),
    "passed about another class": (
        Run({"a": A99, "b": B99}, "a"),
        Run({"a": A99, "b": B99}, "b"),
        "PA204",
        Change.NO_LONGER_ASSESSED,
    ),
    "a laxer policy": (BASE, replace(BASE, policy=LAX), "PA204", Change.NO_LONGER_ASSESSED),
    "a laxer policy and less found": (
        BASE,
        Run({"a": (80, 200), "b": B99}, policy=LAX),
        "PA204",
        Change.NO_LONGER_ASSESSED,
    ),
    "accuracy without the hard class": (
        Run({"a": (0, 500), "b": B99}),
        Run({"b": B99}),
        "PA203",
        Change.NO_LONGER_ASSESSED,
    ),
    "one of two gone, the other as before": (Run({"a": A50, "b": B50}), Run({"b": B50}), "PA204", Change.UNCHANGED),
    "fell below the bar on as many items": (
        Run({"a": (172, 200)}),
        Run({"a": A50}),
        "PA207",
        Change.NO_LONGER_ASSESSED,
    ),
    "one fell below the bar": (
        Run({"a": (172, 200), "b": (172, 200)}),
        Run({"a": A50, "b": (172, 200)}),
        "PA207",
        Change.UNCHANGED,
    ),
    "precision fell to its recall": (
        Run({"a": (8, 30)}, "a", sink_as_a=23),
        Run({"a": (5, 30)}, "a", sink_as_a=49),
        "PA206",
        Change.NO_LONGER_ASSESSED,
    ),
    "recall fell further below its precision": (
        Run({"a": (140, 200)}, "a"),
        Run({"a": (20, 200)}, "a"),
        "PA206",
        Change.WORSE,
    ),
    "accuracy looks good, and recall fell": (
        Run({"a": (70, 100)}, "a", sink_as_a=200),
        Run({"a": (35, 100)}, "a"),
        "PA201",
        Change.NEWLY_ASSESSED,
    ),
}
INNOCENT = {
    "the same": (BASE, BASE, "PA204", Change.UNCHANGED),
    "the same, passed": (Run({"a": A99}), Run({"a": A99}), "PA204", Change.PASSED_BOTH),
    "classes in another order": (BASE, Run({"b": B99, "a": A50}), "PA204", Change.UNCHANGED),
    "many, in another order": (
        Run(many(20)),
        Run(dict(reversed(many(20).items()))),
        "PA204",
        Change.UNCHANGED,
    ),
    "a fresh sample": (Run({"a": (50, 100)}), Run({"a": (44, 100)}), "PA204", Change.UNCHANGED),
    "a fresh sample, large": (Run({"a": (600, 1000)}), Run({"a": (575, 1000)}), "PA204", Change.UNCHANGED),
    "fresh samples of many classes": (
        Run(many(20)),
        Run({name: (hits - 3 * (i % 2), n) for i, (name, (hits, n)) in enumerate(many(20).items())}),
        "PA204",
        Change.UNCHANGED,
    ),
    "twice the items": (
        Run({"a": (50, 100), "b": (99, 100)}),
        Run({"a": (98, 200), "b": (198, 200)}),
        "PA204",
        Change.UNCHANGED,
    ),
    "half the items": (Run({"a": (100, 200)}), Run({"a": (48, 100)}), "PA204", Change.UNCHANGED),
    "more found, still failing": (BASE, Run({"a": (112, 200), "b": B99}), "PA204", Change.UNCHANGED),
    "one of two mended": (Run({"a": A50, "b": B50}), BASE, "PA204", Change.BETTER),
    "many mended": (Run(many(25)), Run(many(3)), "PA204", Change.BETTER),
    "critical, now major": (BASE, Run({"a": (150, 200), "b": B99}), "PA204", Change.BETTER),
    "mended": (BASE, Run({"a": A99, "b": B99}), "PA204", Change.FIXED),
    "decided for the better": (Run({"a": (9, 10)}), Run({"a": (195, 200)}), "PA204", Change.FIXED),
    "mended, and a class added": (BASE, Run({"a": A99, "b": B99, "new": A99}), "PA204", Change.FIXED),
    "asked of every class now, mended": (
        replace(BASE, positive="a"),
        Run({"a": A99, "b": B99}),
        "PA204",
        Change.FIXED,
    ),
    "the failing class named": (BASE, replace(BASE, positive="a"), "PA204", Change.UNCHANGED),
    "a stricter policy, still failing": (BASE, replace(BASE, policy=STRICT), "PA204", Change.NEWLY_ASSESSED),
    "a stricter policy alone": (
        Run({"a": (960, 1000)}),
        Run({"a": (960, 1000)}, policy=STRICT),
        "PA204",
        Change.NEWLY_ASSESSED,
    ),
    "a laxer policy, and mended": (BASE, Run({"a": A99, "b": B99}, policy=LAX), "PA204", Change.FIXED),
    "another policy that changes nothing here": (
        BASE,
        replace(BASE, policy=Policy(smallest_effect=0.1)),
        "PA204",
        Change.UNCHANGED,
    ),
    "accuracy a little lower": (
        Run({"a": (700, 1000), "b": (800, 1000)}),
        Run({"a": (690, 1000), "b": (795, 1000)}),
        "PA203",
        Change.UNCHANGED,
    ),
    "accuracy mended": (
        Run({"a": (0, 500), "b": B99}),
        Run({"a": (490, 500), "b": B99}),
        "PA203",
        Change.FIXED,
    ),
}
# Checks that come with a rise. A baseline knows of a finding only what it charges, so none covers these.
RISES = {
    "decided by more items": (Run({"a": (16, 20)}), Run({"a": (400, 500)}), "PA207", Change.FIXED),
    "up to the bar, beside another that is open": (
        Run({"a": A50, "b": (172, 200)}),
        Run({"a": (172, 200), "b": (172, 200)}),
        "PA207",
        Change.UNCHANGED,
    ),
    "recall and precision rose": (
        Run({"a": (5, 30)}, "a", sink_as_a=49),
        Run({"a": (8, 30)}, "a", sink_as_a=23),
        "PA206",
        Change.BETTER,
    ),
    "the gap closed by recall": (Run({"a": (20, 200)}, "a"), Run({"a": (190, 200)}, "a"), "PA206", Change.FIXED),
    "recall rose, and accuracy to where it looks good": (
        Run({"a": (30, 100)}, "a", sink_as_a=200),
        Run({"a": (35, 100)}, "a"),
        "PA201",
        Change.BETTER,
    ),
}
ALARMS = (Change.NEW, Change.WORSE)


def change_of(comparison: Comparison, code: str) -> Change:
    return next(f.change for f in comparison.findings if f.code == code)


@pytest.mark.parametrize("name", [*GUILTY, *INNOCENT, *RISES])
def test_what_became_of_the_check(name: str) -> None:
    old, new, code, change = (GUILTY | INNOCENT | RISES)[name]
    assert change_of(compare(old.result(), new.result()), code) is change


@pytest.mark.parametrize("name", INNOCENT)
def test_chance_and_gain_raise_no_alarm(name: str) -> None:
    old, new, _, _ = INNOCENT[name]
    comparison = compare(old.result(), new.result())
    if new.policy == old.policy:
        # That more items carry an interval past a bar is no chance, and not meant.
        told = [why for f in comparison.of(*ALARMS) for why in f.why]
        assert not [why for why in told if "fell" in why or "accused" in why or "open before" in why]


def accepted_in(old: Run, new: Run, code: str, folder: Path) -> bool:
    """Whether what is accepted of the old run covers the new one's finding."""
    file = folder / "baseline.toml"
    file.write_bytes(encode_baseline(accept(old.result(), codes=(), reason="known", expires=DAY)))
    result = apply_baseline(new.result(), file)
    finding = next(f for f in result.findings if f.code == code)
    return not finding.is_open or result.acceptance_of(finding) is not None


@pytest.mark.parametrize("name", [name for name, case in GUILTY.items() if case[3] is Change.WORSE])
def test_what_is_worse_is_not_accepted(tmp_path: Path, name: str) -> None:
    old, new, code, _ = GUILTY[name]
    assert not accepted_in(old, new, code, tmp_path)


@pytest.mark.parametrize(
    "name", [name for name, case in INNOCENT.items() if case[3] in (Change.UNCHANGED, Change.BETTER, Change.FIXED)]
)
def test_what_is_no_worse_stays_accepted(tmp_path: Path, name: str) -> None:
    old, new, code, _ = INNOCENT[name]
    assert accepted_in(old, new, code, tmp_path)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (replace(BASE, policy=LAX), "policies differ"),
        (replace(BASE, positive="b"), "class of interest was"),
        (Run({"b": B99}), "no item of"),
    ],
)
def test_another_question_is_told_first(new: Run, words: str) -> None:
    comparison = compare(BASE.result(), new.result())
    assert words in comparison.notes[0]
    for text in (render_comparison_markdown(comparison), render_comparison_html(comparison)):
        assert words in text.replace("\\", "")
        first = text.index("What changed") if "<html" in text else text.index("###")
        assert text.index(words) < first


def test_the_lead_names_what_is_newly_assessed_and_fails() -> None:
    comparison = compare(*(run.result() for run in GUILTY["another class of interest, which fails"][:2]))
    assert "not passed (PA2" in render_comparison_markdown(comparison).split("- ")[0]


def test_a_failure_without_data_is_never_better() -> None:
    comparison = compare(BASE.result(), Run({"a": (7, 10), "b": B99}).result())
    assert not comparison.of(Change.BETTER)
    assert "no longer decided" in render_comparison_markdown(comparison)


def test_what_is_worse_says_why() -> None:
    (changed,) = (
        f for f in compare(*(r.result() for r in GUILTY["from 65 % to 55 %"][:2])).findings if f.code == "PA204"
    )
    assert changed.why == ("recall of 'a' fell from 65.0 % to 55.0 %",)


def test_a_class_without_items_that_is_no_longer_asked_about_is_not_fixed() -> None:
    counts = np.array([[198, 0, 2], [0, 198, 2], [0, 0, 0]])
    old = result_of(from_confusion(counts, ["a", "b", "c"]), None)
    new = result_of(from_confusion(counts, ["a", "b", "c"]), "a")
    changes = {entry.code: entry.change for entry in compare(old, new).findings}
    assert changes["PA207"] is Change.NO_LONGER_ASSESSED
    assert Change.FIXED not in changes.values()
    again = {entry.code: entry.change for entry in compare(old, old).findings}
    assert again["PA207"] is Change.UNCHANGED


def test_a_stage_that_crashed_since_breaks_the_build_and_stands_at_the_top() -> None:
    good = Run({"a": A99}).result()
    crashed = replace(good, stages=(*good.stages, StageResult("geometry", Outcome.CRASHED, 1.0, "it broke")))
    comparison = compare(good, crashed)
    assert comparison.breaks_the_build
    assert any("geometry crashed" in note for note in comparison.notes)
    assert not compare(crashed, crashed).breaks_the_build


def test_the_new_policy_cannot_say_what_counts_as_a_fall() -> None:
    blind = Run({"a": (550, 1000)}, policy=Policy(family_wise_error=1e-12)).result()
    comparison = compare(Run({"a": (650, 1000)}).result(), blind)
    change = {entry.code: entry.change for entry in comparison.findings}["PA204"]
    assert change is Change.WORSE
    assert any(moved.has_moved for moved in comparison.metrics)


def test_fewer_items_make_nothing_better() -> None:
    many_items, few = Run({"a": (500, 1000)}), Run({"a": (10, 20)})
    change = {e.code: e.change for e in compare(many_items.result(), few.result()).findings}["PA204"]
    assert change not in (Change.BETTER, Change.FIXED)


def test_other_seeds_are_told() -> None:
    first = Run({"a": A99}).result()
    other = replace(first, provenance=replace(first.provenance, seed=7))
    assert any("seeds differ" in note for note in compare(first, other).notes)
    assert not any("seeds differ" in note for note in compare(first, first).notes)


def test_a_recall_that_rises_to_the_bar_is_no_new_lack_of_items() -> None:
    old, up = result_of(scored_counts(100, 100, 10, 800), "fraud"), scored_counts(165, 35, 10, 800)
    comparison = compare(old, result_of(up, "fraud"))
    assert change_of(comparison, "PA207") is Change.BETTER
    assert not comparison.breaks_the_build
    fewer = compare(old, result_of(scored_counts(17, 3, 10, 800), "fraud"))
    assert change_of(fewer, "PA207") is Change.NEW
    fell = compare(result_of(scored_counts(199, 1, 10, 800), "fraud"), result_of(up, "fraud"))
    assert change_of(fell, "PA207") is Change.NEW


def test_a_fall_above_the_bar_is_told_in_the_lead() -> None:
    good, fallen = scored_counts(990, 10, 10, 4_990), scored_counts(930, 70, 10, 4_990)
    page = render_comparison_markdown(compare(result_of(good, "fraud"), result_of(fallen, "fraud")))
    lead = page.splitlines()[2]
    assert "No finding that was assessed in both is new or worse." in lead
    assert "fell: " in lead
    assert "Recall of 'fraud' from 99.0 % to 93.0 %" in lead
    calm = render_comparison_markdown(compare(result_of(fallen, "fraud"), result_of(good, "fraud")))
    assert "fell" not in calm
    assert "| rose |" in calm


def test_what_was_not_tested_is_not_called_unchanged() -> None:
    never_called = from_confusion([[900, 0], [50, 0]], ["genuine", "fraud"])
    page = render_comparison_markdown(compare(result_of(never_called, "fraud"), result_of(never_called, "fraud")))
    (row,) = [line for line in page.splitlines() if line.startswith("| Precision of 'fraud'")]
    assert "not compared: " in row
    assert "no evidence of a change" not in row


def test_an_interval_clear_of_zero_beside_no_change_is_explained() -> None:
    first, second = scored_counts(900, 100, 60, 4_940), scored_counts(870, 130, 60, 4_940)
    comparison = compare(result_of(first, "fraud"), result_of(second, "fraud"))
    (recall,) = [m for m in comparison.metrics if m.name == "Recall of 'fraud'"]
    assert recall.difference.high is not None
    assert recall.difference.high < 0
    assert not recall.has_moved
    page = render_comparison_markdown(comparison)
    (row,) = [line for line in page.splitlines() if line.startswith("| Recall of 'fraud'")]
    assert "| -3.0 points | -5.8 to -0.2 points |" in row
    assert "no evidence of a change, once p is corrected" in row
    assert "Interval, not corrected" in page
    assert "Moved metrics" not in page


@pytest.mark.parametrize("name", [name for name, case in RISES.items() if case[3] is Change.BETTER])
def test_a_rise_breaks_no_build(name: str) -> None:
    old, new, code, _ = RISES[name]
    comparison = compare(old.result(), new.result())
    assert code in [finding.code for finding in comparison.new.findings if finding.is_open]
    assert not comparison.breaks_the_build
