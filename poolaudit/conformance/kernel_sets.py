"""Which set of CPU kernels TensorFlow uses here: oneDNN's or its own."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

KERNEL_MODE = "eager_other_kernels"
"""Eager in a process with the other oneDNN setting."""

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
_OFF = ("0", "false", "False")
# TensorFlow turns oneDNN on by itself on CPUs with one of these (tensorflow/core/util/util.cc, IsMKLEnabled).
_DEEP_LEARNING_FEATURES = frozenset({"avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16"})


def kernels_in_use() -> str:
    """ "onednn" or "plain", as a process started now with this environment would use."""
    setting = os.environ.get(VARIABLE)
    if setting is not None:
        return "plain" if setting in _OFF else "onednn"
    return "onednn" if _cpu_features() & _DEEP_LEARNING_FEATURES else "plain"


def other_setting() -> str:
    """The value of `TF_ENABLE_ONEDNN_OPTS` that selects the kernels that are not in use."""
    return "0" if kernels_in_use() == "onednn" else "1"


@cache
def _cpu_features() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(found.partition(":")[2].split())
