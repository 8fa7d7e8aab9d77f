"""Models that rerank documents."""

from app.models.families.row import row

ROWS = (
    row(
        "cohere-rerank",
        r"cohere\.rerank",
        "AWS model card, Rerank 3.5: Invoke; cohere-python issue 613: api_version 2 is required",
        {"rerank": {"accepted": True, "api_version": 2}},
    ),
    row(
        "amazon-rerank",
        r"amazon\.rerank",
        "AWS user guide, rerank; the body of InvokeModel as public programs send it, 2026-11-25, no recording",
        {"rerank": {"accepted": True}},
    ),
)
