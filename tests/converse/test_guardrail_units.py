"""What traces of guardrails and answers of ApplyGuardrail report as billed."""

from app.converse.guardrail_units import units_in, units_of

USAGE = {
    "topicPolicyUnits": 1,
    "contentPolicyUnits": 2,
    "wordPolicyUnits": 0,
    "sensitiveInformationPolicyUnits": 3,
    "sensitiveInformationPolicyFreeUnits": 4,
    "contextualGroundingPolicyUnits": 0,
    "contentPolicyImageUnits": 5,
}
ASSESSMENT = {"topicPolicy": {}, "invocationMetrics": {"usage": USAGE, "guardrailProcessingLatency": 9}}
SUMS = {"content": 2, "content_image": 5, "topic": 1, "sensitive_information": 3, "sensitive_information_free": 4}


def test_an_answer_of_apply_guardrail_names_its_units() -> None:
    assert dict(units_of(USAGE)) == SUMS
    assert units_of(None) == units_of({}) == units_of({"topicPolicyUnits": -1, "contentPolicyUnits": True}) == ()


def test_all_examinations_of_a_trace_count() -> None:
    of_converse = {
        "guardrail": {
            "modelOutput": ["x"],
            "inputAssessment": {"g": ASSESSMENT},
            "outputAssessments": {"g": [ASSESSMENT, ASSESSMENT]},
        }
    }
    assert dict(units_in(of_converse)) == {name: 3 * count for name, count in SUMS.items()}
    of_invoke = {"guardrail": {"input": {"g": ASSESSMENT}, "outputs": [{"g": ASSESSMENT}]}}
    assert dict(units_in(of_invoke)) == {name: 2 * count for name, count in SUMS.items()}


def test_a_trace_of_another_form_has_no_units() -> None:
    nested: object = ASSESSMENT
    for _ in range(100):
        nested = [nested]
    for trace in (None, "x", [], {"guardrail": None}, {"invocationMetrics": []}, nested):
        assert units_in(trace) == ()
