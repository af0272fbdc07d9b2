"""``python -m synthgap`` is ``synthgap``."""

from synthgap.cli import main

main()
