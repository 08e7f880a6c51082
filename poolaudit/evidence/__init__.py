"""What the stages measured: frozen, plain data. Detectors judge it, reports show it, JSON stores it."""
