"""Shipped studies: YAML files for ``synthgap run NAME`` and, the first of them, ``synthgap demo``."""
