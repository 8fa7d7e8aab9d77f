"""The name that was probably meant: as difflib finds it, which is loaded only if there may be one."""

import subprocess
import sys
from difflib import get_close_matches

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.similar_names import similar_name
from tests.programs import ROOT

NAMES = st.text("abcd_", max_size=12)


@given(NAMES, st.sets(NAMES), st.sampled_from([0.6, 0.88, 1.0]))
def test_the_name_is_the_one_that_difflib_finds(name: str, known: set[str], similarity: float) -> None:
    ordered = sorted(known)
    assert similar_name(name, ordered, similarity) == next(
        iter(get_close_matches(name, ordered, n=1, cutoff=similarity)), ""
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "is_loaded"), [("PATH", False), ("BEDROCK_MODLE_ID", True)])
def test_difflib_is_loaded_only_for_a_name_that_may_be_misspelled(name: str, *, is_loaded: bool) -> None:
    program = f"""
import sys
from app.config.misspelled import misspelled_settings
list(misspelled_settings(["{name}", "HOME", "LANG", "AWS_REGION"]))
print("difflib" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == str(is_loaded)
