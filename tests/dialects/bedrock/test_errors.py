from app.dialects.bedrock.errors import end_to_end


def test_only_headers_for_the_caller_pass() -> None:
    kept = (("content-type", "application/json"), ("x-amzn-requestid", "1"), ("x-amzn-bedrock-input-token-count", "3"))
    dropped = (
        ("connection", "close, X-Internal"),
        ("x-internal", "1"),
        ("transfer-encoding", "chunked"),
        ("set-cookie", "a=b"),
        ("access-control-allow-origin", "*"),
    )
    assert end_to_end((*dropped, *kept)) == kept
