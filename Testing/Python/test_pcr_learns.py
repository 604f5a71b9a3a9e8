"""A small version of the proof in Testing/prove: the pCR network learns the planted change."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from breastpredict.stats import roc_auc

pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parents[1] / "prove"))
from pcr_cohorts import Patients, make_patients
from pcr_phantom import trained, with_others_us1

pytestmark = pytest.mark.usefixtures("one_thread")
PAIR = ("us0", "us1")


@pytest.fixture(scope="module")
def patients() -> Patients:
    """Tumours of one outcome change alike, so that few patients must do."""
    return make_patients(44, 40, 21, needs=PAIR, clear=True, workers=2)


def test_the_change_is_learnt_and_lies_in_the_patients_own_pair(
    patients: Patients, tmp_path: Path
) -> None:
    scores = trained(patients, PAIR, tmp_path, 5)
    outcomes = patients.pcr[patients.outside]
    found = roc_auc(outcomes, scores)
    assert found.low > 0.6 and found.value > 0.8, found
    dealt = with_others_us1(patients, tmp_path / "pcr_us0_us1", PAIR)
    assert np.abs(np.subtract(dealt[0], scores)).mean() > 0.02
    mean = float(np.mean([roc_auc(outcomes, one).value for one in dealt]))
    assert mean < found.value - 0.2, (mean, found)
