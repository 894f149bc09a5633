"""JSON Schemas out of the pydantic types: described by their docstrings, bounded as it is set."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api.catalogue import Catalogue
from service.settings import Settings

TEMPLATE = "#/components/schemas/{model}"


def schemas(kinds: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """One a type, and one a type that these hold, by name."""
    _, made = models_json_schema(
        [(kind, "validation") for kind in dict.fromkeys(kinds)], ref_template=TEMPLATE
    )
    found: dict[str, Any] = made["$defs"]
    for schema in found.values():
        _describe(schema)
    return found


def _describe(schema: dict[str, Any]) -> None:
    """Moves what a docstring says under ``Attributes:`` to where it belongs."""
    said_of_it = plain(schema.get("description", ""))
    text, _, attributes = said_of_it.partition("\nAttributes:\n")
    if text:
        schema["description"] = text.strip()
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    for name, said in re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", attributes, re.MULTILINE):
        schema["properties"][name]["description"] = re.sub(r"\s+", " ", said).rstrip(".")


def plain(docstring: str) -> str:
    """What a docstring says, in CommonMark and JSON's words."""
    return re.sub(r"\bNone\b", "null", docstring.replace("``", "`"))


def bound(found: dict[str, Any], settings: Settings, catalogue: Catalogue) -> None:
    """Writes what this service's settings and models allow into the requests' schemas."""
    found["ModelName"] = {"enum": list(catalogue.folders), "description": "A served model."}
    text = {"type": "string", "minLength": 1}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": settings.max_inputs}
    for kind in ("ClassifyRequest", "CompareRequest"):
        fields = found[kind]["properties"]
        fields["inputs"] = {
            "anyOf": [text, texts],
            "description": fields["inputs"]["description"],
        }
        longest = f"at most {settings.request_timeout_ms} counts"
        fields["timeout_ms"]["description"] += f"; {longest}"
    name = {"$ref": "#/components/schemas/ModelName"}
    model = found["ClassifyRequest"]["properties"]["model"]
    model["anyOf"] = [name, {"type": "null"}]
    model["description"] = f"a served name; {catalogue.default} unless given"
    comparison = found["CompareRequest"]["properties"]
    comparison["baseline"]["anyOf"] = [name, {"type": "null"}]
    names = {"type": "array", "items": name, "minItems": 1, "uniqueItems": True}
    comparison["models"]["anyOf"] = [names, {"type": "null"}]
    found.pop("Names")  # which these are
