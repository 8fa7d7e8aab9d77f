"""Have pydantic build models when they are first used, those of libraries too. Import this module before FastAPI.

FastAPI would build the models of the OpenAPI page at import, for a page that most processes never show. Models that
read requests are built at import all the same, because they say so. pydantic imports zoneinfo, which reads Python's
build variables unless PYTHONTZPATH is set. Memory: docs/adr/0006-build-openapi-models-on-demand.md.
"""

import os
import warnings

os.environ.setdefault("PYTHONTZPATH", "/usr/share/zoneinfo")

from pydantic import BaseModel
from pydantic.warnings import UnsupportedFieldAttributeWarning

BaseModel.model_config["defer_build"] = True
# FastAPI 0.165 gives parameters such an alias, which only a model can have
warnings.filterwarnings("ignore", "The 'alias' attribute with value", UnsupportedFieldAttributeWarning)
