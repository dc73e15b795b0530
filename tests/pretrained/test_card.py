"""A card says everything in it once, and no more than is known."""

import copy

import pytest

from bayescr.pretrained import to_markdown


def score(predictor, field, metric, value, low=None, high=None, better="higher"):
    return {
        "predictor": predictor, "field": field, "metric": metric, "better": better,
        "value": value, "low": low, "high": high,
    }  # fmt: skip


CARD = {
    "format": 1, "name": "ground", "summary": "For tests | and more.", "suits": ["this", "that"],
    "limits": ["many"], "licence": "BSD-3-Clause", "network": "U-Net, width 2", "guide": "Rank1()",
    "prior": "FanInNormal()", "temperature": 1.0, "predictor": "rank-1", "level": 0.9,
    "num_samples": 8, "rounding": 1.234e-4, "base_rate": [0.0123], "recipe": "ground.toml",
    "recipe_sha256": "0" * 64, "exposures": {"train": 7, "test": 5},
    "data_sha256": {"train": "1" * 64, "test": "2" * 64}, "seed": 3, "epochs": [80, 40],
    "simulated": {"size": 256, "shifted": None, "instruments": {"a": ["b", "c"], "d": []}},
    "versions": {"bayescr": "0.1.0", "torch": "2.0"},
    "scores": [
        score("rank-1", "all", "AUPRC", 0.98765, 0.98, 0.99),
        score("rank-1", "all", "NLL", 0.00321, 0.003, 0.004, better="lower"),
        score("rank-1", "a, b|c", "AUPRC", None),
        score("rank-1", "a, b|c", "NLL", 0.0021, better="lower"),
        score("MAP", "all", "AUPRC", 0.97, 0.96, 0.98),
    ],
}  # fmt: skip


def test_a_number_with_its_interval_an_unknown_one_and_one_that_is_not_defined():
    page = to_markdown(CARD)
    assert "| exposures | AUPRC ↑ | NLL ↓ |\n| --- | ---: | ---: |\n" in page
    assert "| all | 0.988 (0.98 to 0.99) | 0.00321 (0.003 to 0.004) |\n" in page
    assert "| a, b\\|c | – | 0.0021 |\n" in page


def test_other_rows_stand_beside_it_on_all_exposures():
    page = to_markdown(CARD)
    assert "| rank-1 | 0.988 (0.98 to 0.99) | 0.00321 (0.003 to 0.004) |\n| MAP | 0.97 (" in page
    alone = copy.deepcopy(CARD)
    alone["scores"] = [one for one in CARD["scores"] if one["predictor"] == "rank-1"]
    assert "beside other rows" not in to_markdown(alone)


@pytest.mark.parametrize(
    "said",
    [
        "# Model card: ground", "- this\n- that", "- many", "0" * 64, "1" * 64, "2" * 64,
        "| temperature | 1 |", "moved by 0.0001", "1.23% of the training pixels", "interval of 90%",
        "train: 7 exposures", "epochs 80 and then 40", "size 256, shifted –, instruments a (b, c),",
        "d (–)", "bayescr 0.1.0, torch 2.0", "Seed of the fit 3", "On 5 held-out exposures, by 8",
        "bayescr models --build recipes/ground.toml",
    ],
)  # fmt: skip
def test_what_it_says(said):
    assert to_markdown(CARD).count(said) >= 1


def test_a_tempered_one_is_not_called_the_posterior():
    assert "| temperature | 0.3: tempered, not the" in to_markdown({**CARD, "temperature": 0.3})


def test_frames_that_were_given_are_not_called_simulated():
    assert "Simulated:" not in to_markdown({**CARD, "simulated": None})
