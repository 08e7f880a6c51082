"""TensorFlow Lite's answer to a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def run_tflite(content: bytes, x: NDArray[Any]) -> NDArray[Any]:
    """What a converted model of one input gives at its first output.

    Args:
        content: The converted model.
        x: Its input; some versions convert with a batch of one, so the model is resized to this shape.
    """
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=content)
    (source,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(source["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], x)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
