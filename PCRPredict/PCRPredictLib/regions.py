"""Where the tumour is on both ultrasound images: from texts to what the network sees, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer

from . import pathology_nodes, square_nodes
from .reading import TIMES, TITLES
from .ultrasound_nodes import ras_of, source_pixel

if TYPE_CHECKING:
    from breastpredict.dicom import UltrasoundImage
    from breastpredict.pcr import PcrPolicy, UltrasoundRoi

GONE = "us0"
"""Of US-1: the tumour is no longer visible, the US-0 position is taken."""

VIEWS = {"us0": "Red", "us1": "Yellow", "pathology": "Green"}
"""Input → the slice view that shows it."""

COLOURS = {"us0": (1.0, 0.85, 0.1), "us1": (0.3, 0.9, 1.0)}
_TEXT = {time: f"{time}Roi" for time in TIMES}
_SQUARE = {time: f"{time}Square" for time in TIMES}


class Regions:
    """The regions of a case on a parameter node.

    Attributes:
        found: time → the square, as the backend crops it.
        problem: why there is none on an image that is read, in words.
        biopsy_problem: the same of the rectangle.
        notes: what is to be said of both squares together.
    """

    def __init__(self) -> None:
        self.found: dict[str, UltrasoundRoi] = {}
        self.problem = self.biopsy_problem = ""
        self.notes: tuple[str, ...] = ()
        self._images: dict[str, tuple[Any, UltrasoundImage]] = {}

    def update(
        self, parameters: Any, opened: dict[str, Any], policy: PcrPolicy, needs: Any
    ) -> None:
        """Find the squares again and show them; of texts that cannot be used nothing is shown.

        Args:
            parameters: of the case.
            opened: the backend's answer about the images.
            policy: of the run.
            needs: names of the inputs that the variant takes.
        """
        from breastpredict.errors import BreastPredictError
        from breastpredict.pcr import parse_roi, regions_of

        p = parameters
        self.found, self.problem, self.notes = {}, "", ()
        images, given = {}, {}
        try:
            for time in TIMES:
                if opened[time] is None:
                    continue
                text = getattr(p, _TEXT[time]).strip()
                if not text:
                    self.problem = f"There is no square on {TITLES[time]} yet."
                    continue
                given[time] = parse_roi(text)
                images[time] = self._image(time, opened["sources"][time])
            self.found, self.notes = regions_of(images, given, policy, needs)
        except BreastPredictError as error:
            self.problem = str(error)
        for time in TIMES:
            self._show(p, time)
        self._show_rectangle(p)

    def take_edits(self, parameters: Any) -> None:
        """Make texts of what the reader has dragged."""
        p = parameters
        for time in TIMES:
            node, image = getattr(p, _SQUARE[time]), getattr(p, f"{time}Image")
            place = square_nodes.taken_point(getattr(p, f"{time}Point"))
            if place is not None and image is not None and getattr(p, _TEXT[time]) != GONE:
                new_square(p, time, source_pixel(image, place))
                continue
            if node is None or image is None or not square_nodes.edited(node, image):
                continue
            if getattr(p, _TEXT[time]) == GONE:
                continue  # it follows US-0
            text, side = square_nodes.square_text(node, image)
            setattr(p, _TEXT[time], text)
            if p.linked:
                self._resize(p, next(other for other in TIMES if other != time), side)
        node, overview = p.rectangle, p.overview
        if node is not None and overview is not None:
            text = pathology_nodes.text_of_rectangle(node, overview)
            if text != node.GetAttribute(square_nodes.SHOWN):
                p.pathologyRegion = text

    def centre(self, time: str, parameters: Any) -> list[float] | None:
        """Of a square, in RAS."""
        image = getattr(parameters, f"{time}Image")
        found = self.found.get(time)
        return None if found is None or image is None else ras_of(image, found.center)

    def _image(self, time: str, source: dict[str, Any]) -> UltrasoundImage:
        """Read once: the squares of a case are found many times."""
        from breastpredict.dicom import read_ultrasound

        key = (source["path"], source["frame"], source["region"])
        if time not in self._images or self._images[time][0] != key:
            path, frame, region = key
            self._images[time] = (key, read_ultrasound(path, frame=frame, region=region))
        return self._images[time][1]

    def _show(self, p: Any, time: str) -> None:
        node, image, found = getattr(p, _SQUARE[time]), getattr(p, f"{time}Image"), self.found
        if time not in found or image is None:
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
            return
        name = f"Square on {TITLES[time]}"
        shown = square_nodes.show_box(
            node, image, found[time].box, name, COLOURS[time], VIEWS[time]
        )
        shown.SetLocked(getattr(p, _TEXT[time]) == GONE)
        if node is None:
            setattr(p, _SQUARE[time], shown)

    def _show_rectangle(self, p: Any) -> None:
        if p.overview is None:
            self.biopsy_problem = ""
            return
        self.biopsy_problem = pathology_nodes.problem_of(p.pathologyRegion, p.overview)
        found = pathology_nodes.rectangle_of(p.pathologyRegion)
        if found is None or self.biopsy_problem:
            if p.rectangle is not None:
                slicer.mrmlScene.RemoveNode(p.rectangle)
            return
        node = pathology_nodes.show_rectangle(p.rectangle, p.overview, found, VIEWS["pathology"])
        node.SetAttribute(square_nodes.SHOWN, pathology_nodes.text_of_rectangle(node, p.overview))
        if p.rectangle is None:
            p.rectangle = node

    def _resize(self, p: Any, time: str, side: float) -> None:
        """Give a drawn square another side, in mm; masks and boxes keep theirs."""
        image = getattr(p, f"{time}Image")
        drawn = square_nodes.drawn_of(getattr(p, _TEXT[time]))
        if image is not None and drawn is not None:
            x, y, _ = drawn
            text = square_nodes.point_text(x, y, side / image.GetSpacing()[0])
            setattr(p, _TEXT[time], text)


def new_square(parameters: Any, time: str, centre: tuple[float, float] | None = None) -> None:
    """A square on an image, to be moved; with the side of the other one if linked.

    Args:
        parameters: of the case.
        time: "us0" or "us1".
        centre: in pixels of the file; None for the middle of the image.
    """
    p = parameters
    image = getattr(p, f"{time}Image")
    text = square_nodes.default_square(image, centre)
    other = next(one for one in TIMES if one != time)
    drawn = square_nodes.drawn_of(getattr(p, _TEXT[other]))
    other_image = getattr(p, f"{other}Image")
    if p.linked and drawn is not None and other_image is not None:
        place = square_nodes.drawn_of(text)
        assert place is not None
        side = drawn[2] * other_image.GetSpacing()[0] / image.GetSpacing()[0]
        text = square_nodes.point_text(place[0], place[1], side)
    setattr(p, _TEXT[time], text)


def set_gone(parameters: Any, gone: bool) -> None:
    """Say that the tumour is no longer visible on US-1, or that it is after all."""
    p = parameters
    if gone and p.us1Roi != GONE:
        p.us1RoiBefore, p.us1Roi = p.us1Roi, GONE
    elif not gone and p.us1Roi == GONE:
        p.us1Roi = p.us1RoiBefore
