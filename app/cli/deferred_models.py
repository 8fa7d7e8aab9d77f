"""Have pydantic build models when they are first used, those of libraries too. Import this module before FastAPI.

FastAPI would build the models of the OpenAPI page at import, for a page that most processes never show. pydantic
imports zoneinfo, which reads Python's build variables unless PYTHONTZPATH is set.
Memory: docs/adr/0006-build-openapi-models-on-demand.md.
"""

import os
import warnings
from typing import Any

os.environ.setdefault("PYTHONTZPATH", "/usr/share/zoneinfo")

from pydantic import BaseModel
from pydantic.warnings import UnsupportedFieldAttributeWarning

BaseModel.model_config["defer_build"] = True
_rebuild = BaseModel.model_rebuild.__func__  # type: ignore[attr-defined]


def _rebuild_if_used(model: type[BaseModel], /, **options: Any) -> bool | None:
    """Build nothing for a call without options, as FastAPI's of models whose definitions refer to each other.

    pydantic's own calls for a model that is used have options.
    """
    built: bool | None = _rebuild(model, **options) if options else None
    return built


BaseModel.model_rebuild = classmethod(_rebuild_if_used)  # type: ignore[method-assign,assignment]
import fastapi.openapi.models  # noqa: E402,F401

BaseModel.model_rebuild = classmethod(_rebuild)  # type: ignore[method-assign,assignment]
# FastAPI 0.165 gives parameters such an alias, which only a model can have
warnings.filterwarnings("ignore", "The 'alias' attribute with value", UnsupportedFieldAttributeWarning)
