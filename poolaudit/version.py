"""The package's version: its one home; packaging and provenance read it here."""

__version__ = "0.1.0"
