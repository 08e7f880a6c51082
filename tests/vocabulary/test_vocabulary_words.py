"""Errors, estimates, registries and the documentation of checks."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolaudit.errors import InvalidInputError, MissingExtraError, PoolauditError, did_you_mean, listed
from poolaudit.evidence.estimates import Estimate
from poolaudit.evidence.wording import interval, number, percent, with_interval
from poolaudit.findings import document_check
from poolaudit.outcomes import Severity
from poolaudit.registry import Registry


def documented() -> None:
    """It holds.

    Why: Because
        it must.
    How: By looking.
    Do: Mend it: at once.
    False alarm: Never.
    """


def test_errors_say_what_arrived_what_is_allowed_and_what_to_do() -> None:
    error = InvalidInputError("x is 3.", "1 or 2", "Set x to 1")
    assert str(error) == "x is 3. Allowed: 1 or 2. Set x to 1."
    assert (error.arrived, error.allowed, error.cure) == ("x is 3.", "1 or 2", "Set x to 1")
    assert str(InvalidInputError("x is 3", cure="Did you mean 'y'?")) == "x is 3. Did you mean 'y'?"
    assert isinstance(error, PoolauditError)
    assert isinstance(error, ValueError)
    assert "pip install 'poolaudit[ray]'" in str(MissingExtraError("Distributed trials", "ray"))


def test_close_words_are_suggested_and_far_ones_are_not() -> None:
    assert did_you_mean("Frad", ["genuine", "fraud"]) == "Did you mean 'fraud'?"
    assert did_you_mean("FRAUD", ["Fraud"]) == "Did you mean 'Fraud'?"
    assert did_you_mean("xyz", ["genuine", "fraud"]) == ""
    assert did_you_mean("anything", []) == ""


def test_long_lists_are_cut_and_say_so() -> None:
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(map(str, range(10)), 3) == "'0', '1', '2' and 7 more"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((math.nan, 0.0, 1.0), None),
        ((0.5, 0.0, math.inf), None),
        ((0.5, 0.1, None), "half an interval"),
        ((None, None, None), None),
        ((0.5, None, None), None),
        ((0.5, None, None), ""),
    ],
)
def test_estimates_that_hide_something_are_refused(values: tuple[float | None, ...], reason: str | None) -> None:
    with pytest.raises(ValueError, match=r"estimate|interval"):
        Estimate(values[0], values[1], values[2], 10, "made", reason=reason)


def test_not_estimable_is_none_with_a_reason() -> None:
    estimate = Estimate.not_estimable("no items")
    assert (estimate.value, estimate.low, estimate.high, estimate.reason) == (None, None, None, "no items")
    assert with_interval(estimate) == "not estimable: no items"
    assert interval(estimate, as_percent=True) == ""


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_percentages_never_round_to_a_certainty(value: float) -> None:
    assert percent(value) not in ("100.0 %", "100.00 %", "0.0 %", "0.00 %")


def test_numbers_read_as_numbers() -> None:
    assert percent(1.0) == "100.0 %"
    assert percent(0.0) == "0.0 %"
    assert percent(0.1234) == "12.3 %"
    assert percent(None) == number(None) == "not known"
    assert number(1 / 3) == "0.333"
    assert with_interval(Estimate(0.9, 0.8, 0.95, 1200, "Wilson score")) == (
        "90.0 % (80.0 % to 95.0 %, 95 % interval, n = 1,200, Wilson score)"
    )


def test_names_in_a_registry_cannot_collide() -> None:
    registry: Registry[int] = Registry("check")
    assert registry.register("PA201", 1) == 1
    with pytest.raises(ValueError, match="'PA201' is registered twice"):
        registry.register("PA201", 2)
    assert registry.get("PA201") == 1
    assert list(registry) == [1]
    assert registry.names() == ("PA201",)
    assert "PA201" in registry
    assert len(registry) == 1


def test_unknown_names_are_answered_with_the_closest() -> None:
    registry: Registry[int] = Registry("check")
    registry.register("PA201", 1)
    with pytest.raises(InvalidInputError, match=r"no check 'PA2O1'.*Did you mean 'PA201'\?"):
        registry.get("PA2O1")


def test_documentation_is_read_from_the_docstring() -> None:
    doc = document_check("PA299", documented)
    assert (doc.code, doc.title, doc.why) == ("PA299", "It holds", "Because it must.")
    assert (doc.how, doc.do, doc.false_alarm) == ("By looking.", "Mend it: at once.", "Never.")


@pytest.mark.parametrize("section", ["Why", "How", "Do", "False alarm"])
def test_a_missing_section_refuses_the_check(section: str) -> None:
    def check() -> None: ...

    check.__doc__ = (documented.__doc__ or "").replace(f"{section}:", "Aside:")
    with pytest.raises(ValueError, match=section.lower().replace(" ", "_").split("_")[0] + "|" + section):
        document_check("PA299", check)


@pytest.mark.parametrize("code", ["PA99", "PA699", "PA2011", "pa201", "", "PA2O1"])
def test_malformed_codes_are_refused(code: str) -> None:
    with pytest.raises(ValueError, match="PA1xx to PA5xx"):
        document_check(code, documented)


def test_an_undocumented_check_is_refused() -> None:
    def check() -> None: ...

    with pytest.raises(ValueError, match="lacks"):
        document_check("PA299", check)


def test_severities_are_ordered_heaviest_first() -> None:
    assert sorted(Severity, key=lambda s: s.rank) == [Severity.CRITICAL, Severity.MAJOR, Severity.MINOR, Severity.INFO]
    assert Severity.CRITICAL.at_least(Severity.MAJOR)
    assert not Severity.MINOR.at_least(Severity.MAJOR)
