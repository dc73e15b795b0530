"""The figure of `benchmarks.real_tracks` and `benchmarks.space_tracks`: what still fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.special import expit

from benchmarks.failures import Failure

SIDE = 33  # pixels of a stamp
COLOURS = {"hit": "#D55E00", "does not count": "#56B4E9"}
PROBABILITY, DOUBT = "#000000", "#009E73"
ENOUGH = 0.2  # mutual information that is drawn in full colour [nat]
SIZE = 0.85  # of a stamp [inch]


def failures_figure(path: Path, failures: Mapping[str, Sequence[Failure]]) -> None:
    """Triples of stamps: image, truth, prediction.

    Args:
        path: Of the PNG.
        failures: What a row of the figure shows -> its failures.
    """
    failures = {name: found for name, found in failures.items() if found}
    if not failures:
        return
    columns = max(map(len, failures.values()))
    figure = Figure(
        figsize=(1.9 + 3.2 * SIZE * columns, 0.9 + 1.24 * SIZE * len(failures)),
        dpi=130, layout="constrained",
    )  # fmt: skip
    axes = figure.subplots(len(failures), 3 * columns, squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    for row, (name, found) in zip(axes, failures.items(), strict=True):
        row[0].text(
            -0.15, 0.5, name, transform=row[0].transAxes, ha="right", va="center", fontsize=9
        )
        for number, failure in enumerate(found):
            _draw(row[3 * number : 3 * number + 3], failure)
    for number in range(columns):
        for one, title in zip(
            axes[0, 3 * number : 3 * number + 3], ("image", "truth", "prediction"), strict=True
        ):
            one.set_title(f"{title}\n{one.get_title()}", fontsize=8)
    handles = [
        *(Patch(color=colour, label=f"truth: {name}") for name, colour in COLOURS.items()),
        Patch(color=PROBABILITY, label="prediction: probability 1"),
        Patch(color=DOUBT, label=f"mutual information ≥ {ENOUGH:g} nat"),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False
    )
    figure.savefig(path, metadata={"Software": None})


def _draw(axes: Sequence[Axes], failure: Failure) -> None:
    frame = failure.frame
    planes = (frame.significance, frame.target[0], frame.valid[0], frame.logit[0],
              frame.mutual_information[0])  # fmt: skip
    image, target, valid, logit, doubt = (_stamp(plane, failure) for plane in planes)
    grey = np.clip((np.arcsinh(image / 3.0) + 1.0) / 5.0, 0.0, 1.0)
    grey = np.repeat(grey[..., None], 3, axis=2)
    truth = 0.5 * grey
    truth[~valid] = to_rgb(COLOURS["does not count"])
    truth[target & valid] = to_rgb(COLOURS["hit"])
    dark = expit(logit)[..., None]
    said = (1.0 - dark) + dark * np.array(to_rgb(PROBABILITY))
    share = np.clip(doubt / ENOUGH, 0.0, 1.0)[..., None]
    said = (1.0 - share) * said + share * np.array(to_rgb(DOUBT))
    for one, picture in zip(axes, (grey, truth, said), strict=True):
        one.imshow(picture, origin="lower", interpolation="none")
    axes[1].set_title(f"{failure.pixels} pixels", fontsize=8, pad=2)
    for spine in axes[2].spines.values():
        spine.set_color("#BBBBBB")
    axes[2].set_axis_on()
    axes[2].set_xticks([])
    axes[2].set_yticks([])


def _stamp(plane: np.ndarray, failure: Failure) -> np.ndarray:
    """The pixels around a failure, shifted inwards at the edges of the frame."""
    sides = min(SIDE, *plane.shape)
    row, column = (
        int(np.clip(middle - sides // 2, 0, length - sides))
        for middle, length in zip((failure.row, failure.column), plane.shape, strict=True)
    )
    return plane[row : row + sides, column : column + sides]
