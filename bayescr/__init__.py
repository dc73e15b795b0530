"""Calibrated Bayesian segmentation of astronomical images in Pyro.

The floors of the house, each importing only from those below it:

=======================  ===============================================================
``bayescr.cli``          parse, call the library, print
``bayescr.experiments``  TOML files in; data, fits and a report out
``bayescr.evaluation``   predictions and truth in; tables and figures out
``bayescr.inference``    guides, SVI, annealing, predictive sampling, saved posteriors
``bayescr.models``       U-Net, priors, likelihoods: the Pyro model
``bayescr.data``         frames, scaling, datasets
``bayescr.simulation``   sky, detector and cosmic-ray tracks
=======================  ===============================================================
"""

__version__ = "0.1.0"
