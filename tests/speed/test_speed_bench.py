"""Speed of the pooling: what is measured, what is not said, ratios to earlier runs, and the fixture of pytest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from poolaudit.audit.bench import benchmark_model  # noqa: E402
from poolaudit.benchmarks.compare import ratios  # noqa: E402
from poolaudit.benchmarks.layers import Case, measure, prepare  # noqa: E402
from poolaudit.benchmarks.timing import COPY_BYTES, MemoryCopy, median_estimate, over, time_in_turns  # noqa: E402
from poolaudit.cli.main import main  # noqa: E402
from poolaudit.errors import InvalidInputError  # noqa: E402
from poolaudit.evidence.estimates import Estimate  # noqa: E402
from poolaudit.report.html import render_html  # noqa: E402
from poolaudit.results import AuditResult  # noqa: E402
from poolaudit.statistics.binomial import median_ranks  # noqa: E402
from poolaudit.store.results import decode_result, encode_result  # noqa: E402


def small_model() -> Any:
    return keras.Sequential(
        [
            keras.Input((64, 64, 8)),
            keras.layers.MaxPooling2D(2, name="halve"),
            keras.layers.AveragePooling2D(3, strides=2, padding="same", name="smooth"),
            keras.layers.GlobalAveragePooling2D(name="whole"),
            keras.layers.Dense(2),
        ],
        name="small",
    )


@pytest.fixture(scope="module")
def result() -> AuditResult:
    return benchmark_model(small_model(), batch=8, rounds=8, variants=("max", "average", "global_max"))


def test_without_a_choice_every_variant_that_applies_is_timed_and_removing_is_none_of_them() -> None:
    evidence = benchmark_model(small_model(), batch=2, rounds=6).evidence.benchmarks
    assert evidence is not None
    found: dict[str, set[str]] = {}
    for entry in evidence.layers:
        found.setdefault(entry.site, set()).add(entry.variant)
    assert {"as shipped", "average", "blur", "polyphase", "gem", "mixed", "subsample"} <= found["halve"]
    assert {"as shipped", "global_max", "gem"} <= found["whole"]
    assert not {"removed", "flatten", "max"} & found["halve"] | {"flatten"} & found["whole"]
    assert not evidence.not_measured


def test_the_model_can_be_timed_alone() -> None:
    evidence = benchmark_model(small_model(), batch=2, rounds=6, variants=()).evidence.benchmarks
    assert evidence is not None
    assert {entry.variant for entry in evidence.layers} == {"as shipped"}


def test_every_site_is_timed_at_its_real_shape_in_both_kinds(result: AuditResult) -> None:
    evidence = result.evidence.benchmarks
    assert evidence is not None
    found = {(entry.site, entry.variant): entry for entry in evidence.layers}
    assert set(found) == {
        ("halve", "as shipped"),
        ("halve", "average"),
        ("smooth", "as shipped"),
        ("smooth", "max"),
        ("whole", "as shipped"),
        ("whole", "global_max"),
    }
    assert found["halve", "average"].input_shape == (8, 64, 64, 8)
    assert found["smooth", "max"].output_shape == found["smooth", "as shipped"].output_shape == (8, 16, 16, 8)
    for entry in evidence.layers:
        assert [t.direction for t in entry.timings] == ["forward", "gradient"]
        for timing in entry.timings:
            assert timing.seconds.n == 8
            assert timing.seconds.low <= timing.seconds.value <= timing.seconds.high
    forward, gradient = found["halve", "as shipped"].timings
    cells = 8 * 64 * 64 * 8 + 8 * 32 * 32 * 8
    assert (forward.bytes_moved, gradient.bytes_moved) == (4 * cells, 8 * cells)


def test_the_verdict_is_not_ready_for_what_speed_says_nothing_about(result: AuditResult) -> None:
    assert result.verdict == "INCONCLUSIVE"
    assert result.findings == ()


def test_the_result_survives_the_file_and_stands_in_the_report(result: AuditResult) -> None:
    assert decode_result(encode_result(result)) == result
    page = render_html(result)
    assert "Speed of the pooling" in page
    assert "could not be rendered" not in page
    assert "halve" in page


def test_a_call_that_is_mostly_overhead_states_no_bandwidth() -> None:
    case = Case("tiny", "as shipped", keras.layers.MaxPooling2D(2), (1, 2, 2, 1), "float32")
    (entry,) = measure([case], rounds=6).layers
    for timing in entry.timings:
        assert timing.bandwidth_share.value is None
        assert "the call itself takes" in str(timing.bandwidth_share.reason)


def test_eight_times_the_work_takes_longer() -> None:
    """How many times is the benchmarks' business: other work on the machine must not fail this."""
    once = keras.layers.MaxPooling2D(2, strides=1, padding="same")

    class Eight(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            for _ in range(8):
                x = once(x)
            return x

    shape = (16, 96, 96, 8)
    cases = [Case(name, "as shipped", layer, shape, "float32") for name, layer in (("one", once), ("eight", Eight()))]
    one, eight = measure(cases, rounds=12).layers
    ratio = over(eight.timings[0].seconds, one.timings[0].seconds)
    assert ratio.value > 2


def test_a_layer_that_fails_is_named_and_the_others_are_measured() -> None:
    cases = [
        Case("wrong", "as shipped", keras.layers.MaxPooling2D(2), (2, 8, 8), "float32"),
        Case("right", "as shipped", keras.layers.MaxPooling2D(2), (2, 8, 8, 1), "float32"),
    ]
    evidence = measure(cases, rounds=6)
    assert [entry.site for entry in evidence.layers] == ["right"]
    assert evidence.not_measured[0].startswith("wrong (as shipped, float32): ")


def test_a_layer_without_a_gradient_says_so() -> None:
    class Counted(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return keras.ops.cast(keras.ops.argmax(x, axis=1), "float32")

    case = Case("counted", "as shipped", Counted(), (2, 8, 8, 1), "float32")
    made = prepare(case, np.random.default_rng(0))
    assert list(made.work) == ["forward"]
    assert made.without_gradient is not None


def test_two_machines_are_not_compared(result: AuditResult) -> None:
    evidence = result.evidence.benchmarks
    assert evidence is not None
    same = ratios(evidence, evidence, same_machine=True)
    assert same[0].case == "control: a copy of memory"
    assert len(same) == 1 + 12
    assert all(entry.ratio.value == 1.0 and entry.ratio.low <= 1 <= entry.ratio.high for entry in same)
    for old, is_same in ((evidence, False), (replace(evidence, threads=99), True)):
        for entry in ratios(evidence, old, same_machine=is_same):
            assert entry.ratio.value is None
            assert "another machine" in str(entry.ratio.reason)
    assert ratios(evidence, replace(evidence, layers=()), same_machine=True) == ()


def test_median_ranks_cover_what_they_promise() -> None:
    assert median_ranks(5, 0.95) is None
    assert median_ranks(6, 0.95) == (0, 5)
    assert median_ranks(20, 0.95) == (5, 14)  # David and Nagaraja: the 6th and the 15th value, 95.9 %
    rng = np.random.default_rng(1)
    ranks = median_ranks(15, 0.9)
    assert ranks is not None
    values = np.sort(rng.exponential(size=(4000, 15)), axis=1)
    covered = (values[:, ranks[0]] <= np.log(2)) & (np.log(2) <= values[:, ranks[1]])
    assert covered.mean() > 0.88


def test_quotients_hold_what_both_intervals_allow() -> None:
    made = over(Estimate(2.0, 1.0, 4.0, 9, "m", 0.95), Estimate(1.0, 0.5, 2.0, 8, "m", 0.95))
    assert (made.value, made.low, made.high, made.n, made.confidence) == (2.0, 0.5, 8.0, 8, 0.9)
    few = median_estimate([1.0, 2.0], 0.95)
    assert few.low is None
    assert over(few, few).low is None


def test_rounds_take_turns_and_the_copy_copies() -> None:
    order: list[str] = []
    time_in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=1)
    assert order.index("b") < len(order)
    copy = MemoryCopy(2)
    copy()
    copy.close()
    assert copy._target.sum() == COPY_BYTES / 8


def test_the_command_writes_compares_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_model().save(tmp_path / "small.keras")
    sizes = keras.Sequential([keras.Input((None, None, 1)), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(2)])
    sizes.save(tmp_path / "open.keras")

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["bench", *arguments])
        captured = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, captured.out + captured.err

    first, second = str(tmp_path / "one"), str(tmp_path / "two")
    code, text = run(str(tmp_path / "small.keras"), "--batch", "4", "--rounds", "6", "--out", first)
    assert code == 0
    assert "a copy of memory moves" in text
    against = ["--variant", "average", "--against", f"{first}/result.json"]
    code, text = run(str(tmp_path / "small.keras"), "--batch", "4", "--rounds", "6", "--out", second, *against)
    assert code == 0
    assert "below 1 is faster" in text
    assert "halve, average, float32, 4x64x64x8, gradient: " in text
    assert len(json.loads((tmp_path / "two" / "result.json").read_text())["evidence"]["benchmarks"]["ratios"]) == 1 + 8
    code, text = run(str(tmp_path / "open.keras"), "--out", first)
    assert code == 2
    assert "give --input-shape" in text
    open_model = str(tmp_path / "open.keras")
    assert run(open_model, "--input-shape", "32x32x1", "--rounds", "6", "--out", first)[0] == 0
    assert run(str(tmp_path / "small.keras"), "--input-shape", "32x32x8", "--out", first)[0] == 2
    assert run(open_model, "--input-shape", "32by32", "--out", first)[0] == 2
    assert run(open_model, "--input-shape", "32x32x1", "--dtype", "float31", "--out", first)[0] == 2
    code, text = run(open_model, "--input-shape", "32x32x1", "--variant", "blurr", "--out", first)
    assert (code, "Did you mean 'blur'?" in text) == (2, True)


