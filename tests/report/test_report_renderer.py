"""The process that draws the charts: it may die, and takes nothing with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from poolaudit.report.charts.renderer import RendererEnded, _Renderer

CHART = {"data": {"values": [{"a": 1}]}, "mark": "point", "encoding": {"x": {"field": "a", "type": "quantitative"}}}


@pytest.fixture
def renderer() -> Iterator[_Renderer]:
    made = _Renderer()
    yield made
    made.stop()


def killed(renderer: _Renderer) -> None:
    assert renderer._process is not None
    os.kill(renderer._process.pid, signal.SIGKILL)
    renderer._process.wait()


def test_one_process_draws_all_and_always_the_same(renderer: _Renderer) -> None:
    first = renderer.svg(CHART)
    process = renderer._process
    assert first.startswith("<svg")
    assert renderer.svg(CHART) == first
    assert renderer._process is process


def test_a_process_that_died_is_told_and_replaced(renderer: _Renderer) -> None:
    first = renderer.svg(CHART)
    killed(renderer)
    with pytest.raises(RendererEnded, match="-9"):
        renderer.svg(CHART)
    assert renderer.svg(CHART) == first


def test_one_that_dies_again_and_again_is_given_up(renderer: _Renderer) -> None:
    for _ in range(3):
        renderer.start()
        killed(renderer)
        with pytest.raises(RendererEnded):
            renderer.svg(CHART)
    with pytest.raises(RendererEnded, match="3 times"):
        renderer.svg(CHART)
    assert renderer._process is None


def test_what_is_no_chart_is_an_error_and_no_death(renderer: _Renderer) -> None:
    with pytest.raises(ValueError, match="Vega-Lite"):
        renderer.svg({"mark": "no such mark", "data": {"values": []}})
    assert renderer.svg(CHART).startswith("<svg")


def test_a_forked_child_has_a_process_of_its_own(renderer: _Renderer) -> None:
    renderer.svg(CHART)
    renderer._owner = -1  # as a child finds it
    before = renderer._process
    renderer.svg(CHART)
    assert renderer._process is not before
    assert before is not None
    before.kill()
    before.communicate()


def test_an_interrupt_leaves_no_answer_for_the_next_picture(renderer: _Renderer) -> None:
    """Ctrl-C between question and answer: the next question, perhaps in a notebook, gets its own picture."""
    renderer.start()
    assert renderer._process is not None
    pipe = renderer._process.stdout

    class Interrupted:
        def readline(self) -> str:
            assert renderer._process is not None
            renderer._process.stdout = pipe
            raise KeyboardInterrupt

    renderer._process.stdout = Interrupted()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        renderer.svg({**CHART, "title": "the first"})
    assert "the second" in renderer.svg({**CHART, "title": "the second"})
