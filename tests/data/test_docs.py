"""The examples of docs/data.md run, in order, in an empty folder."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    assert len(blocks) == 5
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(names["train"]) == 4  # one exposure of 128 pixels a side in patches of 64
    assert len(names["images"]) == 3
    assert (tmp_path / "lco.fits").is_file()
