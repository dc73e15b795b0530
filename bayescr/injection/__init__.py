"""Real cosmic rays in any sky: tracks cut from dark frames or read from a catalogue, painted in.

The charge of a track is that of a real detector, pixel by pixel; where it is painted is known, so
the truth is exact. The sky's own hits are not valid.

>>> import numpy as np
>>> from astropy.nddata import CCDData
>>> from bayescr.injection import Track, inject
>>> sky = CCDData(np.random.default_rng(0).normal(100.0, 10.0, (64, 64)), unit="electron")
>>> painted = inject(sky, [Track(np.full((1, 5), 900.0, np.float32))], number=3, seed=0)
>>> int(painted.truth.sum())
15
"""

from bayescr.injection.catalogue import Track, TrackCatalogue
from bayescr.injection.cutting import tracks_from_labels
from bayescr.injection.painting import Injected, Placed, inject
from bayescr.injection.sources import TrackSource, imaged, read_tracks
from bayescr.injection.storing import is_catalogue, read_catalogue, write_catalogue
from bayescr.injection.writing import write_injected

__all__ = [
    "Injected",
    "Placed",
    "Track",
    "TrackCatalogue",
    "TrackSource",
    "imaged",
    "inject",
    "is_catalogue",
    "read_catalogue",
    "read_tracks",
    "tracks_from_labels",
    "write_catalogue",
    "write_injected",
]
