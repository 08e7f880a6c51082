"""Ablation of pooling: variants of a model, the surgery that makes them, and what they cost."""
