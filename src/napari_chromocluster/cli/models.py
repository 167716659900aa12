"""``chromocluster models``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_chromocluster.cli.options import Json, print_json, progress_line

if TYPE_CHECKING:
    from napari_chromocluster.models.model_card import ModelCard
    from napari_chromocluster.models.registry import ModelEntry


#: Heading and name of the metrics of a card that are shown.
_FIGURES = {
    "accuracy": "accuracy",
    "sens.": "macro_sensitivity",
    "spec.": "macro_specificity",
    "ECE": "ece",
    "5% left": "selective_accuracy",
}
#: Names of a card that do not identify a model.
_NAMELESS = {"", "model"}


def models(
    name: Annotated[
        str | None, typer.Argument(help="Show the card of this model (name or file).")
    ] = None,
    download: Annotated[
        str | None, typer.Option(help="Download the weights of this backbone.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence of the weights.")
    ] = False,
    add: Annotated[Path | None, typer.Option(help="Add a model file to the list.")] = None,
    as_json: Json = False,
) -> None:
    """List, show, download and add models."""
    from napari_chromocluster.models import registry

    if sum(one is not None for one in (name, download, add)) > 1:
        raise ValueError("Show one model, download one or add one, but not at once.")
    if download is not None:
        from napari_chromocluster.models.download import download_backbone

        path = download_backbone(download, accept=accept_licence, progress=progress_line("MB", 1e6))
        print_json({"path": str(path)}) if as_json else print(path)
    elif add is not None:
        there = _listed_already(add, registry.list_models())
        entry = there or registry.register_model(add, _name_of(add))
        said = "is in the list already, as" if there else "added as"
        print_json(_plain(entry)) if as_json else print(f"{said} {entry.name!r}")
    elif name is not None:
        card = registry.model_card(name)
        listed = registry.listed_name(registry.resolve_model(name)) or card.name
        # Users know it by its listed name; the JSON is the card as stored in the file.
        print(card.to_json() if as_json else card_text(replace(card, name=listed)))
    else:
        _print_list(registry.list_models(), as_json)


def _listed_already(path: Path, entries: list[ModelEntry]) -> ModelEntry | None:
    """Return the listed model that is identical to a file, byte by byte."""
    import filecmp

    if not path.is_file():
        return None  # reported when it is read
    for entry in entries:
        there = entry.path
        if there is not None and there.is_file() and filecmp.cmp(path, there, shallow=False):
            return entry
    return None


def _name_of(path: Path) -> str:
    """Return the name in a model file's card, or that of the file if the card's is generic."""
    from napari_chromocluster.models.model_card import read_card
    from napari_chromocluster.training.config import TrainingConfig

    name = read_card(path).name.strip()
    return path.stem if name.lower() in _NAMELESS | {TrainingConfig.model_name} else name


def card_text(card: ModelCard) -> str:
    """Return the main facts about a model, one per line; ``to_json`` has all of them."""
    bodies = ", ".join(card.backbones or (card.backbone,))
    several = f"{card.members} x " if card.members > 1 else ""
    lines = [
        ("model", card.name),
        ("made", card.created[:10]),
        ("network", f"{several}{bodies}, crops of {card.input_size} px, {card.tta} copies of each"),
        ("types", ", ".join(card.classes)),
        ("unsure", f"below a confidence of {card.unsure_threshold:g}"),
        ("licence", card.weight_licence),
        *(("data", text) for text in card.data_licences),
        *(("cite", text) for text in card.citations),
    ]
    text = [f"{name:9s}{value}" for name, value in lines if value]
    figures = {name: one for name, one in card.metrics.items() if isinstance(one, dict)}
    if not figures:
        return "\n".join(text)
    width = max(len(name) for name in (*figures, "figures"))
    text.append(f"\n{'figures':{width}s} {'n':>6s}" + "".join(f"{short:>9s}" for short in _FIGURES))
    for name, one in figures.items():
        cells = [_cell(one.get(key)) for key in _FIGURES.values()]
        text.append(f"{name:{width}s} {one.get('n', ''):>6}" + "".join(f"{c:>9s}" for c in cells))
    return "\n".join(text)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _plain(entry: ModelEntry) -> dict[str, object]:
    return {**vars(entry), "path": str(entry.path) if entry.path else None}


def _print_list(entries: list[ModelEntry], as_json: bool) -> None:
    if as_json:
        print_json([_plain(one) for one in entries])
        return
    print(f"{'name':26s} {'kind':9s} {'size':>7s}  {'where':12s} licence")
    for one in entries:
        place = "here" if one.path else "to download"
        print(f"{one.name:26s} {one.kind:9s} {one.megabytes:4d} MB  {place:12s} {one.licence}")
