"""A script of a few lines that replays a counterexample with TensorFlow and Keras alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolaudit.conformance.case import Case
from poolaudit.conformance.layer_under_test import Record, Step
from poolaudit.conformance.violations import Violation
from poolaudit.strategies import pool_input

_LITERAL_CELLS = 400

_CALLS = {
    "eager": "{layer}",
    "graph": "tf.function(lambda x: {layer}(x))",
    "graph_unknown_sizes": "tf.function(lambda x: {layer}(x), input_signature=[tf.TensorSpec({shape}, {dtype!r})])",
    "xla": "tf.function(lambda x: {layer}(x), jit_compile=True)",
}

_GRADIENT = """
def gradient(layer, x, upstream):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    return tape.gradient(y, x, output_gradients=upstream)
"""


def script(record: Record, case: Case, mode: str, violation: Violation, title: str) -> str:
    """The record of an example as a program that prints observed against expected."""
    lines = [f"# {title} ({mode}, {case.dtype})"]
    if violation.what:
        lines.append(f"# {' '.join(violation.what.split())}")
    imports, built, arrays = [], [], _Arrays(case)
    used = sorted({step.layer for step in record.steps}) or list(range(min(len(record.built), 1)))
    names = {number: "layer" if len(used) == 1 else f"layer{position}" for position, number in enumerate(used)}
    for number in used:
        subject, configuration, dtype = record.built[number]
        line, expression = subject.code(configuration, dtype)
        if line and line not in imports:
            imports.append(line)
        built.append(f"{names[number]} = {expression}")
    body: list[str] = []
    last = ""
    for position, step in enumerate(record.steps[-6:]):
        last = f"y{position}"
        body += _step_lines(step, names[step.layer], mode, arrays, last)
    text = "\n".join(lines) + "\nimport keras\nimport numpy as np\nimport tensorflow as tf\n"
    if any("ml_dtypes" in line for line in (*arrays.lines, *body)):
        text = text.replace("import keras\n", "import keras\nimport ml_dtypes\n")
    text += "\n".join(imports) + ("\n" if imports else "")
    if any(step.operation == "gradient" for step in record.steps[-6:]):
        text += _GRADIENT
    text += "\n" + "\n".join([*built, *arrays.lines, *body])
    expected = violation.expected if len(violation.expected) < 2000 else violation.expected[:2000] + " ..."
    return f"{text}\nprint('expected:', {expected!r})\n"


def _step_lines(step: Step, layer: str, mode: str, arrays: _Arrays, name: str) -> list[str]:
    if step.operation == "code":
        return [step.code.replace("layer.", f"{layer}.").replace("(layer)", f"({layer})")]
    inputs = [arrays.name_of(array) for array in step.arrays]
    options = "".join(f", {key}={_option(value)}" for key, value in step.options.items())
    if step.operation == "value":
        x = step.arrays[0]
        shape = [None] * (x.ndim - 1) + [x.shape[-1]] if x.ndim else []
        if mode == "eager" or options:
            call = f"{layer}(tf.constant({inputs[0]}){options})"
        else:
            function = _CALLS[mode].format(layer=layer, shape=shape, dtype=str(x.dtype))
            call = f"{function}(tf.constant({inputs[0]}))"
    elif step.operation == "gradient":
        inner = f"lambda x, upstream: gradient({layer}, x, upstream)"
        wrapped = {"eager": "({})", "xla": "tf.function({}, jit_compile=True)"}.get(mode, "tf.function({})")
        call = f"{wrapped.format(inner)}(tf.constant({inputs[0]}), tf.constant({inputs[1]}))"
    else:
        return [f"# the second gradient of {layer} was taken here"]
    return [f"{name} = {call}", f"print('observed:', np.array2string(np.asarray({name}, np.float64), separator=', '))"]


def _option(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()!r})"
    return repr(value)


class _Arrays:
    """Names the arrays of a script and writes each once."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.lines: list[str] = []
        self._known: list[tuple[NDArray[Any], str]] = []

    def name_of(self, array: NDArray[Any]) -> str:
        for known, name in self._known:
            if known is array or (
                known.dtype == array.dtype and known.shape == array.shape and known.tobytes() == array.tobytes()
            ):
                return name
        name = f"x{len(self._known)}"
        self._known.append((array, name))
        self.lines.append(f"{name} = {self._expression(array)}")
        return name

    def _expression(self, array: NDArray[Any]) -> str:
        dtype = str(array.dtype)
        suffix = ".astype(ml_dtypes.bfloat16)" if dtype == "bfloat16" else f".astype({dtype!r})"
        values = array.astype(np.float64) if array.dtype.kind not in "iub" else array
        if array.size and bool((values == values.ravel()[0]).all()):
            return f"np.full({array.shape}, {_number(values.ravel()[0])}){suffix}"
        if array.size > _LITERAL_CELLS and self.case.value_range is None:
            made = pool_input(self.case.input_shape, self.case.input_dtype, self.case.data, self.case.seed)
            if made.array.shape == array.shape and made.array.tobytes() == array.tobytes():
                return made.describe
        flat = ", ".join(_number(value) for value in values.ravel())
        return f"np.array([{flat}]).reshape({array.shape}){suffix}"


def _number(value: Any) -> str:
    number = float(value)
    if np.isnan(number):
        return "np.nan"
    if np.isinf(number):
        return "np.inf" if number > 0 else "-np.inf"
    return (
        repr(int(number))
        if number == int(number) and abs(number) < 2**53 and not (number == 0 and np.signbit(number))
        else repr(number)
    )
