"""The catalogue of properties, one theme a file."""
