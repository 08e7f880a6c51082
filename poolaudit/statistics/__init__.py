"""Intervals, exact tests, draws from counts and ranking metrics: NumPy and `scipy.special`, nothing heavier."""
