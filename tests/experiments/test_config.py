"""Experiments are read as they are written, and what cannot be is one clear line."""

from pathlib import Path

import pytest

from bayescr.errors import BayescrError
from bayescr.experiments import Choice, Data, Model, Training, read_experiment
from bayescr.experiments._settings import to_table
from bayescr.experiments.preparation import prepare

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "experiments").glob("*.toml"))


def test_an_arm_lays_its_keys_over_those_of_all(write):
    experiment = read_experiment(
        write(
            ('guide = "mean-field"',
             'guide = {name = "low-rank", rank = 3}\nprior = {name = "normal", scale = 2.0}\n'
             'epochs = 7\nrandom = ["head.*"]'),
        )
    )  # fmt: skip
    plain, own = experiment.arms["MAP"], experiment.arms["mean-field"]
    assert (plain.guide, own.guide) == (
        Choice(name="map"), Choice(name="low-rank", arguments={"rank": 3}),
    )  # fmt: skip
    assert plain.model == Model(width=2)
    assert own.model == Model(
        width=2, random=("head.*",), prior=Choice(name="normal", arguments={"scale": 2.0})
    )
    assert plain.training == Training(patch=32, epochs=1, precision="float32")
    assert own.training == Training(patch=32, epochs=7, precision="float32")
    assert experiment.seeds == (0, 1)
    assert to_table(experiment)["arms"]["mean-field"]["guide"] == {"name": "low-rank", "rank": 3}


def test_the_start_takes_the_training_of_all_and_its_own(write):
    experiment = read_experiment(write(more='[start]\nepochs = 9\nguide = "mean-field"'))
    assert experiment.start.epochs == 9
    assert experiment.start.patch == 32
    assert experiment.start.guide == Choice(name="mean-field")


