"""Handwritten digits of 8 x 8 cells, scaled to [0, 1], divided into training, validation and test data."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

CLASS_NAMES = ("another digit", "two")
Split = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def load_splits() -> dict[str, Split]:
    """Inputs (n, 8, 8, 1) float32 and labels (n,), 1 for a two; the division never changes."""
    images, digits = load_digits(return_X_y=True)
    x = (images / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    train, rest = train_test_split(np.arange(len(x)), test_size=1000, stratify=digits, random_state=0)
    validation, test = train_test_split(rest, test_size=800, stratify=digits[rest], random_state=0)
    parts = {"train": train, "validation": validation, "test": test}
    return {name: (x[items], (digits[items] == 2).astype(np.int64)) for name, items in parts.items()}


def shifted(split: Split) -> Split:
    """The items and their copies shifted by one cell each way: a digit is the same digit one cell further."""
    moves = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
    return np.concatenate([np.roll(split[0], move, axis=(1, 2)) for move in moves]), np.tile(split[1], len(moves))
