"""One patient from the images to the result: what the panel, a script and the tests drive."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from BreastPredictLib.case import Done, Failed, PredictedCase
from BreastPredictLib.parameters import is_set
from BreastPredictLib.tasks import Tasks

from . import image_nodes, list_of_patients, reading, result_nodes
from .parameters import PCRPredictParameterNode
from .regions import Regions

if TYPE_CHECKING:
    from breastpredict.pcr import PcrFacts, PcrPolicy


class Case(PredictedCase):
    """A case on a parameter node.

    Args:
        parameters: what is remembered of it in the scene.
        tasks: the child process.

    Attributes:
        regions: where the tumour is; kept up by `update_regions`.
        variant: the one that would be used, empty where there is none.
        variant_problem: why there is none, in words.
    """

    def __init__(self, parameters: PCRPredictParameterNode, tasks: Tasks) -> None:
        super().__init__(parameters, tasks)
        self.regions = Regions()
        self.variant = self.variant_problem = ""
        self._facts: tuple[Any, PcrFacts] | None = None

    # What is known

    @property
    def opened(self) -> dict[str, Any] | None:
        """The backend's answer about the images; None while the chosen ones are not read."""
        p = self.parameters
        opened: dict[str, Any] | None = json.loads(p.opened) if p.opened else None
        # Others were chosen since: their numbers must not come under this patient's name.
        return opened if opened and opened["choice"] == reading.choice(p) else None

    @property
    def laterality(self) -> str:
        """Side, by hand or of the first image that states one: R, L or empty."""
        opened = self.opened or {}
        told = [self.parameters.laterality]
        told += [(opened.get(time) or {}).get("laterality", "") for time in reading.TIMES]
        return next((side for side in told if side), "")

    @property
    def patient_id(self) -> str:
        """Whose images are read, as their files have it; empty where none of them tells."""
        opened = self.opened
        return "" if opened is None else image_nodes.patient_of(opened)["PatientID"]

    def words(self) -> dict[str, str]:
        """The patient as `breastpredict.pcr.case_of` takes it."""
        p, opened = self.parameters, self.opened
        patient = list_of_patients.listed(p)
        found: dict[str, Any] = {"patient_id": patient, "cohort": p.site if patient else ""}
        for time, source in (opened["sources"] if opened else {}).items():
            found[time] = source["path"]
            found[f"{time}_roi"] = getattr(p, f"{time}Roi").strip()
            for what in ("frame", "region", "date"):
                found[f"{time}_{what}"] = source[what]
        if is_set(p.pathology):
            found["pathology"] = p.pathology
            found["pathology_region"], found["pathology_mpp"] = p.pathologyRegion, p.mpp
        for name in ("subtype", "er", "ki67", "regimen", "laterality"):
            found[name] = getattr(p, name)
        return {name: str(value).strip() for name, value in found.items() if value}

    def inputs_key(self) -> str:
        """What a prediction would depend on now; two predictions with one key are the same."""
        p = self.parameters
        values = (self.words(), str(p.run), p.variant, p.explain)
        # Where this session keeps pictures of images that have no file tells nothing of them.
        here = json.dumps(str(self.tasks.folder))[1:-1]
        told = json.dumps(values, sort_keys=True).replace(here, "")
        return hashlib.sha256(told.encode()).hexdigest()

    # Images

    def open_images(self, done: Done, failed: Failed) -> None:
        """Read what is chosen, check the pair, and put the images into the scene.

        Raises:
            ValueError: nothing is chosen, or no ultrasound image.
        """
        p = self.parameters
        if not reading.is_chosen(p):
            raise ValueError("Choose an ultrasound image or a biopsy first.")
        sources = reading.sources(p, self.tasks.folder / "pictures")
        choice = reading.choice(p)
        before = json.loads(p.opened) if p.opened else None
        arguments = {
            **sources,
            "folder": str(self.tasks.folder / "images"),
            "pathology": str(p.pathology) if is_set(p.pathology) else None,
            "mpp": _microns(p.mpp),
            "laterality": p.laterality or None,
        }

        def answered(result: dict[str, Any]) -> None:
            self.forget_result()
            self._forget_images()
            now = {**result, "sources": sources, "choice": choice}
            for time in reading.TIMES:
                if before is not None and reading.is_another(before, now, time):
                    setattr(p, f"{time}Roi", "")  # it was drawn on that one
            image_nodes.show_images(p, result)
            p.opened = json.dumps(now)
            self.update_regions()
            done()

        self.tasks.start("reading the images", "pcr_open", arguments, answered, failed)

    def forget_case(self) -> None:
        """No images are open any more, and nothing of them is in the scene."""
        self.forget_result()
        self._forget_images()
        self.parameters.opened = ""
        self.update_regions()

    def _forget_images(self) -> None:
        p = self.parameters
        markups = "us0Square", "us1Square", "us0Point", "us1Point", "rectangle"
        for name in (*image_nodes.IMAGES.values(), *markups):
            node = getattr(p, name)
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
            setattr(p, name, None)

    # Regions and variant

    def update_regions(self) -> None:
        """Find squares and variant again, after texts, images or run changed."""
        from breastpredict.errors import BreastPredictError

        self._write_pictures_again()
        p, opened, facts = self.parameters, self.opened, self.facts()
        self.variant = self.variant_problem = ""
        if facts is not None:
            from breastpredict.pcr import case_of

            try:
                self.variant = facts.choose(case_of(self.words()), p.variant or None)
            except BreastPredictError as error:
                self.variant_problem = str(error)
            if p.linkedOf != str(p.run):
                p.linked = self.policy(facts).scale == "linked"
                p.linkedOf = str(p.run)
        if opened is None:
            self.regions = Regions()
            return
        needs = facts.variants[self.variant] if facts is not None and self.variant else None
        self.regions.update(p, opened, self.policy(facts), needs or ("us0", "us1"))

    def _write_pictures_again(self) -> None:
        """Of images that have no file the picture went with the session that the scene is from."""
        p, opened = self.parameters, self.opened
        for time, told in (opened["sources"] if opened else {}).items():
            if getattr(p, time) is not None and not Path(told["path"]).is_file():
                try:
                    found = reading.source(p, time, self.tasks.folder / "pictures")
                except ValueError:
                    continue  # reading the images again says why
                opened["sources"][time]["path"] = str(found.path)
                p.opened = json.dumps(opened)

    def facts(self) -> PcrFacts | None:
        """What the chosen run says of itself; None where none can be used."""
        from breastpredict.errors import BreastPredictError
        from breastpredict.pcr import PcrModel

        run = self.parameters.run
        if not is_set(run):
            return None
        files = [*sorted(run.glob("*/configs/metadata.json")), *run.glob("*.json")]
        key = (str(run), *((str(file), file.stat().st_mtime_ns) for file in files))
        if self._facts is None or self._facts[0] != key:
            try:
                self._facts = (key, PcrModel.load(run).facts)
            except BreastPredictError:
                self._facts = None
        return None if self._facts is None else self._facts[1]

    def policy(self, facts: PcrFacts | None) -> PcrPolicy:
        """What of the images the run's networks see."""
        from breastpredict.pcr import PcrPolicy

        if facts is None:
            return PcrPolicy()
        return PcrPolicy.from_block(facts.blocks[self.variant or next(iter(facts.blocks))])

    # Prediction

    def predict(self, done: Done, failed: Failed) -> None:
        """Predict and put maps, table and chart into the scene."""
        p = self.parameters
        kept = is_set(p.resultsFolder)
        arguments = {
            "case": self.words(),
            "run": str(p.run),
            "out": str(p.resultsFolder if kept else self.tasks.folder / "results"),
            "device": p.device,
            "explain": p.explain,
            "variant": p.variant or None,
        }

        def shown() -> None:
            list_of_patients.keep(p)
            done()

        def refused(error: Exception) -> None:
            list_of_patients.keep(p)
            failed(error)

        self.ask_for_result("pcr_predict", arguments, shown, refused)

    @property
    def maps(self) -> list[Any]:
        """The maps of the result that are in the scene."""
        return [node for node in self.parameters.mapNodes if node is not None]

    def map_of(self, name: str) -> Any:
        """The map that is shown on an input, or None."""
        return image_nodes.map_of(self.maps, name, self.parameters.method)

    def forget_maps(self) -> None:
        """The parameters refer to no map any more."""
        self.parameters.mapNodes = []

    def show_result(
        self, result: dict[str, Any], found: dict[str, Any], opened: dict[str, Any]
    ) -> None:
        """Put maps, table and chart into the scene."""
        p = self.parameters
        p.mapNodes = image_nodes.add_maps(Path(found["folder"]), result, opened)
        methods = [one["method"] for one in result["maps"]]
        if methods and p.method not in methods:
            p.method = methods[0]
        self.update_maps()
        p.table = result_nodes.result_table(result, opened)
        p.chart = result_nodes.result_chart(p.table)

    # List

    def read_list(self, done: Done, failed: Failed) -> None:
        """Read the table of the list of patients."""

        def answered(result: dict[str, Any]) -> None:
            p = self.parameters
            p.rows, p.place, p.kept = json.dumps(result["patients"]), -1, ""
            done()

        arguments = {"table": str(self.parameters.patients)}
        self.tasks.start("reading the table", "pcr_table", arguments, answered, failed)

    def go_to(self, place: int, done: Done, failed: Failed) -> None:
        """Show a patient of the list, as it was left; what was done with the one before is kept.

        Raises:
            ValueError: there is no such place.
        """
        p = self.parameters
        rows = list_of_patients.rows_of(p)
        if not 0 <= place < len(rows):
            raise ValueError("The list has no such patient.")
        list_of_patients.keep(p)
        self.forget_case()
        kept = list_of_patients.take(p, rows[place])
        p.place = place

        def opened() -> None:
            self._restore(kept)
            done()

        if reading.is_chosen(p):
            self.open_images(opened, failed)
        else:  # of clinical variables only
            self._restore(kept)
            self.update_regions()
            done()

    def take_clinical(self, patient: str) -> None:
        """The clinical variables of a patient of the table.

        Raises:
            ValueError: there is no such patient.
        """
        row = list_of_patients.row_of(self.parameters, patient)
        if row is None:
            raise ValueError("The table has no such patient.")
        list_of_patients.take_clinical(self.parameters, row)

    def _restore(self, kept: dict[str, str]) -> None:
        """Show a result again that was kept with its patient."""
        p, result = self.parameters, json.loads(kept["result"]) if kept["result"] else None
        if result is None:
            return
        if result["status"] == "predicted":
            if not Path(result["folder"]).is_dir():
                return
            self.show_result(result, {"folder": result["folder"]}, self.opened or {})
        p.result, p.resultKey = kept["result"], kept["resultKey"]

    # Training

    def train(self, done: Done, failed: Failed) -> None:
        """Train the variants on the cohort; the run is then chosen for predicting."""
        p = self.parameters
        arguments = {
            "cohort": str(p.cohort),
            "out": str(p.trainingRun),
            "resume": p.resume,
            "preset": p.network,
            "variants": [name.strip() for name in p.variants.split(",") if name.strip()],
            "recipe": p.recipe,
            "weights": p.weights or None,
            "epochs": p.epochs or None,
            "device": p.device,
        }
        self.train_on("pcr_train", arguments, done, failed)


def _microns(text: str) -> float | None:
    """Raises ValueError where it is no number."""
    try:
        return float(text) if text.strip() else None
    except ValueError as error:
        raise ValueError(f"'{text}' is no number of microns per pixel.") from error
