"""The report of a training run as one self-contained HTML file."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.files import write_text_atomic
from napari_chromocluster.results.figures import (
    confusion_figure,
    reliability_figure,
    save_figure,
)
from napari_chromocluster.training.runs.progress import RunProgress
from napari_chromocluster.training.runs.report_data import Mistake, Report
from napari_chromocluster.training.runs.run_folder import Run

_OVERALL = (
    ("accuracy", "Accuracy"),
    ("macro_sensitivity", "Macro sensitivity"),
    ("macro_specificity", "Macro specificity"),
    ("kappa", "Cohen's kappa"),
    ("auroc", "AUROC"),
    ("ece", "Calibration error (less is better)"),
)
_PER_TYPE = ("sensitivity", "specificity", "f1", "auroc")
_SHOWN = 60
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60em; margin: 2em auto;
       padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; } td, th { padding: .25em .8em; text-align: right;
       border-bottom: 1px solid #ddd; } td:first-child, th:first-child { text-align: left; }
.better { color: #00694d; font-weight: 600; } .worse { color: #a84400; }
img { max-width: 100%; } .figures img { height: 20em; margin-right: 1em; }
.mistakes { display: flex; flex-wrap: wrap; gap: .8em; } figure { margin: 0; width: 8.2em; }
figure img { border: 2px solid #999; display: block; } figcaption { font-size: .8em; }
.note { color: #555; }
"""


def write_page(
    run: Run, report: Report, true: Sequence[str], probabilities: NDArray[np.float32]
) -> Path:
    """Draw the figures of a report and write its page.

    Parameters
    ----------
    run : Run
        The run.
    report : Report
        Its figures.
    true : sequence of str, length N
        True types of the validation regions.
    probabilities : (N, 5) float32 array
        Probabilities of the new model.
    """
    folder = run.report_folder
    order = [str(kind) for kind in TYPES]
    right = probabilities.argmax(axis=1) == np.array([order.index(name) for name in true])
    figures = {
        "confusion.png": confusion_figure(report.new["confusion_matrix"], "Confusion matrix"),
        "reliability.png": reliability_figure(probabilities.max(axis=1), right),
        "curves.png": curves_figure(run),
    }
    for name, figure in figures.items():
        save_figure(folder / name, figure, dpi=130)
    page = folder / "report.html"
    write_text_atomic(page, _page(run, report, list(figures)))
    return page


def curves_figure(run: Run) -> Figure:
    """Draw loss and macro sensitivity over the epochs, with the stages."""
    progress = RunProgress(run.config)
    for event in run.events():
        progress.take(event)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(progress.train_loss.x, progress.train_loss.y, color="#999999", label="training")
    left.plot(
        progress.validation_loss.x, progress.validation_loss.y, color="#0072B2",
        marker=".", label="validation",
    )  # fmt: skip
    left.set_ylabel("loss")
    left.legend(frameon=False, fontsize=8)
    right.plot(
        progress.macro_sensitivity.x, progress.macro_sensitivity.y, color="#009E73", marker="."
    )
    right.set_ylabel("macro sensitivity, validation")
    right.set_ylim(0, 1.02)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.set_xlim(0, progress.bounds[-1])
        for begin, stage in zip(progress.bounds, progress.stages, strict=False):
            axes.axvline(begin, color="0.8", linewidth=1)
            axes.text(begin, 1.01, f" {stage.name}", fontsize=8, color="0.4",
                      transform=axes.get_xaxis_transform())  # fmt: skip
    return figure


def _page(run: Run, report: Report, figures: list[str]) -> str:
    new = report.new
    low, high = new["accuracy_interval"]
    notes = [
        f"Measured on {new['n']} regions of {len(report.groups)} metaphases or slides that the "
        f"new model was not trained on. 95 % confidence interval of the accuracy: {low:.1%} to "
        f"{high:.1%}.",
        report.what_calibration_rests_on(),
        *report.caveats(),
    ]
    images = "".join(
        f'<img alt="{name.partition(".")[0]}" src="{_embedded(run.report_folder / name)}">'
        for name in figures[:2]
    )
    config = run.config
    stages = "; ".join(
        f"{one.name} {one.epochs} epochs at {one.image_size} px" for one in config.stages
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Training report</title>
<style>{_STYLE}</style></head><body>
<h1>Training report: {html.escape(config.model_name)}</h1>
<p>Preset {html.escape(config.preset)}, seed {config.seed}; {html.escape(stages)}.</p>
{"".join(f"<p class='note'>{html.escape(note)}</p>" for note in notes)}
<h2>New and old model</h2>
{_overall_table(report)}
<h2>Each type</h2>
{_type_table(report)}
<h2>Confusion matrix and reliability</h2>
<div class="figures">{images}</div>
<h2>Training curves</h2>
<img alt="curves" src="{_embedded(run.report_folder / figures[2])}">
<h2>Mistakes ({len(report.mistakes)})</h2>
{_mistake_list(run, report.mistakes)}
</body></html>
"""


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _compared(new: float | None, old: float | None, less: bool = False) -> str:
    """Return the table cell of a new value, marked as better or worse."""
    mark = ""
    if new is not None and old is not None and abs(new - old) >= 0.0005:
        mark = "better" if (new < old) == less else "worse"
    arrow = {"better": " ▲", "worse": " ▼", "": ""}[mark]
    return f'<td class="{mark}">{_number(new)}{arrow}</td>'


def _overall_table(report: Report) -> str:
    old: dict[str, Any] = report.old or {}
    unreliable = () if report.calibration_known else ("ece",)
    rows = "".join(
        f"<tr><td>{title}</td><td>{_number(old.get(name))}</td>"
        + _compared(report.new[name], None if name in unreliable else old.get(name), name == "ece")
        + "</tr>"
        for name, title in _OVERALL
    )
    return (
        f"<table><tr><th></th><th>{html.escape(report.old_name)}</th><th>new</th></tr>"
        f"{rows}</table>"
    )


def _type_table(report: Report) -> str:
    old = (report.old or {}).get("per_type", {})
    head = "".join(f"<th>{name}</th>" for name in ("regions", *_PER_TYPE))
    rows = ""
    for kind in TYPES:
        new = report.new["per_type"][str(kind)]
        before = old.get(str(kind), {})
        cells = "".join(_compared(new[name], before.get(name)) for name in _PER_TYPE)
        rows += f"<tr><td>{kind.display_name}</td><td>{new['n']}</td>{cells}</tr>"
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"


def _mistake_list(run: Run, mistakes: Sequence[Mistake]) -> str:
    if not mistakes:
        return "<p>None.</p>"
    shown = "".join(
        f'<figure><img src="{_embedded(run.report_folder / one.thumbnail)}" '
        f'style="border-color: {ClusterType(one.true).color}" alt="region">'
        f"<figcaption>{html.escape(Path(one.image).name)} {one.label or ''}<br>"
        f"{ClusterType(one.true).display_name} → {ClusterType(one.predicted).display_name} "
        f"({one.confidence:.0%})</figcaption></figure>"
        for one in mistakes[:_SHOWN]
        if one.thumbnail
    )
    more = len(mistakes) - _SHOWN
    rest = f"<p class='note'>And {more} more.</p>" if more > 0 else ""
    return f'<div class="mistakes">{shown}</div>{rest}'
