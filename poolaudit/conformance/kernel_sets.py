"""Which kernels TensorFlow uses here: oneDNN's or its own on the CPU, and those of a GPU where one is present."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

KERNEL_MODE = "eager_other_kernels"
"""Eager in a process with the other oneDNN setting."""

GPU_MODE = "eager_gpu"
"""Eager in a process that sees the GPU; every other process is kept off it."""

KERNEL_MODES = (KERNEL_MODE, GPU_MODE)
"""Modes that are run in processes of their own, eagerly."""

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


def kernels_of(mode: str) -> str:
    """ "onednn", "plain" or "gpu": the kernels that run in a mode."""
    if mode == GPU_MODE:
        return "gpu"
    here = kernels_in_use()
    return here if mode != KERNEL_MODE else "plain" if here == "onednn" else "onednn"


@cache
def gpu_is_present() -> bool:
    """Whether the driver of an NVIDIA GPU is loaded and the environment does not hide it; TensorFlow is not asked."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    return hidden not in ("", "-1") and any(Path("/proc/driver/nvidia/gpus").glob("*"))


@cache
def _cpu_features() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(found.partition(":")[2].split())
