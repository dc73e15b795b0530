"""The symmetries of the square, of arrays and tensors alike, and painting over every edge."""

import numpy as np
import pytest
import torch

from bayescr.data._stamps import SYMMETRIES, count_symmetries, paint, turned


def test_all_symmetries_of_arrays_and_tensors():
    plane = np.arange(9.0).reshape(3, 3)
    quarter = [np.rot90(plane, k) for k in range(4)]
    expected = {one.tobytes() for one in (*quarter, *map(np.fliplr, quarter))}
    assert {turned(plane, k).tobytes() for k in range(SYMMETRIES)} == expected
    stack = np.arange(24.0).reshape(2, 3, 4)
    for which in range(SYMMETRIES):
        tensor = turned(torch.from_numpy(stack), which)
        np.testing.assert_array_equal(tensor.numpy(), turned(stack, which))
        assert (turned(stack, which).shape == stack.shape) == (which < count_symmetries(3, 4))
    assert count_symmetries(5, 5) == SYMMETRIES


@pytest.mark.parametrize("row", [-9, -3, -2, 0, 1, 4, 5, 9])
@pytest.mark.parametrize("column", [-9, -2, -1, 0, 5, 6, 7, 12])
def test_a_stamp_goes_wherever_it_is_painted(row, column):
    """Its corner may lie inside, over an edge, or so far off that nothing is left."""
    plane, stamp = np.ones((5, 7)), np.arange(1.0, 7.0).reshape(3, 2)
    paint(plane, stamp, (row, column))
    wide = np.zeros((29, 29))
    wide[row + 12 : row + 15, column + 12 : column + 14] = stamp
    np.testing.assert_array_equal(plane, 1.0 + wide[12:17, 12:19])
