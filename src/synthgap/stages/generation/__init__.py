"""Generation: a spec becomes a plan, and the plan becomes image shards (design section 3)."""

from synthgap.stages.generation.drawing import generate, set_manifest
from synthgap.stages.generation.estimate import Estimate, estimate
from synthgap.stages.generation.planning import Plan, plan_set

__all__ = ["Estimate", "Plan", "estimate", "generate", "plan_set", "set_manifest"]
