"""Peak memory of the process while it serves a large body."""

from pathlib import Path

import httpx
import pytest

from tests.programs import aws, running
from tests.servers import HoldingBedrock, free_port, upstream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc/self/clear_refs of Linux"),
]


def memory_of(pid: int, name: str) -> int:
    """Return a field of /proc/PID/status in bytes."""
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{name}:")[2].split()[0]) * 1024


@pytest.mark.parametrize(
    ("word", "limit"),
    [
        ("word ", 2.1),  # the body and the parsed request, then the parsed request and the body for Bedrock
        ('a word of "much" length, and\n', 2.9),  # the parser briefly holds the unescaped text too
    ],
)
def test_peak_memory_of_a_large_body_is_bounded(word: str, limit: float) -> None:
    bedrock = HoldingBedrock()
    bedrock.may_answer.set()
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def send(words: int) -> int:
        chat = {"model": "a.b", "messages": [{"role": "user", "content": word * words}]}
        answer = httpx.post(
            f"{url}/v1/chat/completions",
            json=chat,
            headers={"authorization": "Bearer secret-of-a-developer"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return int(answer.request.headers["content-length"])

    with upstream(bedrock.handle) as upstream_url:
        with running("app", url=url, PORT=str(port), **aws(upstream_url)) as process:
            send(100_000)  # the first such request allocates memory that stays
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")
            before = memory_of(process.pid, "VmRSS")
            size = send(20_000_000 // len(word))
            assert 1.5 < (memory_of(process.pid, "VmHWM") - before) / size <= limit
            assert memory_of(process.pid, "VmRSS") - before < size / 10
