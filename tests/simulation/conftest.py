"""A detector without defects, to which single effects are added."""

from functools import partial

import pytest

from bayescr.simulation import Detector


@pytest.fixture(scope="session")
def clean_detector():
    """A function: settings -> a detector that has read noise, and else only what they say."""
    nothing = (
        "gain", "dark_current", "response_scatter", "hot_fraction", "warm_fraction",
        "dead_fraction", "bad_column_fraction", "transfer_loss", "row_noise", "column_noise",
        "amplifier_step", "pickup",
    )  # fmt: skip
    base = partial(Detector, **dict.fromkeys(nothing, 0.0))
    return lambda **settings: base(**settings)
