"""Loads SQLAlchemy's asyncio engine without its ORM, which takes 6 MB and a tenth of a second, and is not used here.

`sqlalchemy.ext.asyncio` imports its sessions, and they import the ORM. Import this module before that package.
"""

import sys
from types import ModuleType


class _Placeholder(ModuleType):
    """Stands for a module from which a package only imports names."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


_SESSIONS = ("sqlalchemy.ext.asyncio.scoping", "sqlalchemy.ext.asyncio.session")
_placeholders = {name: _Placeholder(name) for name in _SESSIONS if "sqlalchemy.ext.asyncio" not in sys.modules}
sys.modules.update(_placeholders)

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine  # noqa: E402

for _name in _placeholders:
    del sys.modules[_name]

__all__ = ["AsyncConnection", "AsyncEngine", "create_async_engine"]
