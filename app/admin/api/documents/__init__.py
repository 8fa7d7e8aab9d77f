"""What operations take and return, as pydantic models: the bodies of the admin API."""
