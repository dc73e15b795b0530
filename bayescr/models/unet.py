"""The U-Net: a plain torch module; nothing here knows that its weights may be random.

With ``width`` w and ``depth`` d (resolution levels; d - 1 poolings), channels run

    image -> down1 (w) -> down2 (2w) -> ... -> down_d (2^(d-1) w)
    logits <- head <- up1 (w) <- ... <- up_(d-1) (2^(d-2) w) <-

where ``up_k`` upsamples level k + 1, concatenates the output of ``down_k`` and convolves twice.
``UNet(width=32, depth=2)`` has the layout that deepCR calls 2-32.

References:
    Ronneberger, Fischer & Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", arXiv:1505.04597.
    Zhang & Bloom, "deepCR: Cosmic Ray Rejection with Deep Learning", arXiv:1907.09500.
    He et al., "Delving Deep into Rectifiers", arXiv:1502.01852 (the initial weights).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from bayescr._names import unknown_name
from bayescr.errors import BayescrError
from bayescr.models.fan_in import fan_in

__all__ = ["UNet"]


class UNet(nn.Module):
    """U-Net from images (B, in_channels, H, W) to logits (B, num_classes, H, W), any H and W.

    Without spatial statistics in the normalisation (``"none"``, ``"layer"``) a logit depends on
    its receptive field alone, so that a frame may be cut in tiles.

    Args:
        in_channels: Channels of the image.
        num_classes: Classes; each has its own logit.
        width: Channels at full resolution; they double with each level.
        depth: Resolution levels; 2 means one pooling.
        norm: ``"none"``; ``"layer"``: over channels, pixel by pixel; ``"batch"``; ``"group"``:
            over space too, so that predictions depend on the size of the image.
        upsampling: ``"transposed"`` convolution, or ``"bilinear"`` followed by a 1x1 convolution.

    Raises:
        BayescrError: For a size below 1 or an unknown ``norm`` or ``upsampling``.

    Example:
        >>> UNet(width=4, depth=2)(torch.zeros(1, 1, 13, 17)).shape
        torch.Size([1, 1, 13, 17])
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        num_classes: int = 1,
        width: int = 32,
        depth: int = 2,
        norm: str = "none",
        upsampling: str = "transposed",
    ) -> None:
        super().__init__()
        sizes = {
            "in_channels": in_channels, "num_classes": num_classes, "width": width, "depth": depth,
        }  # fmt: skip
        for name, size in sizes.items():
            if not isinstance(size, int) or size < 1:
                raise BayescrError(f"UNet {name} is {size!r}: expected a whole number from 1 up")
        if norm not in _NORMS:
            raise unknown_name("UNet norm", norm, list(_NORMS))
        if upsampling not in _UPSAMPLINGS:
            raise unknown_name("UNet upsampling", upsampling, list(_UPSAMPLINGS))
        self.config = {**sizes, "norm": norm, "upsampling": upsampling}
        self.in_channels, self.num_classes, self.depth = in_channels, num_classes, depth

        channels = [width * 2**level for level in range(depth)]
        for level in range(1, depth + 1):
            before = in_channels if level == 1 else channels[level - 2]
            if level > 1:
                self.add_module(f"pool{level}", nn.MaxPool2d(2))
            self.add_module(f"down{level}", _Block(before, channels[level - 1], norm))
        for level in range(depth - 1, 0, -1):
            self.add_module(
                f"up{level}", _Up(channels[level], channels[level - 1], norm, upsampling)
            )
        self.head = nn.Conv2d(width, num_classes, kernel_size=1)
        self.apply(_initialise)

    @property
    def stride(self) -> int:
        """Pixels by which an image may be shifted so that the logits shift with it."""
        return 2 ** (self.depth - 1)

    def set_base_rate(self, rate: float | Float[Tensor, " K"]) -> None:
        """Start the head's biases at logit(rate): training need not first learn what is rare.

        Args:
            rate: Share of positive pixels, of all classes or of each.
        """
        rates = torch.as_tensor(rate, dtype=torch.float32)
        if not bool(((rates > 0.0) & (rates < 1.0)).all()):
            raise BayescrError(
                f"base rate is {rates.tolist()}: expected a fraction between 0 and 1"
            )
        if rates.dim() and len(rates) != self.num_classes:
            raise BayescrError(
                f"the data have {len(rates)} classes but the UNet {self.num_classes}: set its "
                "num_classes to theirs"
            )
        with torch.no_grad():
            self.head.bias.copy_(torch.logit(rates))  # type: ignore[union-attr]

    def forward(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        """Logits of an image; sides that the poolings do not divide are padded with zeros."""
        height, width = image.shape[-2:]
        padding = (-width % self.stride, -height % self.stride)
        x = functional.pad(image, (0, padding[0], 0, padding[1])) if any(padding) else image
        skips: list[Tensor] = []
        for level in range(1, self.depth + 1):
            if skips:
                x = self.get_submodule(f"pool{level}")(x)
            x = self.get_submodule(f"down{level}")(x)
            skips.append(x)
        for level in range(self.depth - 1, 0, -1):
            x = self.get_submodule(f"up{level}")(x, skips[level - 1])
        return self.head(x)[..., :height, :width]


class _Block(nn.Module):
    """Twice: 3x3 convolution, normalisation, rectifier.

    Each step is a layer, so that what does not depend on a random weight can be told and shared.
    """

    def __init__(self, before: int, after: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, kernel_size=3, padding=1)
        self.norm1 = _NORMS[norm](after)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, kernel_size=3, padding=1)
        self.norm2 = _NORMS[norm](after)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.norm1(self.conv1(x)))
        return self.relu2(self.norm2(self.conv2(x)))


class _Up(_Block):
    """Upsample, put the skip connection beside it, then a block."""

    def __init__(self, before: int, after: int, norm: str, upsampling: str) -> None:
        super().__init__(2 * after, after, norm)
        self.upsample = _UPSAMPLINGS[upsampling](before, after)
        self.join = _Join()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(self.join(skip, self.upsample(x)))


class _Join(nn.Module):
    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, dim=1)


class _Bilinear(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        # The 1x1 convolution commutes with interpolation and is cheaper on the coarse grid.
        return functional.interpolate(self.conv(x), scale_factor=2, mode="bilinear")


class _ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel: no pixel sees another."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def _transposed(before: int, after: int) -> nn.Module:
    return nn.ConvTranspose2d(before, after, kernel_size=2, stride=2)


_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "layer": _ChannelNorm,
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(math.gcd(8, channels), channels),
}
_UPSAMPLINGS: dict[str, Callable[[int, int], nn.Module]] = {
    "transposed": _transposed,
    "bilinear": _Bilinear,
}


def _initialise(module: nn.Module) -> None:
    """He's normal weights: the variance of the activations survives each rectifier."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        gain = math.sqrt(2.0) if module.kernel_size == (3, 3) else 1.0  # followed by a rectifier
        nn.init.normal_(module.weight, std=gain / math.sqrt(fan_in(module)))
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
