"""What a diffusers folder says of itself, read without its weights; and the refusal of folders that bring code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING, _get_task_class

from synthgap.core.errors import InputError, nearest

INDEX = "model_index.json"
_CONFIGS = ("config.json", "scheduler_config.json", "tokenizer_config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class PipelineIndex:
    """A pipeline's folder: its class, and which classes its parts have."""

    folder: Path
    pipeline_class: Any
    """The text-to-image class of diffusers that draws with it."""
    is_known_to_auto: bool
    """Whether ``AutoPipelineForText2Image`` finds that class."""
    document: Mapping[str, Any]
    """``model_index.json``."""

    @property
    def class_name(self) -> str:
        """The pipeline class by name."""
        return str(self.pipeline_class.__name__)

    @property
    def components(self) -> Mapping[str, str]:
        """Part -> class; those that the folder leaves empty are missing."""
        return {name: entry[1] for name, entry in self.document.items() if isinstance(entry, list) and entry[1]}

    @property
    def init(self) -> Mapping[str, inspect.Parameter]:
        """The arguments that make the pipeline."""
        return inspect.signature(self.pipeline_class.__init__).parameters

    @property
    def call(self) -> Mapping[str, inspect.Parameter]:
        """The arguments of a call of the pipeline."""
        return inspect.signature(self.pipeline_class.__call__).parameters

    def config(self, component: str) -> dict[str, Any]:
        """The configuration of a part; empty where there is none."""
        for name in _CONFIGS:
            if (path := self.folder / component / name).is_file():
                return read_json(path)
        return {}


def read_index(folder: Path) -> PipelineIndex:
    """Read a pipeline's folder.

    Raises InputError where it is no text-to-image pipeline of the installed diffusers, or a part of it would be made by
    code from elsewhere: only classes of diffusers and transformers are loaded.
    """
    document = read_json(folder / INDEX)
    pipeline_class, is_known_to_auto = _pipeline_class(folder, document.get("_class_name"))
    _refuse_code(folder, document)
    return PipelineIndex(folder, pipeline_class, is_known_to_auto, document)


def _pipeline_class(folder: Path, name: Any) -> tuple[Any, bool]:
    """The class that draws from text with a pipeline saved as ``name``, and whether diffusers' own table has it."""
    found = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not isinstance(found, type) or not issubclass(found, diffusers.DiffusionPipeline):
        known = [other for other in dir(diffusers) if other.endswith("Pipeline")]
        hint = nearest(name, known) if isinstance(name, str) else ", as its own code is never run"
        raise InputError(
            f"{folder / INDEX} names the pipeline {name!r}, which diffusers {diffusers.__version__} does not have{hint}"
        )
    drawing = _get_task_class(AUTO_TEXT2IMAGE_PIPELINES_MAPPING, name, throw_error_if_not_exist=False)
    chosen = drawing or found
    if "prompt" not in inspect.signature(chosen.__call__).parameters:
        raise InputError(f"{folder / INDEX} names {name}, which takes no prompt; expected a text-to-image pipeline")
    return chosen, drawing is not None


def _refuse_code(folder: Path, document: Mapping[str, Any]) -> None:
    """Raise InputError where loading a part would import or run anything but diffusers and transformers."""
    for part, entry in document.items():
        if part.startswith("_") or not isinstance(entry, list):
            continue
        if len(entry) != 2 or not all(item is None or isinstance(item, str) for item in entry):
            raise InputError(f"{folder / INDEX}: {part} is {entry!r}, expected a library and a class of it, or nulls")
        library, class_name = entry
        if not _is_trusted(library):
            raise InputError(
                f"{folder / INDEX}: {part} is made by {library!r}; only parts of diffusers and transformers are loaded, "
                f"code from elsewhere is never run"
            )
        if (folder / part / INDEX).is_file():
            read_index(folder / part)
        if str(class_name).startswith("Auto") and any(
            "auto_map" in read_json(path) for name in _CONFIGS if (path := folder / part / name).is_file()
        ):
            raise InputError(f"{folder / part} asks for code of its own (auto_map), which is never run")


def _is_trusted(library: str | None) -> bool:
    if library is None or library in ("diffusers", "transformers"):
        return True
    # A part of one pipeline only, such as the safety checker, is named by its folder in diffusers.
    pipelines = Path(diffusers.__file__).parent / "pipelines"
    return library.isidentifier() and (pipelines / library / "__init__.py").is_file()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; raises InputError where it holds anything else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error}); expected JSON as diffusers saves it") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds a {type(document).__name__}, expected a JSON object")
    return document
