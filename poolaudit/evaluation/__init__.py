"""Stage "evaluation": what predictions are worth, with intervals; no TensorFlow is imported here."""
