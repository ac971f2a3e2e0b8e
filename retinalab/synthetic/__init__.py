"""A world where every label is known: drawn fundus photographs whose grades follow from their lesions."""

from retinalab.synthetic.camera import CAMERAS, DEVELOPMENT_CAMERAS, FAULTS, HELD_OUT_CAMERA, Camera
from retinalab.synthetic.lesions import Lesion
from retinalab.synthetic.render import Photograph
from retinalab.synthetic.rules import Grading, grade_masks, grade_record, quadrant_counts
from retinalab.synthetic.sheet import contact_sheet
from retinalab.synthetic.world import PREVALENCE, WORLD_VERSION, Scene, World, WorldOptions
from retinalab.synthetic.write import write_photograph, write_world

__all__ = [
    "CAMERAS",
    "DEVELOPMENT_CAMERAS",
    "FAULTS",
    "HELD_OUT_CAMERA",
    "PREVALENCE",
    "WORLD_VERSION",
    "Camera",
    "Grading",
    "Lesion",
    "Photograph",
    "Scene",
    "World",
    "WorldOptions",
    "contact_sheet",
    "grade_masks",
    "grade_record",
    "quadrant_counts",
    "write_photograph",
    "write_world",
]
