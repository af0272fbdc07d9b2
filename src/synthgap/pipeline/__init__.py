"""Which stage needs what, in order: the comparison of natural with synthetic images, the trials, the plain measurement.

Embeddings are kept in the run folder and are not computed again; what follows takes seconds and is always computed
from them, so a run that was killed and repeated ends as one that was not.
"""

from synthgap.pipeline.comparing import compare, compare_many
from synthgap.pipeline.files import measure_files
from synthgap.pipeline.probes import probe
from synthgap.pipeline.refine_origin import Where
from synthgap.pipeline.refining import refine
from synthgap.pipeline.run import CompareOptions
from synthgap.pipeline.sweeps import sweep
from synthgap.pipeline.triaging import triage
from synthgap.pipeline.trials import cross_trials
from synthgap.stages.inputs import SetInput

__all__ = [
    "CompareOptions",
    "SetInput",
    "Where",
    "compare",
    "compare_many",
    "cross_trials",
    "measure_files",
    "probe",
    "refine",
    "sweep",
    "triage",
]
