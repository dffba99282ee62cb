"""Localisation: from maps to foreground, components and boxes, and how well they meet the truth.

What a map finds is always told beside what the middle of the picture and chance find, with intervals.
"""

from globalpool.localize.bootstrap import Bootstrap, Measured
from globalpool.localize.box_accuracy import max_box_accuracy, max_box_accuracy_v2, temporal_iou
from globalpool.localize.box_results import AtOverlap, BoxAccuracy
from globalpool.localize.boxes import box_masks
from globalpool.localize.class_maps import ClassMaps, MapRecipe, class_maps
from globalpool.localize.class_pixels import ClassPixelPrecision, mean_pixel_average_precision
from globalpool.localize.component_tree import ComponentTree
from globalpool.localize.conformal import ConformalThreshold, calibrate
from globalpool.localize.foreground import Components, Foreground, components, foreground
from globalpool.localize.heatmaps import Heatmaps, heatmaps
from globalpool.localize.judged import BoxProtocol
from globalpool.localize.localization import (
    ChosenThreshold,
    Localization,
    choose_threshold,
    judge_localization,
)
from globalpool.localize.picture_files import LocatedPicture, locate_files
from globalpool.localize.pixels import PixelPrecision, pixel_average_precision
from globalpool.localize.pointing import Pointing, pointing_game

__all__ = [
    "AtOverlap",
    "Bootstrap",
    "BoxAccuracy",
    "BoxProtocol",
    "ChosenThreshold",
    "ClassMaps",
    "ClassPixelPrecision",
    "ComponentTree",
    "Components",
    "ConformalThreshold",
    "Foreground",
    "Heatmaps",
    "Localization",
    "LocatedPicture",
    "MapRecipe",
    "Measured",
    "PixelPrecision",
    "Pointing",
    "box_masks",
    "calibrate",
    "choose_threshold",
    "class_maps",
    "components",
    "foreground",
    "heatmaps",
    "judge_localization",
    "locate_files",
    "max_box_accuracy",
    "max_box_accuracy_v2",
    "mean_pixel_average_precision",
    "pixel_average_precision",
    "pointing_game",
    "temporal_iou",
]
