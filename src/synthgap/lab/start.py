"""Going on from a world that exists: its weights as the beginning of a new one's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from synthgap.core.errors import InputError

WEIGHTS = {
    "autoencoder": ("generator/vae/diffusion_pytorch_model.safetensors",),
    "denoiser": ("generator/unet/diffusion_pytorch_model.safetensors", "generator/text_encoder/model.safetensors"),
    "encoder": ("encoder/open_clip_model.safetensors",),
    "judge": ("judge/model.safetensors",),
}
"""Files of each part in a world."""


@dataclass(frozen=True)
class Start:
    """A world of ``synthgap lab train``, or the shipped one."""

    folder: Path

    def file(self, name: str) -> Path:
        """A file of the world; InputError where it is missing."""
        path = self.folder / name
        if not path.exists():
            raise InputError(
                f"{self.folder} is no world to start from: {name} is missing; name a folder of `synthgap lab train`"
            )
        return path

    def digest(self, part: str) -> str:
        """Hash of a part's weights: what a run that goes on from them is known by."""
        found = hashlib.sha256()
        for name in WEIGHTS[part]:
            found.update(self.file(name).read_bytes())
        return found.hexdigest()[:16]

    def begin(self, part: str, *modules: nn.Module) -> None:
        """Load the weights of a part into its modules (one per file of WEIGHTS).

        Raises InputError where names or shapes differ: a world goes on with the widths that it has.
        """
        from safetensors.torch import load_file

        for name, module in zip(WEIGHTS[part], modules, strict=True):
            try:
                state = {
                    key: value.float() if value.is_floating_point() else value
                    for key, value in load_file(self.file(name)).items()
                }
                module.load_state_dict({**{k: v for k, v in module.state_dict().items() if k == "attn_mask"}, **state})
            except RuntimeError as error:
                first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
                raise InputError(
                    f"{self.folder / name} does not fit these settings ({first}): use the widths and sizes that it was trained with"
                ) from None
