"""Imported ahead of FastAPI: models of pydantic are built when they are first used, the libraries' own too.

FastAPI builds 36 models of an OpenAPI document while it is imported: 1.3 MB for good (2026-11-26), for a page that most
processes never show. What requests are read by says for itself that it is built at once. And pydantic imports zoneinfo,
which reads the 900 variables of Python's build to learn where zones are, unless it is told: 0.14 MB (2026-11-27).
"""

import os

os.environ.setdefault("PYTHONTZPATH", "/usr/share/zoneinfo")

from pydantic import BaseModel

BaseModel.model_config["defer_build"] = True
