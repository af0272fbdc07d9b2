"""A user's own function as generator: ``(prompts, seeds) -> images``.

From Python it is registered by name; on the command line and in worker processes it is named as ``module:function``.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from synthgap.core.errors import InputError, nearest
from synthgap.core.fingerprint import file_fingerprint, fingerprint
from synthgap.core.specs import GenerateSpec

SETTINGS = ("guidance_scale", "num_inference_steps", "scheduler", "height", "width", "negative_prompt")
"""Settings of the spec that a function is given where it has an argument of that name."""
_MODULE_FUNCTION = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*):([A-Za-z_]\w*)")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_REGISTERED: dict[str, Callable[..., Any]] = {}

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Plug:
    """A user's function, and what identifies it."""

    name: str
    function: Callable[..., Any]
    source: Path | None
    """The file that holds it, or None where it was typed in."""
    fingerprint: str
    """Hash of the file's bytes, or of the function's own ``revision``."""
    revision: str

    @property
    def arguments(self) -> dict[str, inspect.Parameter]:
        """The function's arguments by name."""
        return dict(inspect.signature(self.function).parameters)


def register_generator(name: str) -> Callable[[Function], Function]:
    """Register a function ``(prompts, seeds) -> images`` as the generator ``name``, for this process.

    Images are a uint8 array (b, h, w, 3), a list of PIL images, or a float tensor (b, 3, h, w) in [0, 1]. An argument
    ``device``, or one named as a setting of the spec (``guidance_scale``, ``height``, ...), is filled in.

    >>> @register_generator("grey")
    ... def grey(prompts, seeds):
    ...     import numpy
    ...     return numpy.full((len(seeds), 32, 32, 3), 128, dtype="uint8")

    Raises InputError for a name that cannot be told from a Hub id, a folder or the lab.
    """
    if not _NAME.fullmatch(name) or name == "lab":
        raise InputError(f"a generator cannot be registered as {name!r}; expected letters, digits, '_', '-' and '.'")

    def register(function: Function) -> Function:
        _REGISTERED[name] = function
        return function

    return register


def find_plug(name: str) -> Plug | None:
    """The function that ``name`` means, or None where it looks like a folder or a Hub id.

    Raises InputError where the module or the function is not there, or the function cannot be called.
    """
    if name in _REGISTERED:
        return _identified(name, _REGISTERED[name])
    parts = _MODULE_FUNCTION.fullmatch(name)
    if parts is None or Path(name).exists():
        return None
    module = _module(parts[1])
    function = getattr(module, parts[2], None)
    if function is None:
        known = [other for other, value in vars(module).items() if callable(value) and not other.startswith("_")]
        raise InputError(f"module {parts[1]!r} has no function {parts[2]!r}{nearest(parts[2], known)}")
    if not callable(function):
        raise InputError(f"{name} is a {type(function).__name__}, expected a function (prompts, seeds) -> images")
    return _identified(name, function)


def plug_settings(plug: Plug, spec: GenerateSpec) -> GenerateSpec:
    """Fill in what a spec leaves open from the defaults of a function's arguments.

    Raises InputError for a setting that the function does not take, as it would have no effect.
    """
    arguments = plug.arguments
    update: dict[str, Any] = {}
    for setting in SETTINGS:
        left_open = getattr(spec, setting) in (None, "")
        if setting not in arguments:
            if not left_open:
                raise InputError(
                    f"generator {plug.name} takes no {setting}, so that {getattr(spec, setting)!r} would have no effect; "
                    f"leave it out, or give the function an argument {setting}"
                )
        elif left_open and isinstance(default := arguments[setting].default, (int, float, str)):
            update[setting] = float(default) if setting == "guidance_scale" else default
    return spec.model_copy(update=update)


def _module(name: str) -> Any:
    """Import a module that is installed or lies in the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that nothing here hides an installed package
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise InputError(f"module {name!r} cannot be imported: {error}; install what it needs") from error
        raise InputError(
            f"there is no module {name!r}, neither installed nor in {here}; a generator function is named as module:function"
        ) from error
    except Exception as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(f"module {name!r} cannot be imported: {type(error).__name__}: {first}") from error


def _identified(name: str, function: Callable[..., Any]) -> Plug:
    source, revision = _source(function), getattr(function, "revision", None)
    if revision is None and source is None:
        raise InputError(
            f"generator {name!r} has no source file to tell its versions apart; give it one: function.revision = '1'"
        )
    if revision is not None:
        return Plug(name, function, source, fingerprint("plug", name, str(revision)), str(revision))
    assert source is not None
    content = fingerprint("plug", name, file_fingerprint(source))
    return Plug(name, function, source, content, content)


def _source(function: Any) -> Path | None:
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    try:
        found = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:  # an object that can be called
        try:
            found = inspect.getsourcefile(type(function))
        except TypeError:
            found = None
    return Path(found) if found and Path(found).is_file() else None
