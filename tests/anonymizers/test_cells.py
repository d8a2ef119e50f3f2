"""Cell means and enlarging against sums written out."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymizers.conventional.cells import cell_counts, cell_means, enlarge

SIDE = st.integers(1, 40)


@settings(max_examples=80, deadline=None)
@given(height=SIDE, width=SIDE, size=st.integers(1, 50))
def test_means_and_counts_are_those_of_each_cell(make_set, height, width, size):
    images = make_set(2, height, width).images
    means, counts = cell_means(images, size), cell_counts(height, width, size)
    for row in range(-(-height // size)):
        for column in range(-(-width // size)):
            cell = images[:, :, row * size : (row + 1) * size, column * size : (column + 1) * size].double()
            assert counts[row, column] == cell[0, 0].numel()
            torch.testing.assert_close(means[:, :, row, column], cell.mean(dim=(2, 3)), rtol=0, atol=1e-9)


@given(height=SIDE, width=SIDE, size=st.integers(1, 50))
def test_enlarging_repeats(height, width, size):
    grid = -(-height // size), -(-width // size)
    cells = torch.arange(3 * grid[0] * grid[1]).remainder(256).to(torch.uint8).reshape(1, 3, *grid)
    painted = enlarge(cells, size, height, width)
    rows, columns = np.arange(height) // size, np.arange(width) // size
    assert torch.equal(painted, cells[:, :, rows][:, :, :, columns])


def test_sums_of_a_large_white_image_do_not_overflow():
    """3 * 2100 * 1400 * 255 is beyond 31 bits."""
    white = torch.full((1, 3, 2100, 1400), 255, dtype=torch.uint8)
    assert torch.equal(cell_means(white, 700), torch.full((1, 3, 3, 2), 255.0, dtype=torch.float64))
