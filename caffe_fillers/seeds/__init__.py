"""The search for a lost seed."""

from __future__ import annotations

from .result import FoundSeed, SeedSearch
from .search import find_seed, search_seed

__all__ = ["FoundSeed", "SeedSearch", "find_seed", "search_seed"]
