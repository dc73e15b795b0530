"""One pass over a dataset, one exposure at a time, for all posteriors at once.

Of every draw's logit map only sums are kept; of every pixel, what exact ranking metrics need: the
float32 logit of the mean probability, the mutual information and the label. Draw s is the same
weights in every exposure, because every exposure is predicted from the same seed, so that

    log_likelihood[s, e] = sum over valid pixels i of exposure e of log Bernoulli(y_i | p_i(w_s))

is a function of one weight draw, as leave-one-exposure-out needs. All patches of an exposure add
up. `positive_fraction[s, e]` is the fraction of positive pixels in labels replicated from draw s:
the posterior predictive counterpart of the fraction observed.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import softplus

from bayescr._names import unknown_name
from bayescr.errors import BayescrError
from bayescr.evaluation._arrays import Array
from bayescr.evaluation.records import Observed, Scored, fraction
from bayescr.inference.prediction import RunningPrediction

__all__ = ["DatasetLike", "PosteriorLike", "stream"]


class PosteriorLike(Protocol):
    """What the evaluation needs of a posterior: logit maps, draws of its sites and who it is."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def scaling(self) -> Any: ...  # noqa: D102
    @property
    def temperature(self) -> float: ...  # noqa: D102
    @property
    def num_classes(self) -> int: ...  # noqa: D102
    @property
    def provenance(self) -> Mapping[str, Any]: ...  # noqa: D102

    def logits(
        self, image: torch.Tensor, *, num_samples: int = 16, seed: int = 0
    ) -> Iterator[torch.Tensor]:
        """One (C, H, W) logit map for each draw; the seed alone decides the draws."""

    def draw(
        self, num_samples: int, *, seed: int = 0, sites: list[str] | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Draws of the sites, each (S, *shape); the draws behind ``logits`` of the same seed."""


class DatasetLike(Protocol):
    """What the evaluation needs of a :class:`~bayescr.data.PatchDataset`."""

    @property
    def scaling(self) -> Any: ...  # noqa: D102
    @property
    def fields(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def num_classes(self) -> int: ...  # noqa: D102

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


def stream(
    posteriors: Mapping[str, PosteriorLike],
    dataset: DatasetLike,
    *,
    num_samples: int,
    seed: int,
    sites: Sequence[str] | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[Observed, dict[str, Scored]]:
    """Predict every item of a dataset with every posterior; see :func:`~.report.evaluate`."""
    draws = {
        name: _draw_sites(name, posterior, num_samples=num_samples, seed=seed, sites=sites)
        for name, posterior in posteriors.items()
    }
    streams = {
        name: _Stream(name, posterior, num_samples=num_samples, seed=seed)
        for name, posterior in posteriors.items()
    }
    digest = hashlib.sha256()
    items, targets = [], []
    for index in range(len(dataset)):
        item = dataset[index]
        exposure, target = str(item["exposure"]), item["target"]  # target: (C, H, W)
        mask = item["valid"].expand_as(target)
        for part in (item["image"], target, item["valid"]):
            digest.update(f"{exposure} {tuple(part.shape)} {part.dtype} ".encode())
            digest.update(part.contiguous().cpu().numpy().tobytes())
        labels = target[mask]  # (N,)
        if not torch.all((labels == 0) | (labels == 1)):
            raise BayescrError(f"target of exposure '{exposure}' is not 0 or 1 in a valid pixel")
        labels = labels == 1
        for posterior_stream in streams.values():
            posterior_stream.add(item["image"], mask, labels, exposure)
        items.append(exposure)
        targets.append(labels.cpu().numpy())
        if progress is not None:
            progress(index + 1, len(dataset))
    observed = Observed(
        exposures=tuple(dict.fromkeys(items)),
        fields=dict(dataset.fields),
        items=tuple(items),
        target=tuple(targets),
        sha256=digest.hexdigest(),
    )
    return observed, {
        name: posterior_stream.result(observed, draws[name])
        for name, posterior_stream in streams.items()
    }


class _Stream:
    """The running sums of one posterior."""

    def __init__(self, name: str, posterior: PosteriorLike, *, num_samples: int, seed: int) -> None:
        self.name, self.posterior = name, posterior
        self.num_samples, self.seed = num_samples, seed
        self.logit: list[Array] = []
        self.mutual_information: list[Array] = []
        self.log_likelihood: dict[str, Array] = {}  # exposure -> (S,)
        self.positives: dict[str, Array] = {}  # exposure -> (S,) replicated positive pixels
        self.generators: dict[str, np.random.Generator] = {}

    def add(
        self, image: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor, exposure: str
    ) -> None:
        """Add one item: its image (C_in, H, W), mask (C, H, W) and the labels (N,) under it."""
        # An exposure has its own random numbers: its replicas do not depend on its neighbours.
        generator = self.generators.setdefault(
            exposure, np.random.default_rng([self.seed, zlib.crc32(exposure.encode())])
        )
        running = RunningPrediction()
        likelihoods, positives = [], []
        for logits in self.posterior.logits(image, num_samples=self.num_samples, seed=self.seed):
            if logits.shape != mask.shape:
                raise BayescrError(
                    f"posterior '{self.name}' gives logits of shape {tuple(logits.shape)} but the "
                    f"target of exposure '{exposure}' has {tuple(mask.shape)}: were they made for "
                    "the same classes?"
                )
            z = logits.detach().cpu()[mask.cpu()].double()  # (N,)
            if torch.isnan(z).any():
                raise BayescrError(
                    f"posterior '{self.name}' gives NaN logits for exposure '{exposure}': "
                    "did its training diverge?"
                )
            running.add(z.reshape(1, 1, -1))
            likelihoods.append(-softplus(torch.where(labels.cpu(), -z, z)).sum().item())
            replica = generator.random(len(z)) < torch.sigmoid(z).numpy()
            positives.append(np.count_nonzero(replica))
        prediction = running.result()
        self.logit.append(prediction.logit.ravel())
        self.mutual_information.append(prediction.mutual_information.ravel())
        for sums, values in ((self.log_likelihood, likelihoods), (self.positives, positives)):
            sums[exposure] = sums.get(exposure, 0) + np.asarray(values)

    def result(self, observed: Observed, draws: Mapping[str, Array]) -> Scored:
        """The scores of all items added; its sums over draws as (S, E) arrays."""
        positives = np.stack([self.positives[e] for e in observed.exposures], axis=1)
        return Scored(
            guide=self.posterior.name,
            temperature=float(self.posterior.temperature),
            provenance=self.posterior.provenance,
            logit=tuple(self.logit),
            mutual_information=tuple(self.mutual_information),
            log_likelihood=np.stack([self.log_likelihood[e] for e in observed.exposures], axis=1),
            positive_fraction=fraction(positives, observed.num_pixels),
            draws=draws,
        )


def _draw_sites(
    name: str,
    posterior: PosteriorLike,
    *,
    num_samples: int,
    seed: int,
    sites: Sequence[str] | None,
) -> dict[str, Array]:
    """Draws of the sites asked for; by default of the head, or else of the smallest site."""
    known = {site: value.numel() for site, value in posterior.draw(1, seed=seed).items()}
    if not known:
        return {}
    if sites is None:
        head = [site for site in known if site.startswith("head")]
        sites = head or [min(known, key=lambda site: (known[site], site))]
    for site in sites:
        if site not in known:
            raise unknown_name(f"site of posterior '{name}'", site, list(known))
    draws = posterior.draw(num_samples, seed=seed, sites=list(sites))
    return {site: draws[site].detach().cpu().numpy() for site in sites}
