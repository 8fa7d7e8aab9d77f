from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.wire import json
from tests.dialects.golden import write_golden

CheckGolden = Callable[[Path, Any], None]


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> CheckGolden:
    """Compares a value with a golden file. With --update-golden, writes the file instead."""
    is_update = request.config.getoption("--update-golden")

    def check(path: Path, value: Any) -> None:
        if is_update:
            write_golden(path, value)
        else:
            assert value == json.loads(path.read_bytes())

    return check
