"""What every report has: observer, algorithm, statements, evidence (TID 1500, TID 4019)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
from highdicom.sr.coding import CodedConcept
from highdicom.sr.enum import RelationshipTypeValues
from highdicom.sr.value_types import TextContentItem
from pydicom import Dataset
from pydicom.uid import generate_uid

from breastpredict.dicom import codes
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.source import MANUFACTURER, MODEL_NAME, finish, identity, save

Group = (
    hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations
    | hd.sr.MeasurementsAndQualitativeEvaluations
)
"""A measurement group of a report."""


def algorithm(name: str, provenance: Provenance) -> hd.sr.AlgorithmIdentification:
    """The model that measured (TID 4019), with everything that is known of how."""
    return hd.sr.AlgorithmIdentification(
        name=name,
        version=provenance.version,
        parameters=[f"{key}: {value}" for key, value in provenance.details.items()],
    )


def write_document(
    path: Path,
    group: Group,
    evidence: Sequence[Dataset],
    source: Dataset,
    *,
    provenance: Provenance,
    refusal: str | None,
    description: str,
    comments: Sequence[str] = (),
) -> Written:
    """Write a report of one measurement group as Comprehensive 3D SR.

    Args:
        path: file to write.
        group: what was found.
        evidence: headers, as highdicom takes them, of all that the report refers to; the first
            gives the study.
        source: the header whose patient and study the report belongs to.
        provenance: how the result came about.
        refusal: why nothing was assessed, where that is so.
        description: of the series.
        comments: more to say in the group.
    """
    statements = [*provenance.statements, *comments]
    if refusal is not None:
        statements.append(f"Not assessed: {refusal}")
    for statement in statements:
        group[0].ContentSequence.append(
            TextContentItem(
                name=CodedConcept("121106", "DCM", "Comment"),
                value=statement,
                relationship_type=RelationshipTypeValues.CONTAINS,
            )
        )
    device = hd.sr.ObserverContext(
        observer_type=CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(),
            name=MODEL_NAME,
            manufacturer_name=MANUFACTURER,
            model_name=MODEL_NAME,
        ),
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=device),
        procedure_reported=codes.IMAGING_PROCEDURE,
        imaging_measurements=[group],
        title=CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )
    data = hd.sr.Comprehensive3DSR(
        evidence=evidence,
        content=report,
        is_complete=refusal is None,
        is_final=False,
        is_verified=False,
        manufacturer=MANUFACTURER,
        **identity(902),
    )
    data.ManufacturerModelName = MODEL_NAME
    data.SoftwareVersions = provenance.version
    codes.identify_private_scheme(data)
    finish(data, source, provenance, description)
    return save(data, path)
