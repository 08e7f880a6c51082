"""Vega-Lite to SVG without a browser; in a process of its own where one was started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

_started: list[ProcessPoolExecutor] = []


def to_svg(specification: dict[str, Any]) -> str:
    """SVG of a Vega-Lite specification."""
    if _started:
        return _started[-1].submit(_convert, specification).result()
    return _convert(specification)


@contextmanager
def renderer_process() -> Iterator[None]:
    """Renders in a second process meanwhile: starting the renderer takes as long as reading a million predictions."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_leave_interrupts_to_parent) as process:
        process.submit(_convert, {"data": {"values": []}, "mark": "point"})
        _started.append(process)
        try:
            yield
        finally:
            _started.remove(process)


def _convert(specification: dict[str, Any]) -> str:
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(specification)
    return svg


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
