"""Using the model libraries without their own progress bars and advice."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """Silence diffusers' and transformers' bars, notes and deprecations inside the block; errors still show.

    Only libraries that are imported already are touched: importing one takes seconds.
    """
    # diffusers and transformers have a logging module with the same functions.
    libraries: list[Any] = [
        import_module(f"{name}.utils.logging") for name in ("diffusers", "transformers") if name in sys.modules
    ]
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for library in libraries:
            library.set_verbosity_error()
            library.disable_progress_bar()
        try:
            yield
        finally:
            for library, (verbosity, bars) in zip(libraries, before, strict=True):
                library.set_verbosity(verbosity)
                if bars:
                    library.enable_progress_bar()
