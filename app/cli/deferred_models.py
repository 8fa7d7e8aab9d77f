"""Have pydantic build models when they are first used. Import this module before any model.

pydantic imports zoneinfo, which reads Python's build variables unless PYTHONTZPATH is set. It searches all packages for
plugins, of which there are none here, unless PYDANTIC_DISABLE_PLUGINS is set.
Memory: docs/adr/0006-build-openapi-models-on-demand.md.
"""

import os
import warnings

os.environ.setdefault("PYTHONTZPATH", "/usr/share/zoneinfo")
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from pydantic import BaseModel
from pydantic.warnings import UnsupportedFieldAttributeWarning

BaseModel.model_config["defer_build"] = True
# FastAPI 0.165 gives parameters such an alias, which only a model can have
warnings.filterwarnings("ignore", "The 'alias' attribute with value", UnsupportedFieldAttributeWarning)
