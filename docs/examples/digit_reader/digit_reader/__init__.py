"""Is it a two? A small classifier of handwritten digits with a pooling layer of its own."""
