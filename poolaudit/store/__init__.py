"""Results on disk: atomic, versioned, checked when read."""
