"""The figure of boxes: each panel has its picture, its true box and the one found."""

import numpy as np
from matplotlib.patches import Rectangle

from globalpool.localize import Heatmaps
from globalpool.report.boxes_figure import draw_boxes


def test_every_picture_has_its_true_box_and_the_one_found() -> None:
    values = np.full((2, 20, 30), -1.0)
    values[0, 4:9, 6:16] = 2.0
    values[1, 10:12, 1:5] = 2.0
    boxes = np.array([[5, 3, 12, 7], [0, 9, 6, 4]])
    pictures = [np.zeros((20, 30), np.uint8)] * 2
    figure = draw_boxes(pictures, Heatmaps(tuple(values), "contrast"), boxes, 0.5, ["a 1", "a 2"])
    shown = [
        (
            axes.get_title(),
            [tuple(int(v) for v in box.get_bbox().bounds) for box in axes.patches if isinstance(box, Rectangle)],
        )
        for axes in figure.axes
        if axes.images
    ]
    assert shown == [("a 1", [(5, 3, 12, 7), (6, 4, 10, 5)]), ("a 2", [(0, 9, 6, 4), (1, 10, 4, 2)])]
