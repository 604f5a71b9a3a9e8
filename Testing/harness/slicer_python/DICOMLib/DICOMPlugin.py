"""What DICOM plugins derive from; names and signatures as in Slicer."""

import hashlib
import logging
import shutil

import slicer


class DICOMLoadable:
    """Files that can be loaded in one go; a plugin may hang more on it."""

    def __init__(self, qLoadable=None):
        self.files = list(qLoadable.files) if qLoadable is not None else []
        for name, value in (
            ("name", "Unknown"),
            ("tooltip", "No further information available"),
            ("warning", ""),
            ("selected", False),
            ("confidence", 0.5),
        ):
            setattr(self, name, value if qLoadable is None else getattr(qLoadable, name))


class DICOMPlugin:
    """Offers loadables for lists of files, and loads them."""

    def __init__(self):
        self.loadType = "Generic DICOM"
        self.loadableCache = {}
        self.tags = {
            "seriesDescription": "0008,103E",
            "seriesNumber": "0020,0011",
            "seriesInstanceUID": "0020,000E",
            "modality": "0008,0060",
            "instanceUID": "0008,0018",
            "classUID": "0008,0016",
            "frameOfReferenceUID": "0020,0052",
        }
        self.tempDir = None
        self._currentDateTime = None

    def cleanup(self):
        if self.tempDir:
            shutil.rmtree(self.tempDir, ignore_errors=True)
            self.tempDir = None

    def hashFiles(self, files):
        return hashlib.sha256("\n".join(files).encode()).digest()

    def getCachedLoadables(self, files):
        return self.loadableCache.get(self.hashFiles(files))

    def cacheLoadables(self, files, loadables):
        self.loadableCache[self.hashFiles(files)] = loadables

    def examineForImport(self, fileList):
        """Every list by itself, and each once."""
        found = []
        for files in fileList:
            loadables = self.getCachedLoadables(files)
            if loadables is None:
                loadables = self.examineFiles(files)
                self.cacheLoadables(files, loadables)
            found += loadables
        return found

    def examineFiles(self, files):
        return []

    def examine(self, fileList):
        return self.examineForImport(fileList)

    def load(self, loadable):
        return True

    def examineForExport(self, subjectHierarchyItemID):
        return []

    def export(self, exportable):
        return ""

    def defaultSeriesNodeName(self, seriesUID):
        database = slicer.dicomDatabase
        files = database.filesForSeries(seriesUID)
        if not files:
            return "Unnamed Series"
        name = database.fileValue(files[0], self.tags["seriesDescription"]) or "Unnamed Series"
        number = database.fileValue(files[0], self.tags["seriesNumber"])
        return f"{number}: {name}" if number else name

    def addSeriesInSubjectHierarchy(self, loadable, dataNode):
        """The node as a series under its study and patient, which are made where they are not."""
        if dataNode is None or not dataNode.IsA("vtkMRMLNode"):
            logging.error("Unable to create subject hierarchy items: invalid data node provided")
            return
        constants = slicer.vtkMRMLSubjectHierarchyConstants
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        database, first = slicer.dicomDatabase, loadable.files[0]

        def value(tag):
            return database.fileValue(first, tag)

        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), dataNode)
        series = value(self.tags["seriesInstanceUID"])
        hierarchy.SetItemUID(item, constants.GetDICOMUIDName(), series)
        instances = [database.fileValue(f, self.tags["instanceUID"]) for f in loadable.files]
        hierarchy.SetItemUID(item, constants.GetDICOMInstanceUIDName(), " ".join(instances))
        hierarchy.SetItemAttribute(
            item, constants.GetDICOMSeriesModalityAttributeName(), value(self.tags["modality"])
        )
        hierarchy.SetItemAttribute(
            item, constants.GetDICOMSeriesNumberAttributeName(), value(self.tags["seriesNumber"])
        )
        patient, study = value("0010,0020"), value("0020,000D")
        slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(
            hierarchy, patient, study, series
        )
        for uid, tag, absent in (
            (patient, "0010,0010", "No name"),
            (study, "0008,1030", "No study description"),
        ):
            owner = hierarchy.GetItemByUID(constants.GetDICOMUIDName(), uid)
            if owner:
                hierarchy.SetItemName(owner, value(tag) or absent)
