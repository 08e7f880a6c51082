"""Predicting with a whole model, batch by batch, and cutting inputs into batches of one size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from poolaudit.ablation.inplace import patched
from poolaudit.errors import InvalidInputError


def predicted(model: Any, inputs: Any, batch_size: int, *, compiled: bool = True) -> Any:
    """Raw outputs of a Keras model in inference mode: an array, or a tuple where it has several outputs.

    Args:
        compiled: Worth it from a few batches on; tracing a large model takes longer than running it once.
    """
    import keras
    import tensorflow as tf

    # A function of its own: the model's compiled predict would not see a layer that was exchanged.
    def run(batch: Any) -> Any:
        return model(batch, training=False)

    function = tf.function(run, autograph=False) if compiled else run
    parts = []
    for batch, fresh, _ in batches(inputs, batch_size):
        outputs = [np.asarray(part) for part in keras.tree.flatten(function(batch))]
        parts.append((outputs, fresh))
    return as_outputs(parts)


def predicted_in_place(
    model: Any, edits: Mapping[tuple[int, int], Any], calls: Mapping[int, int], inputs: Any, batch_size: int
) -> Any:
    """Raw outputs of a model while layers inside it are exchanged."""
    with patched(model, edits, calls):
        return predicted(model, inputs, batch_size)


def batches(inputs: Any, batch_size: int) -> Iterator[tuple[Any, int, int]]:
    """Batches of one size, with the number of items at their end that are new, and the number of all items.

    The last batch reaches back into the one before, so that nothing has to be compiled for another size.

    Raises:
        InvalidInputError: No items, or parts of different lengths.
    """
    import keras
    import tensorflow as tf

    parts = [np.asarray(part) for part in keras.tree.flatten(inputs)]
    lengths = {len(part) if part.ndim else 0 for part in parts}
    if len(lengths) != 1 or 0 in lengths or batch_size < 1:
        raise InvalidInputError(
            f"The inputs hold {sorted(lengths)} items, in batches of {batch_size}", "the same number, at least 1"
        )
    total = lengths.pop()
    size = min(batch_size, total)
    for start in range(0, total, size):
        stop = min(start + size, total)
        cut = [tf.convert_to_tensor(part[stop - size : stop]) for part in parts]
        yield keras.tree.pack_sequence_as(inputs, cut), stop - start, total


def as_outputs(parts: Sequence[tuple[list[Any], int]]) -> Any:
    """The new items of every batch, joined."""
    joined = tuple(
        np.concatenate([outputs[number][len(outputs[number]) - fresh :] for outputs, fresh in parts])
        for number in range(len(parts[0][0]))
    )
    return joined[0] if len(joined) == 1 else joined
