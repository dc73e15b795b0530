"""Labels as FITS files that a dataset reads, and as a table that says what was found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from bayescr.data.formats import LabelledImage
from bayescr.data.formats.native import write
from bayescr.labels.labels import Labels

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["label_table", "write_labels"]


def write_labels(
    labels: Labels | Sequence[Labels],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write labels as SCI, DQ, CRMASK, CRVALID, CRCONF and CRCHARGE.

    The header says how many events were found, and how many false ones are to be expected
    (NUMEVENT, NUMCTRL), and the gain and read noise, where known (GAIN, READNSE).

    Args:
        labels: Those of an exposure, or of each of its chips.
        path: The file; ``.fits.gz`` compresses it.
        overwrite: Whether an existing file may be replaced.

    Raises:
        BayescrError: If the file exists and may not be replaced, or cannot be written.
    """
    chips = [labels] if isinstance(labels, Labels) else list(labels)
    write([_image(one) for one in chips], Path(path), overwrite=overwrite)


def label_table(labels: Mapping[str, Labels]) -> pd.DataFrame:
    """A row for each exposure.

    Args:
        labels: By name of the exposure.

    Returns:
        Events, control events, flagged pixels, valid fraction, sigma (in the unit of the frame),
        gain, read noise and shifts.
    """
    import pandas as pd

    rows = {
        name: {
            "events": one.num_events,
            "control_events": one.num_control,
            "flagged_pixels": int(one.truth.sum()),
            "valid_fraction": float(np.mean(one.valid)),
            "sigma": one.sigma,
            "unit": str(one.frame.unit),
            "gain": one.noise.gain,
            "read_noise": one.noise.read_noise,
            "shift_rows": one.shift[0],
            "shift_columns": one.shift[1],
        }
        for name, one in labels.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("exposure")


def _image(labels: Labels) -> LabelledImage:
    header = fits.Header(labels.frame.header, copy=True)
    header["NUMEVENT"] = (labels.num_events, "cosmic rays found")
    header["NUMCTRL"] = (labels.num_control, "false ones expected: sign-flipped control")
    for keyword, value, comment in (
        ("GAIN", labels.noise.gain, "[electron / count]"),
        ("READNSE", labels.noise.read_noise, "[electron]"),
    ):
        if value is not None:
            header[keyword] = (value, comment)
    frame = labels.frame.copy()
    frame.meta = header
    return LabelledImage(
        frame=frame,
        truth=labels.truth,
        exposure="",
        reliable=labels.valid,
        confidence=labels.confidence,
        charge=labels.charge,
    )
