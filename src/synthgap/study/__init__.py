"""A study: sets are drawn and compared with natural images, networks learn from them, and one report tells it.

``loading`` reads it, ``sets`` writes out presets and grids, ``places`` finds its images, ``checks`` says what cannot run,
``running`` runs it and ``estimate`` tells beforehand what it takes.
"""

from synthgap.study.loading import load_study, shipped_studies
from synthgap.study.places import LAB, lab_images

__all__ = ["LAB", "lab_images", "load_study", "shipped_studies"]
