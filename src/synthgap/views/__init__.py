"""How results look for people: text made of what `--format json` prints."""

from synthgap.views.comparing import measures, summary, trials
from synthgap.views.learning import evaluation, scored, trained
from synthgap.views.making import drawn, estimate, senses, status
from synthgap.views.steering import probed, refined, steering_estimate, swept, triaged

__all__ = [
    "drawn",
    "estimate",
    "evaluation",
    "measures",
    "probed",
    "refined",
    "scored",
    "senses",
    "status",
    "steering_estimate",
    "summary",
    "swept",
    "trained",
    "triaged",
    "trials",
]
