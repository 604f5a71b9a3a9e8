"""Registration of sample data; downloads only what `file:` addresses name."""

from __future__ import annotations

import hashlib
import shutil
import urllib.parse
import urllib.request
from pathlib import Path

import slicer


def _listed(value):
    return [value] if isinstance(value, str) or value is None else list(value)


class SampleDataSource:
    """One data set: where its files are, and what they become in the scene."""

    def __init__(
        self, sampleName=None, sampleDescription=None, uris=None, fileNames=None, nodeNames=None,
        checksums=None, loadFiles=None, customDownloader=None, thumbnailFileName=None,
        loadFileTypes=None, loadFileProperties=None, loadFileType=None,
    ):  # fmt: skip
        self.sampleName = sampleName
        self.sampleDescription = sampleName if sampleDescription is None else sampleDescription
        self.uris, self.fileNames = _listed(uris), _listed(fileNames)
        self.nodeNames, self.checksums = _listed(nodeNames), _listed(checksums)
        self.thumbnailFileName, self.customDownloader = thumbnailFileName, customDownloader
        self.loadFileProperties = loadFileProperties or {}
        for name in ("fileNames", "nodeNames", "checksums"):
            given = getattr(self, name)
            if given != [None] and len(given) != len(self.uris):
                raise ValueError(f"{sampleName}: {len(given)} {name} for {len(self.uris)} uris")
        if thumbnailFileName is not None and not Path(thumbnailFileName).is_file():
            raise FileNotFoundError(f"{sampleName}: no thumbnail {thumbnailFileName}")


class SampleDataLogic:
    """Keeps the registered data sets in `slicer.modules.sampleDataSources`, by category."""

    def __init__(self, logMessage=None):
        self._log = logMessage

    @staticmethod
    def registerCustomSampleDataCategory(category, title):
        SampleDataLogic._sources(category)

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None,
        customDownloader=None, thumbnailFileName=None, loadFileTypes=None, loadFiles=None,
        loadFileProperties={}, checksums=None, loadFileType=None,  # noqa: B006  (as in Slicer)
    ):  # fmt: skip
        source = SampleDataSource(
            sampleName=sampleName, uris=uris, fileNames=fileNames, nodeNames=nodeNames,
            checksums=checksums, loadFiles=loadFiles, customDownloader=customDownloader,
            thumbnailFileName=thumbnailFileName, loadFileTypes=loadFileTypes,
            loadFileProperties=dict(loadFileProperties), loadFileType=loadFileType,
        )  # fmt: skip
        if not SampleDataLogic.isSampleDataSourceRegistered(category, source):
            SampleDataLogic._sources(category).append(source)

    @staticmethod
    def _sources(category):
        return slicer.modules.sampleDataSources.setdefault(category, [])

    @staticmethod
    def sampleDataSourcesByCategory(category=None):
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])

    @staticmethod
    def isSampleDataSourceRegistered(category, sampleDataSource):
        known = slicer.modules.sampleDataSources.get(category, [])
        return any(vars(source) == vars(sampleDataSource) for source in known)

    def sourceForSampleName(self, sampleName):
        sources = [s for known in slicer.modules.sampleDataSources.values() for s in known]
        return next((s for s in sources if s.sampleName == sampleName), None)

    def downloadSample(self, sampleName):
        return (self.downloadSamples(sampleName) or [None])[0]

    def downloadSamples(self, sampleName):
        source = self.sourceForSampleName(sampleName)
        if source is None:
            raise RuntimeError(f"there is no sample data {sampleName}")
        return self.downloadFromSource(source)

    def downloadFromSource(self, source, maximumAttemptsCount=3, forceDownload=False):
        """The nodes loaded, or what the custom downloader gives; file names without node names."""
        if source.customDownloader is not None:
            return source.customDownloader(source)
        count = len(source.uris)
        checksums = source.checksums if source.checksums != [None] else [None] * count
        nodes = source.nodeNames if source.nodeNames != [None] else [None] * count
        parts = zip(source.uris, source.fileNames, checksums, nodes, strict=True)
        results = []
        for uri, name, checksum, node in parts:
            file = self.downloadFileIntoCache(uri, name, checksum, forceDownload)
            results.append(self.loadNode(file, node) if node is not None else file)
        return results

    def downloadFileIntoCache(self, uri, name, checksum=None, forceDownload=False):
        address = urllib.parse.urlparse(uri)
        if address.scheme != "file":
            raise NotImplementedError(f"the harness downloads nothing: {uri}")
        folder = Path(slicer.app.cachePath)
        folder.mkdir(parents=True, exist_ok=True)
        target = shutil.copy(urllib.request.url2pathname(address.path), folder / name)
        if checksum is not None:
            kind, _, expected = checksum.partition(":")
            found = hashlib.new(kind.lower(), Path(target).read_bytes()).hexdigest()
            if found != expected.lower():
                raise ValueError(f"{name}: its {kind} is not that of the registration")
        return str(target)

    def loadNode(self, uri, name, fileType=None, fileProperties={}):  # noqa: B006
        return slicer.util.loadNodeFromFile(
            uri, fileType or slicer.app.coreIOManager().fileType(uri), {"name": name}
        )
