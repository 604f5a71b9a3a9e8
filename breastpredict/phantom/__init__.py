"""Synthetic cohorts: what can be planted, rendered and written as a scanner would write it."""

from __future__ import annotations

from breastpredict.phantom.her2 import STUDY_DESCRIPTION, make_her2_phantom
from breastpredict.phantom.her2_plan import CasePlan, plan_her2_cohorts
from breastpredict.phantom.her2_render import RenderedCase, render_her2_case
from breastpredict.phantom.mr_dicom import write_dce
from breastpredict.phantom.mr_study import LAYOUTS, StudyHeader, WrittenDce, WrittenPhase
from breastpredict.phantom.pcr import make_pcr_phantom
from breastpredict.phantom.pcr_plan import plan_pcr_cohorts
from breastpredict.phantom.random_run import write_random_pcr_run, write_random_run

__all__ = [
    "LAYOUTS",
    "STUDY_DESCRIPTION",
    "CasePlan",
    "RenderedCase",
    "StudyHeader",
    "WrittenDce",
    "WrittenPhase",
    "make_her2_phantom",
    "make_pcr_phantom",
    "plan_her2_cohorts",
    "plan_pcr_cohorts",
    "render_her2_case",
    "write_dce",
    "write_random_pcr_run",
    "write_random_run",
]
