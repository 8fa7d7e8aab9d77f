"""Parameters of inference that each model accepts."""

import pytest

from app.errors import InvalidRequest
from tests.adaptation.calls import CLAUDE_5, CLAUDE_45, PLAIN, adapt_call


def test_a_temperature_above_1_becomes_1() -> None:
    adapted = adapt_call(PLAIN, inferenceConfig={"temperature": 1.7, "topP": 0.5})
    assert adapted.body["inferenceConfig"] == {"temperature": 1.0, "topP": 0.5}
    assert adapted.adjusted == ["temperature"]


def test_top_p_is_dropped_where_the_model_refuses_it_beside_temperature() -> None:
    adapted = adapt_call(CLAUDE_45, inferenceConfig={"temperature": 0.7, "topP": 0.5})
    assert (adapted.body["inferenceConfig"], adapted.adjusted) == ({"temperature": 0.7}, ["top_p"])
    assert adapt_call(CLAUDE_45, inferenceConfig={"topP": 0.5}).body["inferenceConfig"] == {"topP": 0.5}


def test_sampling_is_dropped_where_the_model_refuses_it() -> None:
    adapted = adapt_call(CLAUDE_5, inferenceConfig={"temperature": 0.7, "topP": 0.5})
    assert "inferenceConfig" not in adapted.body
    assert adapted.adjusted == ["temperature", "top_p"]
    assert adapt_call(CLAUDE_5, inferenceConfig={"maxTokens": 5}).body["inferenceConfig"] == {"maxTokens": 5}


def test_blank_stop_sequences_are_dropped() -> None:
    adapted = adapt_call(PLAIN, inferenceConfig={"stopSequences": ["\n\n", "END"]})
    assert (adapted.body["inferenceConfig"], adapted.adjusted) == ({"stopSequences": ["END"]}, ["stop"])
    assert "inferenceConfig" not in adapt_call(PLAIN, inferenceConfig={"stopSequences": [" "]}).body


def test_too_many_stop_sequences_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="2500"):
        adapt_call(PLAIN, inferenceConfig={"stopSequences": [f"s{number}" for number in range(2501)]})
