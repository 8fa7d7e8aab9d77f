"""The keys that the embedded Bedrock takes unless told otherwise. They open an emulator, and nothing else."""

ACCESS_KEY = "AKIAOUTCROPEMULATOR0"
SECRET_KEY = "outcrop-emulator-secret-key-0000000000000"  # noqa: S105  # nosec B105
BEARER = "outcrop-emulator-bearer"
