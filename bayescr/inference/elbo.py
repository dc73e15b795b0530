"""The evidence lower bound with an annealed KL.

    neg_elbo = - E_q[ log p(y | x, w) ] + kl_weight * KL( q(w) || p(w) )

Both terms are sums, in nats: the KL over all weights, the likelihood over all images of the
training set (the plate over images scales the batch up). ``kl_weight`` touches the KL alone.

Each site's KL is exact where the pair of distributions has a closed form and a single-sample
estimate, log q(w) - log p(w), where it has not: transformed latents and hyper-latents included,
and sites that model and guide scale or mask differently.
A point mass (MAP, dropout) has log q constant, so that its "KL" is -log p(w) up to a constant
that depends on nothing trained.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer import ELBO
from torch import Tensor

from bayescr._tracing import traced
from bayescr.errors import BayescrError
from bayescr.inference.kl import closed_form_kl

__all__ = ["AnnealedELBO", "Terms", "negentropy", "site_kl"]


class Terms(NamedTuple):
    """The two sides of the bound, differentiable scalars in nats."""

    log_likelihood: Tensor
    kl: Tensor


class AnnealedELBO(ELBO):
    """Negative ELBO with a weight on the KL, for `fit` and for Pyro's own SVI alike.

    Args:
        kl_weight: Weight of the KL; 1 is the ELBO.
        num_particles: Draws from the guide that are averaged.
        analytic_kl: Use closed forms where there are any; False estimates every KL from the
            draw, with the same mean and more noise.

    Example:
        >>> from pyro.infer import SVI
        >>> from pyro.optim import Adam
        >>> from bayescr.inference import guides
        >>> from bayescr.models import BayesianSegmenter, UNet
        >>> model = BayesianSegmenter(UNet(width=2))
        >>> svi = SVI(model, guides.MeanField()(model), Adam({"lr": 1e-3}), AnnealedELBO())
    """

    def __init__(
        self, *, kl_weight: float = 1.0, num_particles: int = 1, analytic_kl: bool = True
    ) -> None:
        super().__init__(num_particles=num_particles)
        self.kl_weight = kl_weight
        self.analytic_kl = analytic_kl

    def terms(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Terms:
        """Log-likelihood and KL, each averaged over ``num_particles`` draws."""
        # Members of an ensemble are trained side by side: the mean of their bounds.
        members = getattr(guide, "side_by_side", None) or [guide]
        draws = [
            self._draw(model, member, args, kwargs)
            for member in members
            for _ in range(self.num_particles)
        ]
        log_likelihood, kl = (sum(terms) / len(draws) for terms in zip(*draws, strict=True))
        return Terms(log_likelihood, kl)

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The negative ELBO as a differentiable scalar."""
        log_likelihood, kl = self.terms(model, guide, *args, **kwargs)
        return self.kl_weight * kl - log_likelihood

    def loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """The negative ELBO as a number."""
        with torch.no_grad():
            return self.differentiable_loss(model, guide, *args, **kwargs).item()

    def loss_and_grads(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> float:
        """The negative ELBO as a number; its gradients are added to the parameters'."""
        loss = self.differentiable_loss(model, guide, *args, **kwargs)
        loss.backward()
        return loss.item()

    def _draw(self, model: Any, guide: Any, args: Any, kwargs: Any) -> Terms:
        p_sites, q_sites = map(_sample_sites, self._get_trace(model, guide, args, kwargs))
        q_latents = [name for name, site in q_sites.items() if not _is_auxiliary(site)]
        p_latents = [name for name, site in p_sites.items() if not site["is_observed"]]
        _check_latents(p_latents, q_latents)
        # A closed form for one site integrates over it alone, given the sites drawn before it:
        # right only if model and guide draw their latents in the same order.
        closed_form = self.analytic_kl and p_latents == q_latents

        kl: Tensor | float = 0.0
        exact: set[str] = set()
        for name, site in q_sites.items():
            if not _is_auxiliary(site):
                term, is_exact = site_kl(site, p_sites[name], closed_form=closed_form)
                kl = kl + term
                exact |= {name} if is_exact else set()
        for site in q_sites.values():  # the noise that other sites are made of
            if _is_auxiliary(site):
                kl = kl + negentropy(site, exact)
        likelihood = sum(
            _log_prob(site)
            for site in p_sites.values()
            if site["is_observed"] and not site["infer"].get("_deterministic")
        )
        return Terms(_as_tensor(likelihood), _as_tensor(kl))

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Run the guide, then the model on what the guide drew."""
        q = traced(guide, *args, **kwargs)
        p = traced(poutine.replay(model, trace=q), *args, **kwargs)
        return p, q


def _sample_sites(trace: Any) -> dict[str, Any]:
    return {
        name: site
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not poutine.util.site_is_subsample(site)
    }


def _as_tensor(value: Tensor | float) -> Tensor:
    """A tensor stays where it is: torch.as_tensor would move it to the default device."""
    return value if isinstance(value, Tensor) else torch.tensor(float(value))


def _is_auxiliary(site: Any) -> bool:
    return bool(site["infer"].get("is_auxiliary"))


def _check_latents(p_latents: list[str], q_latents: list[str]) -> None:
    missing = [name for name in p_latents if name not in q_latents]
    unknown = [name for name in q_latents if name not in p_latents]
    if missing:
        raise BayescrError(
            f"the guide has no site for the latent '{missing[0]}' of the model: choose a guide "
            "that covers it, for example pyro.infer.autoguide.AutoNormal"
        )
    if unknown:
        raise BayescrError(f"the guide has a site '{unknown[0]}' that the model does not have")


def _log_prob(site: Any) -> Tensor:
    """Sum of a site's log-density, with the scale and mask of its plates and handlers."""
    log_prob = site["fn"].log_prob(site["value"])
    return scale_and_mask(log_prob, site["scale"], site["mask"]).sum()


def site_kl(q_site: Any, p_site: Any, *, closed_form: bool) -> tuple[Tensor, bool]:
    """KL of a latent, scaled and masked as its site, and whether it is a closed form.

    Raises:
        BayescrError: If the guide's distribution passes no gradient through its draw.
    """
    if not q_site["fn"].has_rsample:  # a closed form would not save the likelihood's gradient
        raise BayescrError(
            f"guide site '{q_site['name']}' cannot pass a gradient through its draw "
            f"({type(q_site['fn']).__name__}): use a distribution with rsample"
        )
    if closed_form and all(_agree(q_site[key], p_site[key]) for key in ("scale", "mask")):
        kl = closed_form_kl(q_site["fn"], p_site["fn"])
        if kl is not None:
            return scale_and_mask(kl, q_site["scale"], q_site["mask"]).sum(), True
    return _log_prob(q_site) - _log_prob(p_site), False


def negentropy(site: Any, exact: set[str]) -> Tensor:
    """E[log q] of an auxiliary site: exact, if what is made of it is, else that of the draw.

    The two go together: log q and log p of one draw have noise in common, which cancels.
    """
    pieces = site["infer"].get("pieces")
    if pieces and exact.issuperset(pieces):
        return -scale_and_mask(site["fn"].entropy(), site["scale"], site["mask"]).sum()
    return _log_prob(site)


def _agree(a: Any, b: Any) -> bool:
    """Whether two scales or two masks, numbers or tensors, are the same."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and bool((a == b).all())
    return type(a) is type(b) and bool(a == b)
