"""prm: process reward models without step labels or gold answers."""

__version__ = "0.1.0"
