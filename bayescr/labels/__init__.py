"""Labels from data: which pixels cosmic rays hit, by exposures that saw the same thing otherwise.

>>> import numpy as np
>>> from astropy.nddata import CCDData
>>> from bayescr.labels import label_darks
>>> rng = np.random.default_rng(0)
>>> darks = [CCDData(rng.normal(100.0, 3.0, (64, 64)), unit="electron") for _ in range(4)]
>>> for dark in darks:
...     dark.header["EXPTIME"] = 600.0
>>> darks[2].data[30, 20:28] += 80.0
>>> [labels.num_events for labels in label_darks(darks)]
[0, 0, 1, 0]
"""

from bayescr.labels.consensus import consensus
from bayescr.labels.darks import DarkModel, dark_model, label_darks
from bayescr.labels.dq import COSMIC_RAY_BITS, labels_from_dq
from bayescr.labels.events import Events, find_events
from bayescr.labels.exposures import label_exposures
from bayescr.labels.labels import Labels
from bayescr.labels.noise import Noise, measure_noise
from bayescr.labels.spectra import label_spectra
from bayescr.labels.writing import label_table, write_labels

__all__ = [
    "COSMIC_RAY_BITS",
    "DarkModel",
    "Events",
    "Labels",
    "Noise",
    "consensus",
    "dark_model",
    "find_events",
    "label_darks",
    "label_exposures",
    "label_spectra",
    "label_table",
    "labels_from_dq",
    "measure_noise",
    "write_labels",
]
