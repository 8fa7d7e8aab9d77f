"""What a process holds while it works for a caller."""

from pathlib import Path

import httpx
import pytest

from tests.programs import aws, running
from tests.servers import HoldingBedrock, free_port, upstream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak since a moment"),
]


def held(pid: int, name: str) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{name}:")[2].split()[0]) * 1024


@pytest.mark.parametrize(
    ("word", "limit"),
    [
        ("word ", 2.1),  # the body and what was read of it, then that and the body for Bedrock
        ('a word of "much" length, and\n', 2.9),  # the parser holds the text without its escapes for a moment
    ],
)
def test_a_large_body_is_held_no_more_often_than_it_must_be(word: str, limit: float) -> None:
    bedrock = HoldingBedrock()
    bedrock.may_answer.set()
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def ask(words: int) -> int:
        chat = {"model": "a.b", "messages": [{"role": "user", "content": word * words}]}
        answer = httpx.post(
            f"{url}/v1/chat/completions", json=chat, headers={"authorization": "Bearer secret"}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        return int(answer.request.headers["content-length"])

    with upstream(bedrock.handle) as behind:
        with running("app", url=url, PORT=str(port), **aws(behind)) as process:
            ask(100_000)  # what is made with the first such request stays
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
            before = held(process.pid, "VmRSS")
            size = ask(20_000_000 // len(word))
            assert 1.5 < (held(process.pid, "VmHWM") - before) / size <= limit
            assert held(process.pid, "VmRSS") - before < size / 10
