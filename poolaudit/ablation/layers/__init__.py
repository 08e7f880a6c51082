"""Pooling layers that variants put in place of a model's own, registered with Keras under the package "poolaudit".

A model that holds them loads in plain Keras once this module is imported:

    import keras
    import poolaudit.ablation.layers
    model = keras.saving.load_model("variant.keras")
"""

from poolaudit.ablation.layers.blur import BlurPooling1D, BlurPooling2D, BlurPooling3D
from poolaudit.ablation.layers.gem import (
    GeMPooling1D,
    GeMPooling2D,
    GeMPooling3D,
    GlobalGeMPooling1D,
    GlobalGeMPooling2D,
    GlobalGeMPooling3D,
)
from poolaudit.ablation.layers.initializers import AverageKernel
from poolaudit.ablation.layers.mixed import (
    GlobalMixedPooling1D,
    GlobalMixedPooling2D,
    GlobalMixedPooling3D,
    MixedPooling1D,
    MixedPooling2D,
    MixedPooling3D,
)
from poolaudit.ablation.layers.polyphase import PolyphasePooling1D, PolyphasePooling2D, PolyphasePooling3D
from poolaudit.ablation.layers.resize import ResizeAverage
from poolaudit.ablation.layers.subsample import Subsampling1D, Subsampling2D, Subsampling3D

__all__ = [
    "AverageKernel",
    "BlurPooling1D",
    "BlurPooling2D",
    "BlurPooling3D",
    "GeMPooling1D",
    "GeMPooling2D",
    "GeMPooling3D",
    "GlobalGeMPooling1D",
    "GlobalGeMPooling2D",
    "GlobalGeMPooling3D",
    "GlobalMixedPooling1D",
    "GlobalMixedPooling2D",
    "GlobalMixedPooling3D",
    "MixedPooling1D",
    "MixedPooling2D",
    "MixedPooling3D",
    "PolyphasePooling1D",
    "PolyphasePooling2D",
    "PolyphasePooling3D",
    "ResizeAverage",
    "Subsampling1D",
    "Subsampling2D",
    "Subsampling3D",
]
