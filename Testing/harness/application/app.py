"""`slicer.app`."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import qt

from ..behaviours.registry import behaves_as
from .state import running

DOCUMENTATION = "https://slicer.readthedocs.io/en/latest/"


@behaves_as("qSlicerCoreApplication")
class CoreApplication:
    """Scene, settings, paths and managers."""

    defaults: ClassVar = {
        "mainApplicationName": "Slicer",
        "mainApplicationDisplayName": "3D Slicer",
        "revision": "0",
        "releaseType": "Stable",
        "isInstalled": True,
        "platform": "linux-amd64",
        "os": "linux",
        "arch": "amd64",
        "documentationBaseUrl": DOCUMENTATION,
    }

    def _get_slicerHome(self) -> str:
        return str(running().home)

    def _get_slicerSharePath(self) -> str:
        return "share/Slicer-{}.{}".format(*running().version)

    def _get_temporaryPath(self) -> str:
        return str(running().temporary)

    def _set_temporaryPath(self, path: str) -> None:
        raise NotImplementedError("the harness keeps its temporary folder")

    def _get_cachePath(self) -> str:
        return str(running().home / "cache")

    def _get_extensionsInstallPath(self) -> str:
        return str(running().home / "extensions")

    def _get_startupWorkingPath(self) -> str:
        return os.getcwd()

    def _get_slicerUserSettingsFilePath(self) -> str:
        return str(self._do_userSettings().fileName())

    def _get_majorVersion(self) -> int:
        return running().version[0]

    def _get_minorVersion(self) -> int:
        return running().version[1]

    _get_mainApplicationMajorVersion = _get_majorVersion
    _get_mainApplicationMinorVersion = _get_minorVersion

    def _do_mrmlScene(self) -> Any:
        return running().scene

    def _do_applicationLogic(self) -> Any:
        return running().logic

    def _do_moduleLogic(self, name: str) -> Any:
        return running().logic.GetModuleLogic(name)

    def _do_moduleManager(self) -> Any:
        return running().module_manager

    def _do_coreIOManager(self) -> Any:
        return running().io_manager

    def _do_dicomDatabase(self) -> Any:
        return running().dicom_database

    def _do_settings(self) -> Any:
        return qt.QSettings()

    _do_userSettings = _do_settings

    def _do_revisionUserSettings(self) -> Any:
        return qt.QSettings(str(running().home / "Slicer-revision.ini"), qt.QSettings.IniFormat)

    def _do_environment(self) -> Any:
        return qt.QProcessEnvironment.systemEnvironment()

    # In Slicer without what its launcher adds; here there is no launcher.
    _do_startupEnvironment = _do_environment

    def _do_processEvents(self) -> None:
        qt.QCoreApplication.processEvents()

    def _do_moduleDocumentationUrl(self, name: str) -> str:
        return f"{DOCUMENTATION}user_guide/modules/{name.lower()}.html"

    def _do_toSlicerHomeAbsolutePath(self, path: str) -> str:
        return path if os.path.isabs(path) else str(running().home / path)

    @staticmethod
    def _do_testingEnabled() -> bool:
        # Slicer's message boxes answer themselves in testing mode; here the test has to.
        return False


@behaves_as("qSlicerApplication")
class Application:
    """What only the desktop application has."""

    def _do_ioManager(self) -> Any:
        return running().io_manager

    def _do_layoutManager(self) -> Any:
        return running().layout_manager
