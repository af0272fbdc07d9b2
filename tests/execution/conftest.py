"""``sample_job`` is a module that worker processes import too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode leaves sibling modules out
