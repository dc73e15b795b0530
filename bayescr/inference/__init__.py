"""From model and data to posterior maps: guides, SVI, annealing, prediction, saved posteriors."""

from bayescr.inference import annealing, gradients, guides
from bayescr.inference.elbo import AnnealedELBO
from bayescr.inference.mcmc import nuts
from bayescr.inference.posterior import Posterior
from bayescr.inference.prediction import Prediction, RunningPrediction
from bayescr.inference.svi import fit

__all__ = [
    "AnnealedELBO",
    "Posterior",
    "Prediction",
    "RunningPrediction",
    "annealing",
    "fit",
    "gradients",
    "guides",
    "nuts",
]
