"""Which sets a sweep draws: one per guidance and number of steps, alike in all else."""

from __future__ import annotations

from dataclasses import dataclass

from synthgap.core.errors import InputError
from synthgap.core.specs import GenerateSpec, SweepSpec


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of the sweep."""

    name: str
    """Of its set folder, such as ``guidance-2.5`` or ``guidance-2.5-steps-20``."""
    guidance_scale: float
    num_inference_steps: int | None
    """None for the generator's own."""
    spec: GenerateSpec

    @property
    def label(self) -> str:
        """For people: ``2.5`` or ``2.5, 20 steps``."""
        steps = "" if self.num_inference_steps is None else f", {self.num_inference_steps} steps"
        return f"{self.guidance_scale:g}{steps}"


def settings(spec: GenerateSpec, sweep: SweepSpec) -> list[Setting]:
    """The settings of a sweep, by steps and then by rising guidance; equal ones count once.

    Raises InputError where the spec itself fixes what the sweep varies.
    """
    if spec.guidance_scale is not None:
        raise InputError(
            f"--guidance-scale is {spec.guidance_scale:g}, but a sweep draws at several; write --guidance with commas"
        )
    if sweep.steps and spec.num_inference_steps is not None:
        raise InputError("--steps and --num-inference-steps were both given; a sweep needs --steps only")
    found, counts = [], sorted(set(sweep.steps))
    for steps in counts if counts else (spec.num_inference_steps,):
        for guidance in sorted(set(sweep.guidance)):
            name = f"guidance-{guidance:g}" + (f"-steps-{steps}" if sweep.steps else "")
            own = spec.model_copy(update={"guidance_scale": guidance, "num_inference_steps": steps})
            found.append(Setting(name, guidance, steps, own))
    return found
