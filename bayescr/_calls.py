"""What is called in the middle of a fit, looked at before it begins."""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import Any, NamedTuple

from bayescr.errors import BayescrError

__all__ = ["check_call"]


class _Kind(NamedTuple):
    """How the members of a family are called, where they are, and one to name in a message."""

    call: tuple[str, ...]
    package: str
    example: str


_KINDS = {
    "guide": _Kind(("model",), "bayescr.inference", "guides.MeanField()"),
    "prior": _Kind(("name", "parameter"), "bayescr.models", "priors.FanInNormal()"),
    "likelihood": _Kind(("logits", "target", "valid"), "bayescr.models", "likelihoods.Bernoulli()"),
    "KL schedule": _Kind(("fraction",), "bayescr.inference", "annealing.constant(1.0)"),
    "learning-rate schedule": _Kind(
        ("fraction",), "bayescr.inference", "annealing.warmup_cosine()"
    ),
    "estimator": _Kind(("model", "guide"), "bayescr.inference", "gradients.WeightDraws()"),
}
_MAY_BE_CLASSES = ("guide", "estimator")  # called, they make an object


def check_call(thing: Any, kind: str, *, name: str | None = None) -> None:
    """Find out now, and not in the middle of a fit, that a thing cannot be called as it will be.

    Args:
        thing: A guide's factory, a prior, a likelihood, a schedule or an estimator.
        kind: Which of them: ``"prior"``. Things of other kinds are not looked at.
        name: How the user called it, where that was by name.

    Raises:
        BayescrError: For the name, the class or the maker of a thing in its place, a built guide,
            a distribution, or what takes other arguments; the message has the way out.

    Example:
        >>> from bayescr.models import priors
        >>> check_call(priors.Normal(), "prior")
    """
    if kind not in _KINDS:
        return
    call, _, example = _KINDS[kind]
    who = kind if name is None else f"{kind} '{name}'"
    called_with = f"({', '.join(call)})"
    is_class = inspect.isclass(thing)
    if isinstance(thing, str):
        raise BayescrError(f"{kind} is the text {thing!r}: {_looked_up(thing, kind)}")
    if not is_class and hasattr(thing, "log_prob") and hasattr(thing, "event_shape"):
        raise BayescrError(
            f"{who} is the distribution {thing}: expected what makes one for each weight, such as "
            "lambda name, parameter: dist.Normal(0.0, 1.0).expand(parameter.shape).to_event("
            f"parameter.dim()), or {example}"
        )
    if not callable(thing):
        raise BayescrError(
            f"{who} is {thing!r}: expected something to call with {called_with}, such as {example}"
        )
    if kind == "guide" and not is_class and hasattr(thing, "named_parameters"):
        raise BayescrError(
            f"{who} is of type {type(thing).__name__}, a guide that is made for one model "
            f"already: give what makes it, such as {example} without (model)"
        )
    takes, fits = _takes(thing, call)
    fits = fits and (not is_class or kind in _MAY_BE_CLASSES)
    title = getattr(thing, "__name__", type(thing).__name__)
    if not fits and is_class and name is None:
        raise BayescrError(f"{kind} is the class {title}: give its settings, {title}()")
    if not fits:
        way_out = (
            f"if it makes one, call it, {title}()"
            if name is None
            else f'give it its arguments, {{name = "{name}", ... = ...}}, or defaults for them'
        )
        raise BayescrError(f"{who} takes {takes} but is called with {called_with}: {way_out}")
    if call == ("fraction",) and callable(thing(1.0)):
        raise BayescrError(f"{who} makes a schedule and is none: call it, {title}()")


def _takes(thing: Any, call: tuple[str, ...]) -> tuple[str, bool]:
    """What can be given to a thing, and whether a call does; so, where nothing says."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):  # written in C
        return "(...)", True
    try:
        signature.bind(*call)
        fits = True
    except TypeError:
        fits = False
    return f"({', '.join(signature.parameters)})", fits


def _looked_up(text: str, kind: str) -> str:
    """The way out for whoever gave a name, as the command line takes, where a thing belongs."""
    _, package, example = _KINDS[kind]
    family = example.partition(".")[0]
    members = importlib.import_module(f"{package}.{family}").FAMILY
    close = difflib.get_close_matches(text.lower().replace("_", "-"), list(members), 1, 0.5)
    return (
        f"look it up, {family}.{members[close[0]].__name__}()"
        if close
        else (f"expected the thing itself, such as {example}")
    )
