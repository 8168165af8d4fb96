"""The search for a lost seed."""

from __future__ import annotations

from .search import FoundSeed, SeedSearch, find_seed, search_seed

__all__ = ["FoundSeed", "SeedSearch", "find_seed", "search_seed"]
