"""HER2 prediction from a folder of 6 phases × 160 slices of 448² with a DICOM SEG.

Baseline (``baseline`` below): the script a good user would write. SimpleITK finds and reads the
series of the early phase, highdicom reads the SEG, numpy finds the largest slice, timm predicts.
Both run in a fresh process each; time and peak memory are counted above importing the libraries,
and the outputs must agree. Prints ratios; absolute times depend on the machine.

    python Testing/benchmarks/her2_predict.py [--slices 160] [--matrix 448] [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TASKS = ("her2_zero_vs_rest", "her2_low_vs_positive")


def make_input(folder: Path, slices: int, matrix: int) -> None:
    """A study of one series per phase, its SEG, and a run of two ViT-tiny with seeded weights."""
    import numpy as np
    import SimpleITK as sitk
    import torch

    from breastpredict.dicom import Provenance, read_study, write_segmentation
    from breastpredict.models import VIT_TINY, build_vit, save_bundle
    from breastpredict.phantom.mr_dicom import write_dce

    rng = np.random.default_rng(0)
    k, j, i = np.ogrid[:slices, :matrix, :matrix]
    breast = ((i - matrix / 2) / matrix) ** 2 + ((j - matrix / 2) / matrix) ** 2 < 0.2
    distance = (
        ((k - slices * 0.45) / slices * 10) ** 2
        + ((j - matrix * 0.4) / matrix * 18) ** 2
        + ((i - matrix * 0.3) / matrix * 18) ** 2
    )
    lesion = distance < 1
    phases = []
    for phase in range(6):
        array = rng.normal(200, 15, (slices, matrix, matrix)).clip(0) * breast
        array += lesion * (0 if phase == 0 else 300 - 20 * phase)
        image = sitk.GetImageFromArray(array.astype(np.uint16))
        image.SetSpacing((0.75, 0.75, 1.1))
        image.SetOrigin((10.0, -20.0, 30.0))
        phases.append(image)
    write_dce(folder / "study", phases, layout="siemens", times_s=[0, 90, 180, 270, 360, 450])
    for file in sorted((folder / "study").glob("*/*.dcm")):  # one folder, as exports often are
        file.rename(folder / "study" / f"{file.parent.name}-{file.name}")
    mask = sitk.GetImageFromArray(lesion.astype(np.uint8))
    mask.CopyInformation(phases[0])
    study = read_study(folder / "study")
    early = study.dce[0].phase(study.dce[0].chosen)
    write_segmentation(mask, early, folder / "segmentation.dcm", provenance=Provenance())
    for task in TASKS:
        torch.manual_seed(len(task))
        positive = "low_or_positive" if task == TASKS[0] else "low"
        save_bundle(
            folder / "run" / task,
            build_vit(**VIT_TINY),
            network=VIT_TINY,
            metadata={
                "task": task,
                "positive_class": positive,
                "negative_class": "zero" if task == TASKS[0] else "positive",
                "threshold": 0.5,
                "prevalence": 0.5,
                "calibration": {"method": "none"},
                "synthetic": True,
                "training_data": {},
            },
        )
    (folder / "early_series.txt").write_text(early.series_uid)


def ours(folder: Path) -> dict[str, object]:
    """What ``breastpredict her2 predict`` does up to the numbers and the attention map."""
    import SimpleITK  # noqa: F401
    import timm  # noqa: F401
    import torch

    from breastpredict.her2 import Her2Model, prepare_case

    torch.set_num_threads(2)
    reset_peak()
    start, before = time.perf_counter(), resident_mb()
    model = Her2Model.load(folder / "run", "cpu")
    case = prepare_case(
        folder / "study",
        image_size=model.image_size,
        segmentation=folder / "segmentation.dcm",
    )
    prediction = model.predict(case)
    return {
        "seconds": time.perf_counter() - start,
        "memory_mb": peak_mb() - before,
        "slice": case.slice.index,
        "scores": [score.score for score in prediction.scores],
    }


def baseline(folder: Path) -> dict[str, object]:
    """The plain script: read the whole phase and the whole mask, then look for the slice."""
    import highdicom
    import numpy as np
    import SimpleITK as sitk
    import timm
    import torch
    from safetensors.torch import load_file

    from breastpredict.imaging import SquareROI

    torch.set_num_threads(2)
    reset_peak()
    start, before = time.perf_counter(), resident_mb()
    wanted = (folder / "early_series.txt").read_text()
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(folder / "study"), wanted)
    reader.SetFileNames(names)
    volume = sitk.Cast(reader.Execute(), sitk.sitkFloat32)
    segmentation = highdicom.seg.segread(folder / "segmentation.dcm")
    frames = segmentation.get_volume(segment_numbers=[1], combine_segments=True)
    array = np.zeros(volume.GetSize()[::-1], np.uint8)
    origin = frames.affine[:3, 3]  # highdicom: LPS of the first voxel, axes (slice, row, column)
    first = round(volume.TransformPhysicalPointToContinuousIndex(origin.tolist())[2])
    step = 1 if frames.affine[2, 0] > 0 else -1
    for offset in range(frames.spatial_shape[0]):
        array[first + step * offset] = frames.array[offset]
    index = int(np.argmax(array.sum(axis=(1, 2))))
    mask = sitk.GetImageFromArray(array)
    mask.CopyInformation(volume)
    crop = SquareROI.around(mask, index).extract(volume, 224)
    low, high = np.percentile(crop, [1, 99])
    x = (np.clip((crop - low) / (high - low), 0, 1) - 0.5) / 0.5
    scores = []
    for task in TASKS:
        model = timm.create_model("vit_tiny_patch16_224", in_chans=1, num_classes=1)
        model.load_state_dict(load_file(folder / "run" / task / "models" / "model.safetensors"))
        model.eval()
        with torch.inference_mode():
            logit = model(torch.from_numpy(x.astype(np.float32))[None, None])
        scores.append(float(torch.sigmoid(logit)))
    return {
        "seconds": time.perf_counter() - start,
        "memory_mb": peak_mb() - before,
        "slice": index,
        "scores": scores,
    }


def resident_mb() -> float:
    """Resident memory now, MB."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


def peak_mb() -> float:
    """Highest resident memory since `reset_peak`, MB. (ru_maxrss would be the parent's.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def reset_peak() -> None:
    """Forget the peak of importing the libraries (Linux, proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(which: str, folder: Path) -> dict[str, object]:
    """One run in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", which, "--folder", str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=160)
    parser.add_argument("--matrix", type=int, default=448)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="keep the input here")
    parser.add_argument("--child", choices=("ours", "baseline"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps((ours if options.child == "ours" else baseline)(options.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        if not (folder / "early_series.txt").exists():
            make_input(folder, options.slices, options.matrix)
        runs = [(measure("baseline", folder), measure("ours", folder)) for _ in range(options.runs)]
    plain, fast = runs[0]
    assert plain["slice"] == fast["slice"], (plain, fast)
    difference = max(abs(a - b) for a, b in zip(plain["scores"], fast["scores"], strict=True))
    assert difference < 1e-5, (plain, fast)
    for key in ("seconds", "memory_mb"):
        ratios = [a[key] / b[key] for a, b in runs]
        print(
            f"{key}: baseline {statistics.median(a[key] for a, _ in runs):.2f}, "
            f"ours {statistics.median(b[key] for _, b in runs):.2f}, "
            f"ratio {statistics.median(ratios):.1f} (runs {', '.join(f'{r:.1f}' for r in ratios)})"
        )
    print(f"largest difference of a score: {difference:.1e}")


if __name__ == "__main__":
    main()
