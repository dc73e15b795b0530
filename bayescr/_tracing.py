"""What a model or a guide does when it is called, site by site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyro import poutine

__all__ = ["traced"]


def traced(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The `pyro.poutine.Trace` of a call, without nodes for its arguments and result.

    ``poutine.trace(fn).get_trace()`` would add a table of all shapes to the message of any error.
    """
    with poutine.trace() as tracer:
        fn(*args, **kwargs)
    return tracer.trace
