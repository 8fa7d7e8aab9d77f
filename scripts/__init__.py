"""Development and deployment programs. The gateway does not need them at run time."""
