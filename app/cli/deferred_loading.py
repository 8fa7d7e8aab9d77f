"""Have pydantic build models when they are first used, and load packages without parts that most gateways never use.

Import this module before any model. pydantic imports zoneinfo, which reads Python's build variables unless PYTHONTZPATH
is set. It searches all packages for plugins, of which there are none here, unless PYDANTIC_DISABLE_PLUGINS is set.
Memory: docs/adr/0006-build-openapi-models-on-demand.md.
"""

import os
import warnings

from app.process.deferred_imports import deferred

os.environ.setdefault("PYTHONTZPATH", "/usr/share/zoneinfo")
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from pydantic import BaseModel
from pydantic.warnings import UnsupportedFieldAttributeWarning

BaseModel.model_config["defer_build"] = True
# FastAPI 0.165 gives parameters such an alias, which only a model can have
warnings.filterwarnings("ignore", "The 'alias' attribute with value", UnsupportedFieldAttributeWarning)

# FastAPI needs them for its OpenAPI page, authentication, telemetry and URLs, Starlette for its error pages,
# uvicorn for several processes and its own command, msgspec and pydantic-settings for what nothing here asks of them
with deferred(
    "argparse",
    "configparser",
    "email.message",
    "fastapi.openapi.models",
    "fastapi.openapi.utils",
    "fastapi.security.base",
    "fastapi.security.oauth2",
    "html",
    "http.client",
    "importlib.metadata",
    "logging.config",
    "msgspec.inspect",
    "opentelemetry._logs",
    "opentelemetry.metrics",
    "opentelemetry.propagate",
    "opentelemetry.trace",
    "pydantic.color",
    "pydantic.networks",
    "pydantic_settings.sources.providers.cli",
    "uvicorn.main",
    "uvicorn.supervisors",
):
    import fastapi  # noqa: F401
    import msgspec  # noqa: F401
    import pydantic_settings  # noqa: F401
    import uvicorn  # noqa: F401