def test_wrong_numbers_are_refused(result: AuditResult) -> None:
    for options in ({"batch": 0}, {"rounds": 5}, {"dtypes": ()}, {"dtypes": ("int8",)}):
        with pytest.raises(InvalidInputError):
            benchmark_model(small_model(), **options)
    with pytest.raises(InvalidInputError, match="no pooling"):
        benchmark_model(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    without = replace(result, evidence=replace(result.evidence, benchmarks=None))
    with pytest.raises(InvalidInputError, match="holds no benchmarks"):
        benchmark_model(small_model(), against=without)


TESTS = """
import keras


def test_speed(benchmark_pooling):
    benchmark_pooling(keras.layers.MaxPooling1D, [(2, 16, 1), (4, 16, 1)], ["float32", "float16"])


def test_one(benchmark_pooling):
    benchmark_pooling(keras.layers.MaxPooling1D(2), [(2, 16, 1)])
"""


def test_the_fixture_gives_pytest_benchmark_an_entry_a_case(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pytest_benchmark")
    # Inherited from a run of this suite in several workers, it would switch benchmarks off.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makepyfile(test_speed=TESTS)
    options = ["-p", "no:randomly", "-p", "no:cacheprovider", "--benchmark-max-time=0.01", "--benchmark-min-rounds=2"]
    report = ["--poolaudit-report", "report"]
    result = pytester.runpytest_subprocess(*options, "--benchmark-json=speed.json", *report)
    result.assert_outcomes(passed=2)
    entries = json.loads((pytester.path / "speed.json").read_text())["benchmarks"]
    assert len(entries) == 2 * 2 * 2 + 2
    assert len({entry["fullname"] for entry in entries}) == len(entries)
    assert "test_speed[MaxPooling1D-4x16x1-float16-gradient]" in {entry["name"] for entry in entries}
    assert {entry["extra_info"]["direction"] for entry in entries} == {"forward", "gradient"}
    stored = json.loads((pytester.path / "report" / "result.json").read_text())["results"]
    assert [(entry["title"], entry["tests"]) for entry in stored] == [
        ("Speed of MaxPooling1D", ["test_speed.py::test_one"]),
        ("Speed of MaxPooling1D", ["test_speed.py::test_speed"]),
    ]
    (one, four) = [entry["result"]["evidence"]["benchmarks"] for entry in stored]
    assert [len(one["layers"]), len(four["layers"])] == [1, 4]
    timed = {entry["name"]: entry["stats"] for entry in entries}
    seconds = one["layers"][0]["timings"][0]["seconds"]
    assert seconds["value"] == timed["test_one[MaxPooling1D-2x16x1-float32-forward]"]["median"]
    page = (pytester.path / "report" / "Speed-of-MaxPooling1D-2" / "report.html").read_text()
    assert "Speed alone decides no release." in page
    assert "2 NO VERDICT." in (pytester.path / "report" / "report.html").read_text()
    result = pytester.runpytest_subprocess(*options, "--benchmark-disable", *report)
    result.assert_outcomes(passed=2)
    assert json.loads((pytester.path / "report" / "result.json").read_text())["results"] == []


def test_without_pytest_benchmark_the_fixture_names_the_pip_command(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_speed="def test_one(benchmark_pooling):\n    pass\n")
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:benchmark", "-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    assert "pip install 'poolaudit[bench]'" in result.stdout.str()
