"""A trained posterior: what `fit` returns, and what predicts."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from astropy.nddata import CCDData
from jaxtyping import Float
from torch import Tensor

from bayescr._progress import track
from bayescr.data import Scaling
from bayescr.data.scaling import ScaledFrame
from bayescr.errors import BayescrError
from bayescr.inference._passes import Passes, Reach, prepare, reach
from bayescr.inference._pyro import example_batch
from bayescr.inference.base_rate import AUTO, BaseRate, logit_shift, rates_by_class, trained_rates
from bayescr.inference.estimators import Fixed, ToTolerance, choose, suited
from bayescr.inference.frame_rate import TILE, frame_rates
from bayescr.inference.guides import GuideFactory
from bayescr.inference.guides.ensemble import Ensemble
from bayescr.inference.prediction import Prediction
from bayescr.inference.predictive import in_memory, on_disk, predict_maps, tiled
from bayescr.inference.sampling import number_of_draws, same
from bayescr.inference.trained_guide import TrainedGuide
from bayescr.models import BayesianSegmenter
from bayescr.models.likelihoods import Likelihood
from bayescr.models.priors import Prior

__all__ = ["Posterior"]


@dataclass(kw_only=True, eq=False, repr=False)
class Posterior(TrainedGuide):
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

    scaling: Scaling
    in_channels: int = 1
    temperature: float = 1.0
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    provenance: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def num_classes(self) -> int:
        """Classes per pixel, K: the maps that the network gives."""
        _, target = example_batch(self.model, self.in_channels)
        return target.shape[1]

    def member(self, number: int) -> Posterior:
        """One guide of an ensemble as a posterior by itself: where another fit may start.

        Args:
            number: From 0 up.

        Raises:
            BayescrError: If this is no ensemble, or has no such member.
        """
        factory = self.guide_factory
        if not isinstance(factory, Ensemble):
            raise BayescrError(
                f"guide '{self.name}' has no members: expected the posterior of an Ensemble"
            )
        members = self.guide.members
        if not 0 <= number < len(members):
            raise BayescrError(
                f"member is {number}: expected a number from 0 to {len(members) - 1}"
            )
        return replace(
            self,
            guide=members[number],
            guide_factory=factory.guide,
            provenance={**self.provenance, "member": number},
        )

    def __repr__(self) -> str:
        """Guide, size and temperature in a line."""
        weights = sum(weight.numel() for weight in self.model.random_weights.values())
        return (
            f"Posterior({self.name}, {weights} random weights, "
            f"prior={self.model.prior!r}, temperature={self.temperature:g})"
        )

    def logits(
        self,
        image: Float[Tensor, "C H W"],
        *,
        num_samples: int = 16,
        seed: int = 0,
        sampling: str = "antithetic",
        tile: int | str | None = "auto",
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
            sampling: How they are drawn, see `draw`.
            tile: Side of the tiles, see `predict`.
            batch: Tiles that go through the network together.
            precision: ``"float32"``, ``"bfloat16"``, or ``"auto"`` for what the hardware does best.
            draws: Weights to use instead, as `draw` returns them.
        """
        self._check_shape(tuple(image.shape))
        number = number_of_draws(num_samples, draws)
        image = image.to(self.device)
        network, weights, tiles = self._passes(
            (image.shape[-2], image.shape[-1]),
            tile=tile,
            batch=batch,
            precision=precision,
            draws=draws,
            seed=seed,
            sampling=sampling,
        )
        for index in range(number):
            # A point mass draws the same weights again and again: once is enough.
            if index == 0 or not same(weights[index], weights[index - 1]):
                logits = tiled(network, weights[index], image, tiles)
            yield logits

    def predict(
        self,
        frame: CCDData | np.ndarray[Any, Any],
        *,
        num_samples: int | None = None,
        tolerance: float | None = None,
        seed: int = 0,
        sampling: str = "antithetic",
        tile: int | str | None = "auto",
        batch: int = 1,
        device: torch.device | str | None = None,
        precision: str = "auto",
        draws: Mapping[str, Tensor] | None = None,
        base_rate: BaseRate | None = None,
        scratch: str | Path | None = None,
        progress: bool = False,
    ) -> Prediction:
        """Posterior maps of a frame.

        Sums over draws are kept, never their maps, and the weights of draws up to 512 MB: memory
        depends little on ``num_samples``, and with ``scratch`` not on the size of the frame.

        Args:
            frame: An exposure, `read_frame`, or a plain array (H, W) in any linear unit; its data
                may be a memory map.
            num_samples: Posterior draws; default 16.
            tolerance: Instead of a number of draws, the root-mean-square error over a tile that the
                mean probability may have from their number being finite: a tile gets as many draws
                as that takes by its own measure, from 6 up (`bayescr.inference.estimators`). It
                speaks of the probability alone: six draws say little about ``std``.
            seed: Of the draws.
            sampling: How they are drawn, see `draw`.
            tile: Side of the tiles in pixels: it changes nothing but speed and memory, and what
                ``tolerance`` speaks of. ``"auto"`` suits the hardware, None is the whole frame.
            batch: Tiles that go through the network together, and share their number of draws.
            device: Where; the posterior moves there. Default: where it is.
            precision: ``"float32"``, ``"bfloat16"``, or ``"auto"``: bfloat16 where the hardware
                multiplies matrices in it. That moves a probability by less than the draws do.
            draws: Weights to use instead, as `draw` returns them.
            base_rate: Share of positive pixels in this frame, of all classes or of each, where it
                differs from that of the training data: shifts the logits of every draw
                (`bayescr.inference.base_rate`, which tells what that assumes). ``"auto"``
                estimates it on the frame (`bayescr.inference.frame_rate`).
            scratch: An empty folder for the maps, as memory-mapped ``.npy`` files, of a frame that
                is larger than memory. Default: the maps are in memory.
            progress: Show a bar.

        Raises:
            BayescrError: For a frame that cannot be scaled, or settings that are out of range or
                exclude one another.

        Example:
            >>> prediction = posterior.predict(read_frame("a_flc.fits"))  # doctest: +SKIP
        """
        settings: dict[str, Any] = {
            "seed": seed, "sampling": sampling, "tile": tile, "batch": batch,
            "precision": precision, "draws": draws,
        }  # fmt: skip
        asked = choose(num_samples, tolerance, draws)
        estimator = asked if draws is not None else suited(asked, self.guide, self.num_points)
        if device is not None:
            self.to(device)
        scaled = self.scaling.on(frame)
        self._check_shape((1, *scaled.shape))
        rates, shift = self._shift(base_rate, scaled, estimator, settings)
        network, weights, tiles = self._passes(scaled.shape, group=estimator.group, **settings)
        with (
            in_memory() if scratch is None else on_disk(scratch) as allocate,
            track(f"predict {self.name}", sum(map(len, tiles)), show=progress) as advance,
        ):
            maps, fewest = predict_maps(
                network,
                scaled,
                weights,
                estimator=estimator,
                tiles=tiles,
                device=self.device,
                allocate=allocate,
                advance=advance,
                shift=shift,
            )
        return Prediction(
            **maps,
            # One point stands for as many draws as were asked for.
            num_samples=asked.num_samples
            if self.is_deterministic and isinstance(asked, Fixed)
            else fewest,
            tolerance=tolerance,
            base_rate=rates,
            frame=frame if isinstance(frame, CCDData) else None,
            _predict=functools.partial(
                self.predict,
                frame,
                num_samples=num_samples,
                tolerance=tolerance,
                device=self.device,
                progress=progress,
                **settings,
            ),
        )

    def save(self, path: str | Path, *, dtype: torch.dtype | None = None) -> Path:
        """Write one safetensors file, JSON inside; see `bayescr.inference.checkpoints.save`."""
        from bayescr.inference.checkpoints import save

        return save(self, path, dtype=dtype)

    @classmethod
    def from_pretrained(cls, name: str, *, device: torch.device | str | None = "cpu") -> Posterior:
        """A posterior that comes with the package, ``"space"`` or ``"ground"``: `pretrained`.

        Raises:
            BayescrError: If there is none of that name, or its file is damaged.

        Example:
            >>> Posterior.from_pretrained("space")  # doctest: +SKIP
        """
        from bayescr import pretrained

        with pretrained.weights(name) as path:
            return cls.load(path, device=device)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        model: BayesianSegmenter | None = None,
        prior: Prior | None = None,
        likelihood: Likelihood | None = None,
        guide: GuideFactory | None = None,
        device: torch.device | str | None = "cpu",
    ) -> Posterior:
        """Read what `save` wrote; see `bayescr.inference.checkpoints.load`."""
        from bayescr.inference.checkpoints import load

        return load(
            path, model=model, prior=prior, likelihood=likelihood, guide=guide, device=device
        )

    def kl_report(self, num_samples: int = 64, *, seed: int = 0) -> pd.DataFrame:
        """KL from prior to guide by latent, in nats: see `bayescr.inference.kl_table`."""
        from bayescr.inference.kl_table import kl_report

        return kl_report(self, num_samples=num_samples, seed=seed)

    @functools.cached_property
    def _reach(self) -> Reach:
        return reach(self.model, in_channels=self.in_channels)

    def _passes(self, shape: tuple[int, int], **settings: Any) -> Passes:
        return prepare(
            self.model,
            self.guide,
            shape,
            in_channels=self.in_channels,
            reach=lambda: self._reach,
            **settings,
        )

    def _shift(
        self,
        base_rate: BaseRate | None,
        scaled: ScaledFrame,
        estimator: Fixed | ToTolerance,
        settings: dict[str, Any],
    ) -> tuple[tuple[float, ...] | None, Tensor | None]:
        """The base rates of a frame, one a class, and what they add to its logits."""
        if base_rate is None:
            return None, None
        trained = trained_rates(
            self.num_classes,
            labelled=self.provenance.get("base_rate"),
            likelihood=self.model.likelihood,
        )
        if isinstance(base_rate, str) and base_rate == AUTO:
            settings = {**settings, "tile": TILE, "batch": 1}
            rates = frame_rates(
                self._passes(scaled.shape, group=estimator.group, **settings),
                scaled,
                num_samples=estimator.fewest,
                trained=trained,
                device=self.device,
            )
        else:
            rates = rates_by_class(base_rate, self.num_classes)
        return rates, logit_shift(rates, trained)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 3 or shape[0] != self.in_channels:
            raise BayescrError(
                f"image has shape {tuple(shape)}: expected ({self.in_channels}, H, W)"
            )
