"""How results look for people: text made of what `--format json` prints."""

from synthgap.views.comparing import measures, summary, trials
from synthgap.views.learning import evaluation, scored, trained
from synthgap.views.making import drawn, estimate, senses, status
from synthgap.views.proving import matrix, scaling
from synthgap.views.steering import probed, refined, steering_estimate, swept, triaged
from synthgap.views.studying import study, study_estimate
from synthgap.views.transferring import transferred

__all__ = [
    "drawn",
    "estimate",
    "evaluation",
    "matrix",
    "measures",
    "probed",
    "refined",
    "scaling",
    "scored",
    "senses",
    "status",
    "steering_estimate",
    "study",
    "study_estimate",
    "summary",
    "swept",
    "trained",
    "transferred",
    "triaged",
    "trials",
]