WRONG = {
    "unknown key": (("epochs = 1", "epoch = 1"), "[training]: unknown key 'epoch': did you mean '"),
    "unknown key of an arm": (
        ('guide = "map"', 'guide = "map"\nlearning_rat = 1.0'),
        "[arms.MAP]: unknown key 'learning_rat': did you mean 'learning_rate'?",
    ),
    "unknown table": (("[model]", "[modle]"), "unknown key 'modle': did you mean 'model'?"),
    "unknown key of a nested table": (
        ("size = 64", "sice = 64"), "[data.simulate]: unknown key 'sice': did you mean 'size'?",
    ),
    "missing key": (("seeds = [0, 1]\n", "", 'title = "Tiny"', ""), "title is missing: expected a"),
    "missing guide": (('guide = "map"', "epochs = 1"), "[arms.MAP]: guide is missing: expected a"),
    "text for a number": (
        ("epochs = 1", 'epochs = "1"'), "[training]: epochs is '1': expected a whole number",
    ),
    "fraction for a count": (
        ("epochs = 1", "epochs = 1.0"), "[training]: epochs is 1.0: expected a whole number",
    ),
    "truth for a count": (
        ("epochs = 1", "epochs = true"), "[training]: epochs is true: expected a whole number",
    ),
    "number for truth": (
        ("epochs = 1", "augment = 1"), "[training]: augment is 1: expected true or false",
    ),
    "number for a list": (("seeds = [0, 1]", "seeds = 2"), "seeds is 2: expected an array, each"),
    "list of texts": (
        ("seeds = [0, 1]", 'seeds = ["0"]'), "seeds is ('0',): expected an array, each of it a wh",
    ),
    "number for a name": (
        ('guide = "map"', "guide = 3"),
        "[arms.MAP]: guide is 3: expected a name or a table with its name and arguments",
    ),
    "arguments without a name": (
        ('guide = "map"', "guide = {rank = 3}"),
        "arms.MAP.guide is {'rank': 3}: expected a name, or a table with its name",
    ),
    "argument that is a date": (
        ('guide = "map"', 'guide = {name = "map", born = 2026-01-01}'),
        "arms.MAP.guide: argument born is datetime.date(2026, 1, 1): expected a text, a number",
    ),
    "number for a table": (("[model]\nwidth = 2", "[arms]\nx = 1"), "arms.x is 1: expected a tabl"),
    "twice the same seed": (("[0, 1]", "[1, 1]"), "seeds are [1, 1]: expected different whole"),
    "negative seed": (("[0, 1]", "[-1]"), "seeds are [-1]: expected different whole numbers"),
    "no seed": (("[0, 1]", "[]"), "seeds is empty"),
    "out of range": (("epochs = 1", "epochs = 0"), "[training]: epochs is 0: expected a whole nu"),
    "no rate": (
        ("epochs = 1", "learning_rate = 0.0"), "learning_rate is 0.0: expected a number above 0",
    ),
    "level": (("num_samples = 2", "level = 95"), "[evaluation]: level is 95: expected a fraction"),
    "data twice": (
        ("[data.simulate]", '[data]\ntrain = "a"\n[data.simulate]'),
        "[data]: train is 'a' and simulate is given too: expected folders or [data.simulate]",
    ),
    "a list for all rows": (
        ("num_samples = 2", 'recalibrate = ["platt"]'),
        "[evaluation]: recalibrate is ['platt']: expected a table, each of it an array, each of i",
    ),
    "no list": (
        ("num_samples = 2", 'recalibrate = {MAP = "platt"}'),
        "recalibrate is {'MAP': 'platt'}: expected a table, each of it an array, each of it a nam",
    ),
    "a row twice": (
        ("[evaluation]", '[classical]\nMAP = "lacosmic"\n[evaluation]'),
        "'MAP' is both an arm and a classical method",
    ),
    "no name": (("[arms.MAP]", '[arms." "]'), "a row has no name: expected letters or digits"),
    "rows of one folder": (
        ("[arms.MAP]", '[arms."Mean field"]\nguide = "map"\n[arms.MAP]'),
        "arms 'Mean field' and 'mean-field' would share the folder 'mean-field'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_is_one_clear_line(write, wrong):
    texts, says = WRONG[wrong]
    file = write(*zip(texts[::2], texts[1::2], strict=True))
    with pytest.raises(BayescrError) as caught:
        read_experiment(file)
    message = str(caught.value)
    assert says in message
    assert f"'{file}'" in message
    assert "\n" not in message


NOT_THERE = {
    "guide": (('guide = "map"', 'guide = "men-field"'),
              "[arms.MAP]: unknown guide 'men-field': did you mean 'mean-field'?"),
    "its argument": (('guide = "map"', 'guide = {name = "low-rank", rnk = 3}'),
                     "[arms.MAP]: guide 'low-rank': unknown argument 'rnk': did you mean 'rank'?"),
    "its value": (('guide = "map"', 'guide = {name = "mc-dropout", p = 2.0}'),
                  "[arms.MAP]: MCDropout p is 2.0"),
    "prior": (("width = 2", 'prior = "nomal"'), "did you mean 'normal'?"),
    "file": (('guide = "map"', 'guide = "own.py:guide"'), "there is no file"),
    "norm": (("width = 2", 'norm = "non"'), "unknown UNet norm 'non': did you mean 'none'?"),
    "precision": (('"float32"', '"float23"'), "unknown precision 'float23'"),
    "random": (("width = 2", 'random = ["tail.*"]'), "no weight of the network is random"),
    "field": (('["ex"]', '["xe"]'), "[data.simulate]: unknown field 'xe'"),
    "patience": (("validation = 1", "validation = 0", "epochs = 1", "patience = 1"),
                 "patience needs validation exposures"),
    "patience with what needs its last steps": (
        ("epochs = 1", "epochs = 1\npatience = 1", 'guide = "map"', 'guide = "swag"'),
        "[arms.MAP]: patience=1 would stop SWAG early, which needs its last steps"),
    "draws to train": (
        ('guide = "map"', 'guide = "bayescr.inference.guides:StoredDraws"'),
        "[arms.MAP]: StoredDraws is not trained"),
    "metric": (("num_samples = 2", 'metrics = ["math:tau"]'),
               "[evaluation]: metric 'math:tau' is of type float: expected a"),
    "calibrator": (("num_samples = 2", 'recalibrate = {MAP = ["plat"]}'),
                   "[evaluation]: unknown calibrator 'plat': did you mean 'platt'?"),
    "recalibrated row": (("num_samples = 2", 'recalibrate = {MAQ = ["platt"]}'),
                         "[evaluation]: unknown row to recalibrate 'MAQ': known are MAP, mean-f"),
    "temperature twice": (("num_samples = 2", 'recalibrate = {MAP = ["temperature"]}'),
                          "two rows would be called 'MAP, temperature-scaled', one of which bay"),
    "nothing to calibrate on": (
        ("validation = 1", "validation = 0", "num_samples = 2", 'recalibrate = {MAP = ["beta"]}'),
        "[evaluation]: recalibrate needs validation exposures"),
    "temperature of a score": (
        ("[evaluation]", '[classical]\nx = "lacosmic"\n[evaluation]',
         "num_samples = 2", 'recalibrate = {x = ["temperature"]}'),
        "the score of 'x' only ranks pixels, and 'temperature' has no intercept to make a prob"),
    "base rate": (("[arms.MAP]", '[arms."base rate"]'),
                  "[evaluation]: two rows would be called 'base rate', one of which bayescr makes"),
    "a temperature's row": (("[arms.mean-field]", '[arms."MAP, temperature-scaled"]'),
                            "two rows would be called 'MAP, temperature-scaled'"),
    "an ensemble's row": (("[arms.mean-field]", '[arms."MAP, ensemble of 2"]'),
                          "two rows would be called 'MAP, ensemble of 2'"),
    "a calibrator's row": (
        ("[arms.mean-field]", '[arms."MAP, isotonic"]',
         "num_samples = 2", 'recalibrate = {MAP = ["isotonic"]}'),
        "two rows would be called 'MAP, isotonic'"),
    "reference": (("num_samples = 2", 'reference = "MAQ"'), "unknown reference row 'MAQ': k"),
    "reference without validation": (
        ("validation = 1", "validation = 0",
         "num_samples = 2", 'reference = "MAP, temperature-scaled"'),
        "unknown reference row 'MAP, temperature-scaled': known are MAP, MAP, ensemble of 2, base"),
    "reference that a posterior has not": (
        ("num_samples = 2", 'reference = "mean-field, temperature-scaled"'),
        "unknown reference row 'mean-field, temperature-scaled'"),
    "site": (("num_samples = 2", 'sites = ["head.weigth"]'),
             "[evaluation]: unknown site of arm 'MAP' 'head.weigth': did you mean 'head.weight'?"),
    "site of another arm": (
        ('guide = "mean-field"', 'guide = "mean-field"\nrandom = ["head.*"]',
         "num_samples = 2", 'sites = ["down1.conv1.weight"]'),
        "unknown site of arm 'mean-field' 'down1.conv1.weight': did you mean 'head.weight'? kno"),
    "classical": (("[evaluation]", '[classical]\nx = "astroscrapy"\n[evaluation]'),
                  "[classical] x: unknown classical method 'astroscrapy': did you mean 'astros"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", NOT_THERE)
def test_what_is_not_there_is_found_before_the_work(write, tmp_path, wrong):
    texts, says = NOT_THERE[wrong]
    file = write(*zip(texts[::2], texts[1::2], strict=True))
    with pytest.raises(BayescrError) as caught:
        prepare(file, tmp_path / "out", device="cpu")
    message = str(caught.value)
    assert says in message
    assert f"'{file}'" in message
    assert "\n" not in message
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_missing_or_not_toml(tmp_path):
    with pytest.raises(BayescrError, match=r"cannot read experiment .*No such file"):
        read_experiment(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("title = ")
    with pytest.raises(BayescrError, match=r"bad.toml'.*expected a TOML file"):
        read_experiment(tmp_path / "bad.toml")


def test_settings_made_in_python_are_checked_too():
    with pytest.raises(BayescrError, match="width is '2': expected a whole number"):
        Model(width="2")
    with pytest.raises(BayescrError, match="test is missing"):
        Data(train="a")


def test_a_map_arm_is_added_where_no_arm_is_deterministic(write, tmp_path):
    file = write(('[arms.MAP]\nguide = "map"', ""), ("width = 2", "width = 3"))
    prepared = prepare(file, tmp_path / "out", device="cpu")
    assert list(prepared.experiment.arms) == ["MAP", "mean-field"]
    assert prepared.experiment.arms["MAP"].guide == Choice(name="map")
    assert prepared.experiment.arms["MAP"].model.width == 3
    assert "no arm is deterministic: 'MAP' was added" in prepared.notes[0]
    assert prepare(write(), tmp_path / "out", device="cpu").notes == ()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_in_order(example, tmp_path):
    assert prepare(example, tmp_path / "out", device="cpu").experiment.title


def test_there_are_examples():
    assert {path.stem for path in EXAMPLES} >= {"quick", "guides", "priors"}
