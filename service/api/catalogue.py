"""The served models, as an API process knows them: their folders, and the tokenizer they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.folder import ModelFolder
from models.tokenizer import Tokenizer
from service.api.errors import ModelNotFound
from service.settings import ShadowRule


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What can be asked for.

    Attributes:
        folders: served models by name.
        default: the model of a request that names none.
        tokenizer: shared by all of them.
    """

    folders: Mapping[str, ModelFolder]
    default: str
    tokenizer: Tokenizer

    def find(self, name: str | None) -> ModelFolder:
        """The model of that name, or the default.

        Raises:
            ModelNotFound: it isn't served; the message names those that are.
        """
        folder = self.folders.get(self.default if name is None else name)
        if folder is None:
            known = ", ".join(self.folders)
            raise ModelNotFound(f"no such model is served here; there are: {known}")
        return folder


def schedules(folder: ModelFolder) -> dict[str, int]:
    """The orders a model can be run in, and how deep each is; empty where there is one alone."""
    found: dict[str, int] = folder.card.get("cost", {}).get("schedules", {})
    return found


def describe(folder: ModelFolder) -> dict[str, Any]:
    """A model as ``GET /v1/models`` shows it: its card, flat, beside what its config fixes.

    A card of an earlier version doesn't say how far a state reads: then ``reach`` is empty.
    """
    card = dict(folder.card)
    cost = card.pop("cost", {})
    return {
        "name": folder.name,
        "architecture": folder.architecture,
        **cost,
        "reach": cost.get("reach", []),
        "stride": cost.get("stride", 0),
        "schedules": schedules(folder),
        "window": folder.window,
        "labels": list(folder.labels),
        "temperature": folder.temperature,
        **card,
        "sha256": folder.sha256["weights"],
    }


def default_model(wanted: str | None, folders: Mapping[str, ModelFolder]) -> str:
    """The setting's, else minilm, the accurate one, else the first.

    Raises:
        ValueError: the setting names a model that isn't served.
    """
    if wanted is None:
        return "minilm" if "minilm" in folders else next(iter(folders))
    if wanted not in folders:
        raise ValueError(f"--default-model {wanted} isn't served; there are: {', '.join(folders)}")
    return wanted


def check_shadows(rules: Iterable[ShadowRule], folders: Mapping[str, ModelFolder]) -> None:
    """Raises ValueError where a rule can't work with what is served."""
    for rule in rules:
        for name in (rule.primary, rule.shadow):
            if name not in folders:
                raise ValueError(f"--shadow: {name} isn't served; there are: {', '.join(folders)}")
        if set(folders[rule.primary].labels) != set(folders[rule.shadow].labels):
            raise ValueError(f"--shadow: {rule.primary} and {rule.shadow} have other labels")
