"""Detectors: each reads evidence and policy and returns at most one finding about one pitfall."""
