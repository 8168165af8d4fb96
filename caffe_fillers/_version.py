"""The package's version. It is stated only here."""

__version__ = "0.1.0"
