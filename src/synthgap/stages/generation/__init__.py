"""Generation: a spec becomes a plan, and the plan becomes image shards (design section 3)."""

from synthgap.prompts.adjustments import Adjustment
from synthgap.stages.generation.adjusting import Proposals, adjusted_before, propose, write_adjustments
from synthgap.stages.generation.drawing import generate, plan_for, set_manifest
from synthgap.stages.generation.estimate import Estimate, estimate
from synthgap.stages.generation.planning import Plan, class_list, plan_set

__all__ = [
    "Adjustment",
    "Estimate",
    "Plan",
    "Proposals",
    "adjusted_before",
    "class_list",
    "estimate",
    "generate",
    "plan_for",
    "plan_set",
    "propose",
    "set_manifest",
    "write_adjustments",
]
