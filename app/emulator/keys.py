"""The default keys of the emulator. They give access to nothing else."""

ACCESS_KEY = "AKIAOUTCROPEMULATOR0"
SECRET_KEY = "outcrop-emulator-secret-key-0000000000000"  # noqa: S105  # nosec B105
BEARER = "outcrop-emulator-bearer"
