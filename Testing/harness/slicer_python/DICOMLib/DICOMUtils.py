"""Indexing files into a database and loading series from it; signatures as in Slicer."""

import logging
import os
import shutil

import ctk
import slicer
import vtk

FILE_NAME = "ctkDICOM.sql"


def openDatabase(databaseDir):
    """Make `databaseDir` the application's database."""
    database = slicer.dicomDatabase
    return database.openDatabase(os.path.join(databaseDir, FILE_NAME))


def clearDatabase(dicomDatabase=None):
    database = slicer.dicomDatabase if dicomDatabase is None else dicomDatabase
    database.initializeDatabase()


def openTemporaryDatabase(directory=None):
    """Open an empty database for a while; returns the folder of the one it replaces."""
    original = slicer.dicomDatabase.databaseDirectory
    folder = directory or "TempDICOMDatabase"
    if not os.path.isabs(folder):
        folder = os.path.join(slicer.app.temporaryPath, folder)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    openDatabase(folder)
    return original


def closeTemporaryDatabase(originalDatabaseDir, cleanup=True):
    folder = slicer.dicomDatabase.databaseDirectory
    slicer.dicomDatabase.closeDatabase()
    if cleanup:
        shutil.rmtree(folder, ignore_errors=True)
    if originalDatabaseDir:
        openDatabase(originalDatabaseDir)
    return True


class TemporaryDICOMDatabase:
    """`with TemporaryDICOMDatabase(folder) as database:`; wipes the folder."""

    def __init__(self, directory=None):
        self.temporaryDatabaseDir, self.originalDatabaseDir = directory, None

    def __enter__(self):
        self.originalDatabaseDir = openTemporaryDatabase(self.temporaryDatabaseDir)
        return slicer.dicomDatabase

    def __exit__(self, type, value, traceback):
        closeTemporaryDatabase(self.originalDatabaseDir)


def importDicom(dicomDataDir, dicomDatabase=None, copyFiles=False):
    """Index a folder; False if the database is not open."""
    database = slicer.dicomDatabase if dicomDatabase is None else dicomDatabase
    if not os.path.isdir(dicomDataDir) or not database.isOpen:
        return False
    indexer = ctk.ctkDICOMIndexer()
    indexer.addDirectory(database, dicomDataDir, copyFiles)
    indexer.waitForImportFinished()
    return True


def allSeriesUIDsInDatabase(database=None):
    database = slicer.dicomDatabase if database is None else database
    studies = [s for patient in database.patients() for s in database.studiesForPatient(patient)]
    return [series for study in studies for series in database.seriesForStudy(study)]


def getDatabasePatientUIDByPatientID(patientID):
    database = slicer.dicomDatabase
    rows = database.patients()
    found = [row for row in rows if database.fieldForPatient("PatientID", row) == patientID]
    return found[0] if found else None


def loadSeriesByUID(seriesUIDs, messages=None, progressCallback=None, enabledPluginClassNames=None):
    """Load image series as volumes; returns node IDs. SEG, PM and SR have no reader here."""
    if not isinstance(seriesUIDs, (list, tuple)):
        raise ValueError("seriesUIDs must be a list")
    return [_load_volume(uid) for uid in seriesUIDs]


def loadPatientByUID(
    patientUID, messages=None, progressCallback=None, enabledPluginClassNames=None
):
    database = slicer.dicomDatabase
    studies = database.studiesForPatient(patientUID)
    if not studies:
        raise OSError(f"no patient {patientUID} in the DICOM database")
    series = [uid for study in studies for uid in database.seriesForStudy(study)]
    return loadSeriesByUID(series, messages, progressCallback, enabledPluginClassNames)


def _load_volume(uid):
    """One volume from a series, its slices in the order of their positions."""
    import SimpleITK as sitk

    files = slicer.dicomDatabase.filesForSeries(uid)
    if not files:
        raise OSError(f"no series {uid} in the DICOM database")
    ordered = sorted(files, key=_position)
    image = sitk.ReadImage(ordered if len(ordered) > 1 else ordered[0])
    volume = _volume_of(image)
    database = slicer.dicomDatabase
    volume.SetName(
        slicer.mrmlScene.GenerateUniqueName(database.descriptionForSeries(uid) or "Series")
    )
    uids = [database.instanceForFile(path) for path in ordered]
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    return volume.GetID()


def _volume_of(image):
    import numpy as np
    import SimpleITK as sitk

    to_ras = np.diag([-1.0, -1.0, 1.0])
    directions = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    matrix = np.eye(4)
    matrix[:3, :3] = to_ras @ directions
    matrix[:3, 3] = to_ras @ np.array(image.GetOrigin())
    return slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), matrix)


def _position(path):
    """Distance along the slice normal, from the file's header."""
    import numpy as np
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True)
    if "ImagePositionPatient" not in header:
        return 0.0
    row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
    return float(np.cross(row, column) @ np.array(header.ImagePositionPatient, dtype=float))


def getLoadablesFromFileLists(
    fileLists, pluginClassNames=None, messages=None, progressCallback=None, pluginInstances=None
):
    """What the registered plugins offer: plugin -> loadables; and whether there are any."""
    if not isinstance(fileLists, list) or not fileLists:
        logging.error("File lists must contain a non-empty list of tuples/lists")
        return {}, False
    instances = {} if pluginInstances is None else pluginInstances
    found = {}
    for name in pluginClassNames or list(slicer.modules.dicomPlugins):
        if name not in instances:
            instances[name] = slicer.modules.dicomPlugins[name]()
        plugin = instances[name]
        try:
            # The older name is tried too where there is nothing, as in Slicer.
            found[plugin] = plugin.examineForImport(fileLists) or plugin.examine(fileLists)
        except Exception as error:
            logging.error(f"DICOM Plugin failed: {error}")
            if messages:
                messages.append(f"Plugin failed: {name}.")
    return found, any(found.values())


def selectHighestConfidenceLoadables(loadablesByPlugin):
    """Of the loadables of a series, which is that of their first file, the most confident ones."""
    by_series = {}
    for loadables in loadablesByPlugin.values():
        for loadable in loadables:
            series = slicer.dicomDatabase.fileValue(loadable.files[0], "0020,000E")
            by_series.setdefault(series, []).append(loadable)
    for loadables in by_series.values():
        highest = max(loadable.confidence for loadable in loadables)
        for loadable in loadables:
            loadable.selected = loadable.confidence == highest


def loadLoadables(loadablesByPlugin, messages=None, progressCallback=None):
    """Load what is selected; returns the IDs of the nodes it added, displays and storages apart."""
    added = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_added(caller, event, node):
        if not node.IsA("vtkMRMLStorageNode") and not node.IsA("vtkMRMLDisplayNode"):
            added.append(node.GetID())

    tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, on_added)
    for plugin, loadables in loadablesByPlugin.items():
        for loadable in [one for one in loadables if one.selected]:
            try:
                loaded = plugin.load(loadable)
            except Exception as error:
                loaded = False
                logging.error(f"DICOM plugin failed to load '{loadable.name}': {error}")
            if not loaded and messages is not None:
                messages.append(f"Could not load: {loadable.name} as a {plugin.loadType}")
    slicer.mrmlScene.RemoveObserver(tag)
    return added
