"""A trained posterior: what `fit` returns, and what predicts."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from astropy.nddata import CCDData
from jaxtyping import Float
from pyro.infer import Predictive
from torch import Tensor

from bayescr._device import compute_dtype, find_device
from bayescr._names import kebab
from bayescr._progress import track
from bayescr._random import seeded
from bayescr.data import Scaling
from bayescr.errors import BayescrError
from bayescr.inference._pyro import draw_latents, example_batch, guide_name, local_parameters
from bayescr.inference.guides import GuideFactory
from bayescr.inference.prediction import Prediction, RunningPrediction
from bayescr.inference.predictive import tiled
from bayescr.models import BayesianSegmenter, receptive_radius

__all__ = ["Posterior"]


@dataclass(kw_only=True, eq=False, repr=False)
class Posterior:
    """Model, trained guide, scaling and where they come from.

    Attributes:
        model: The Pyro model. The weights in ``model.net`` are where the fit started: predict
            with `logits` or `predict`, not with ``model.net(x)``.
        guide: The trained guide, an approximation of p(w | data).
        guide_factory: What made the guide; a saved file names it.
        scaling: From pixels to network input, as in training.
        in_channels: Channels of the network's input.
        temperature: T of the target p(w) p(D|w)^(1/T): the final kl_weight. Only 1 is the
            Bayesian posterior.
        history: One row an epoch: loss and NLL per pixel, KL in nats, kl_weight.
        provenance: Settings, data and versions of the fit; JSON.
    """

    model: BayesianSegmenter
    guide: Any
    guide_factory: GuideFactory
    scaling: Scaling
    in_channels: int = 1
    temperature: float = 1.0
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the guide as on the command line, ``mean-field``."""
        return kebab(guide_name(self.guide_factory))

    @functools.cached_property
    def num_classes(self) -> int:
        """Classes per pixel, K: the maps that the network gives."""
        _, target = example_batch(self.model, self.in_channels)
        return target.shape[1]

    def __repr__(self) -> str:
        """Guide, size and temperature in a line."""
        weights = sum(weight.numel() for weight in self.model.random_weights.values())
        return (
            f"Posterior({self.name}, {weights} random weights, "
            f"prior={self.model.prior!r}, temperature={self.temperature:g})"
        )

    def draw(
        self, num_samples: int, *, seed: int = 0, sites: list[str] | None = None
    ) -> dict[str, Tensor]:
        """Draws of the latents from the guide, {site: (num_samples, *shape)}.

        Draw k depends on the seed, k and the kind of device (CPU or GPU) alone: more draws begin
        with the same ones.

        Args:
            num_samples: Number of draws.
            seed: Their seed.
            sites: Which latents; default all.
        """
        draws: dict[str, list[Tensor]] = {}
        for latents in self._draws(num_samples, seed):
            chosen = list(latents) if sites is None else sites
            unknown = [name for name in chosen if name not in latents]
            if unknown:
                raise BayescrError(f"no latent '{unknown[0]}': there are {', '.join(latents)}")
            for name in chosen:
                draws.setdefault(name, []).append(latents[name])
        return {name: torch.stack(values) for name, values in draws.items()}

    def median(self) -> dict[str, Tensor]:
        """The centre of the guide, by site: where another fit may start."""
        try:
            with torch.no_grad(), local_parameters():
                return {name: value.detach() for name, value in self.guide.median().items()}
        except (AttributeError, NotImplementedError) as error:
            raise BayescrError(
                f"guide '{self.name}' has no median() that says where its centre is: give it one, "
                "or take another guide, such as MeanField()"
            ) from error

    def logits(
        self,
        image: Float[Tensor, "C H W"],
        *,
        num_samples: int = 16,
        seed: int = 0,
        tile: int | None = 256,
        batch: int = 1,
        precision: str = "float32",
        draws: Mapping[str, Tensor] | None = None,
    ) -> Iterator[Float[Tensor, "K H W"]]:
        """One map of logits a posterior draw, for an image that is scaled already.

        A network that looks everywhere, or has no ``stride`` to say where tiles may begin, sees
        the whole image whatever ``tile`` says.

        Args:
            image: Network input, as `Scaling` or a `PatchDataset` makes it.
            num_samples: Number of draws.
            seed: Their seed.
            tile: Side of the tiles, which change nothing but speed and memory; None for none.
            batch: Tiles that go through the network together.
            precision: ``"float32"``, ``"bfloat16"``, or ``"auto"`` for what the hardware does best.
            draws: Weights to use instead, as `draw` returns them.
        """
        self._check_image(image)
        image = image.to(self.device)
        halo, stride = self._reach if tile is not None else (None, 1)
        tile = tile if halo is not None else None
        dtype = compute_dtype(precision, image.device)
        logits: Tensor | None = None
        for latents in self._draws(num_samples, seed) if draws is None else _unstack(draws):
            # A point mass draws the same weights again and again: once is enough.
            if logits is None or draws is not None or not self._is_point:
                weights = {name: _weight(latents, name) for name in self.model.random_weights}

                def network(images: Tensor, weights: dict[str, Tensor] = weights) -> Tensor:
                    return self.model.logits(images, weights)

                with torch.no_grad(), self.model.computing_in(dtype):
                    logits = tiled(network, image, tile=tile, halo=halo, stride=stride, batch=batch)
            yield logits

    def predict(
        self,
        frame: CCDData | np.ndarray[Any, Any],
        *,
        num_samples: int = 16,
        seed: int = 0,
        tile: int | None = 256,
        batch: int = 1,
        device: torch.device | str | None = None,
        precision: str = "float32",
        draws: Mapping[str, Tensor] | None = None,
        progress: bool = False,
    ) -> Prediction:
        """Posterior maps of a frame.

        Sums over draws are kept, never the draws: memory does not depend on ``num_samples``.

        Args:
            frame: An exposure, `read_frame`, or a plain array (H, W) in any linear unit.
            num_samples: Posterior draws.
            seed: Their seed.
            tile: Side of the tiles, which change nothing but speed and memory; None for none.
            batch: Tiles that go through the network together.
            device: Where; the posterior moves there. Default: where it is.
            precision: ``"float32"``, ``"bfloat16"``, or ``"auto"`` for what the hardware does best.
            draws: Weights to use instead, as `draw` returns them.
            progress: Show a bar.

        Example:
            >>> prediction = posterior.predict(read_frame("a_flc.fits"))  # doctest: +SKIP
        """
        if device is not None:
            self.to(device)
        scaled, valid = self.scaling(frame)
        running = RunningPrediction()
        maps = self.logits(
            torch.from_numpy(scaled),
            num_samples=num_samples,
            seed=seed,
            tile=tile,
            batch=batch,
            precision=precision,
            draws=draws,
        )
        with track(f"predict {self.name}", num_samples, show=progress) as advance:
            for logits in maps:
                running.add(logits)
                advance()
        return running.result(valid=valid, frame=frame if isinstance(frame, CCDData) else None)

    def predictive(self, num_samples: int = 16, *, seed: int = 0) -> Predictive:
        """Pyro's own predictive over the draws that `predict` would use.

        Call it with a batch of scaled images (B, C, H, W); it returns ``logits`` and labels
        ``obs``, each (num_samples, B, K, H, W), and keeps them all: for small images.
        """

        def model(*args: Any, **kwargs: Any) -> Any:
            with local_parameters():
                return self.model(*args, **kwargs)

        return Predictive(
            model,
            posterior_samples=self.draw(num_samples, seed=seed),
            return_sites=("logits", "obs"),
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.model.random_weights.values())).device

    def to(self, device: torch.device | str | None) -> Posterior:
        """Move model and guide to a device; returns self."""
        place = find_device(device)
        self.model.to(place)
        self.guide.to(place)
        return self

    def save(self, path: str | Path) -> Path:
        """Write one safetensors file, JSON inside; a name without suffix is a folder for it."""
        from bayescr.inference.checkpoints import save

        return save(self, path)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        model: BayesianSegmenter | None = None,
        guide: GuideFactory | None = None,
        device: torch.device | str | None = "cpu",
    ) -> Posterior:
        """Read what `save` wrote; see `bayescr.inference.checkpoints.load`."""
        from bayescr.inference.checkpoints import load

        return load(path, model=model, guide=guide, device=device)

    @functools.cached_property
    def _reach(self) -> tuple[int | None, int]:
        """Halo and stride of the network; one that does not say its stride is left whole."""
        net = self.model.net
        stride = getattr(net, "stride", None)
        if not isinstance(stride, int):  # where tiles may begin is unknown
            return None, 1
        return receptive_radius(net, in_channels=self.in_channels, stride=stride), stride

    @functools.cached_property
    def _is_point(self) -> bool:
        with seeded(0, device=self.device):
            return draw_latents(self.guide)[1]

    def _draws(self, num_samples: int, seed: int) -> Iterator[dict[str, Tensor]]:
        if num_samples < 1:
            raise BayescrError(f"num_samples is {num_samples}: expected a whole number from 1 up")
        for index in range(num_samples):
            with seeded(seed, index, device=self.device):
                latents, _ = draw_latents(self.guide)
            yield latents

    def _check_image(self, image: Tensor) -> None:
        if image.dim() != 3 or len(image) != self.in_channels:
            raise BayescrError(
                f"image has shape {tuple(image.shape)}: expected ({self.in_channels}, H, W)"
            )


def _weight(latents: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in latents:
        raise BayescrError(f"draws lack weight '{name}': draw all sites, `posterior.draw(8)`")
    return latents[name]


def _unstack(draws: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    sizes = [len(values) for values in draws.values()]
    if not sizes or min(sizes) < 1:
        raise BayescrError("draws are empty: draw at least one, `posterior.draw(8)`")
    for index in range(sizes[0]):
        yield {name: values[index] for name, values in draws.items()}
