"""Proof: what many trained networks score, as one table, one curve, with the chance of training in its intervals."""

from synthgap.stages.proof.seeds import over_seeds
from synthgap.stages.proof.standing import STANDINGS, Standing, standing, standing_rows

__all__ = ["STANDINGS", "Standing", "over_seeds", "standing", "standing_rows"]
