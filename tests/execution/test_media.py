"""Media by URL: from the public Internet alone, within limits, and nothing told of what is inside."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.bedrock.http1 import connector
from app.dialects.http.media_urls import fetch_media
from app.errors import GatewayBusy, InvalidRequest
from app.execution import public_names
from app.execution.media import Media, MediaFetcher, Room
from app.execution.public_names import CALLER, NotPublic, PublicNames, public_transport
from app.execution.request_context import RequestContext
from app.governance.held_bytes import ByteLimit, HeldBytes
from app.governance.identity.caller import Caller
from app.observability.observer import RequestRecord
from app.process.deadline import Deadline
from app.server.request_head import RequestHead
from tests.bedrock.http1.servers import saying, serve
from tests.waiting import until

pytestmark = pytest.mark.loopback

PNG = b"\x89PNG"
OK = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\n" + PNG


def context(held: HeldBytes | None = None, caller: str = "c") -> RequestContext:
    head = RequestHead("POST", "/", "", {})
    return RequestContext(head, {}, b"", Caller(caller), Deadline.after(9), RequestRecord("r", "POST"), held)


def naming(*urls: str) -> dict[str, Any]:
    return {"messages": [{"content": [{"type": "image_url", "image_url": {"url": url}} for url in urls]}]}


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Have each look-up of a name say the next of these addresses."""
    left = list(answers)

    def ask(host: str, port: int, *, flags: int = 0, **_: Any) -> connector.Addresses:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", ask)


async def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(NotPublic):
        await PublicNames().resolve("mixed.test", 443)


async def test_slow_name_lookups_use_few_threads_and_delay_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    may_answer, asked, real = threading.Event(), [], socket.getaddrinfo

    def ask(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "localhost" or options.get("flags", 0) & socket.AI_NUMERICHOST:
            return real(host, *arguments, **options)
        asked.append(host)
        may_answer.wait(40)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    names = PublicNames()

    async def resolve(name: str, caller: str) -> connector.Addresses:
        CALLER.set(caller)
        return await names.resolve(name, 443)

    waiting = [asyncio.create_task(resolve(f"slow{number}.test", "first")) for number in range(40)]
    await until(lambda: len(asked) >= 4)
    await asyncio.sleep(0.05)
    assert asked == ["slow0.test", "slow1.test", "slow2.test", "slow3.test"]
    same = [asyncio.create_task(resolve("slow0.test", "second")) for _ in range(5)]
    others = [asyncio.create_task(resolve(f"{number}.test", f"{number // 4}")) for number in range(40)]
    await until(lambda: len(asked) >= 32)
    await asyncio.sleep(0.05)
    threads = [thread for thread in threading.enumerate() if thread.name == "name-lookup"]
    assert (len(asked), len(threads), all(thread.daemon for thread in threads)) == (32, 32, True)
    assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    assert (await names.resolve("8.8.8.8", 443))[0][4][0] == "8.8.8.8"
    for task in (*waiting[2:], *others):
        task.cancel()
    await asyncio.sleep(0)
    may_answer.set()
    outcomes = await asyncio.gather(*waiting, *same, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError] * 2 + [asyncio.CancelledError] * 38 + [OSError] * 5
    assert len(asked) == 32
    resolving(monkeypatch, ["8.8.8.8"])
    found = await asyncio.gather(*(names.resolve("quick.test", 443) for _ in range(40)))
    assert [addresses[0][4][0] for addresses in found] == ["8.8.8.8"] * 40


async def test_a_lookup_whose_thread_cannot_start_frees_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["8.8.8.8"])
    names = PublicNames()

    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        for number in range(20):
            with pytest.raises(OSError, match="no thread"):
                await names.resolve(f"a{number}.test", 443)
    async with asyncio.timeout(30):
        assert await names.resolve("b.test", 443)


async def test_an_invalid_name_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="label"):
        await PublicNames().resolve("x" * 64 + ".test", 443)


async def test_a_name_is_resolved_once_for_check_and_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the connection there is no second look-up (DNS rebinding)."""
    resolving(monkeypatch, ["192.0.2.7"], ["127.0.0.1"])
    monkeypatch.setattr(public_names, "is_public", lambda address: address == "192.0.2.7")
    tried: list[Any] = []

    async def start(addresses: Any, **_: Any) -> socket.socket:
        tried.extend(address[4][0] for address in addresses)
        raise ConnectionRefusedError

    monkeypatch.setattr("aiohappyeyeballs.start_connection", start)
    fetcher = MediaFetcher(public_transport(1), 1000, 1)
    with pytest.raises(InvalidRequest):
        await fetcher.fetch("http://rebinding.test/", "p", fetcher.room(context()))
    assert tried == ["192.0.2.7"]


@pytest.fixture
async def fetching(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., MediaFetcher]]:
    """Fetchers for which this machine is public, at the ports given."""
    made: list[MediaFetcher] = []

    def make(*ports: int, **limits: Any) -> MediaFetcher:
        transport = public_transport(30)
        fetcher = MediaFetcher(transport, limits.get("most", 1000), limits.get("seconds", 30), frozenset(ports))
        made.append(fetcher)
        return fetcher

    monkeypatch.setattr(public_names, "is_public", lambda address: address == "127.0.0.1")
    yield make
    for each in made:
        await each.close()


async def refusal(fetcher: MediaFetcher, url: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        await fetcher.fetch(url, "messages[0].content[0]", fetcher.room(context()))
    assert refused.value.param == "messages[0].content[0]"
    return refused.value.message


async def test_public_media_is_fetched(fetching: Callable[..., MediaFetcher]) -> None:
    async with serve(saying(OK)) as port:
        fetcher = fetching(port)
        assert await fetcher.fetch(f"http://127.0.0.1:{port}/x", "p", fetcher.room(context())) == Media(
            "image/png", "iVBORw=="
        )


async def test_no_connection_is_kept_open(fetching: Callable[..., MediaFetcher]) -> None:
    heads, gone = [], asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await reader.read()
        gone.set()

    async with serve(handle) as port:
        fetcher = fetching(port)
        await fetcher.fetch(f"http://127.0.0.1:{port}/x", "p", fetcher.room(context()))
        await asyncio.wait_for(gone.wait(), 30)
    assert b"\r\nconnection: close\r\n" in heads[0]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://user:pass@127.0.0.1/x",
        "http://user@127.0.0.1/x",
        "http://127.0.0.1:22/x",
        "http://",
        "http://127.0.0.1/\r\nx: y",
        "http://127.0.0.1/ x",
        "http://127.0.0.1/\u00e9",
        "http://127.0.0.1/" + "x" * 3000,
        "http://127.0.0.1:99999/",
        "http://[::1/",
    ],
)
async def test_urls_that_are_not_plain_addresses_are_refused(fetching: Callable[..., MediaFetcher], url: str) -> None:
    assert "UR" in await refusal(fetching(80, 443), url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/", "http://127.0.0.1/", "http://[::1]/", "http://0/", "http://0x7f.1/", "http://2130706433/",
        "http://017700000001/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest/meta-data/",
    ],
)  # fmt: skip
async def test_no_spelling_of_an_address_reaches_the_private_network(url: str) -> None:
    async with serve(saying(OK)) as port:
        transport = public_transport(0.5)
        fetcher = MediaFetcher(transport, 1000, 1, frozenset({port}))
        scheme, _, rest = url.partition("://")
        host, _, target = rest.partition("/")
        assert await refusal(fetcher, f"{scheme}://{host}:{port}/{target}") == "the URL cannot be fetched"


async def test_the_target_of_a_redirect_is_checked(
    fetching: Callable[..., MediaFetcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(saying(OK)) as inside, serve(saying(OK)) as good:

        def to(url: str, status: int = 302) -> Any:
            return saying(f"HTTP/1.1 {status} Found\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n".encode())

        async with serve(to(f"http://127.0.0.1:{good}/y", 307)) as endpoint:
            fetcher = fetching(endpoint, good)
            found = await fetcher.fetch(f"http://127.0.0.1:{endpoint}/x", "p", fetcher.room(context()))
            assert found.media_type == "image/png"
        for target in (
            f"http://127.0.0.1:{inside}/",
            "http://127.0.0.2/",
            "file:///etc/passwd",
            "http://u:p@127.0.0.1/",
        ):
            async with serve(to(target)) as endpoint:
                assert "UR" in await refusal(fetching(endpoint, 80), f"http://127.0.0.1:{endpoint}/x")
        async with serve(to("/again")) as endpoint:
            assert "too often" in await refusal(fetching(endpoint), f"http://127.0.0.1:{endpoint}/x")


def reply(body: bytes, content_type: str = "image/png", status: str = "200 OK", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (reply(bytes(2000)), "more bytes"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n" + b"1f4\r\n" + bytes(500)
         + b"\r\n1f5\r\n" + bytes(501) + b"\r\n0\r\n\r\n", "more bytes"),
        (reply(b"<svg/>", "image/svg+xml"), "no image"),
        (reply(b"x", "application/octet-stream"), "no image"),
        (reply(b"x", ""), "no image"),
        (reply(PNG, more="content-encoding: gzip\r\n"), "no image"),
        (reply(b"secret of inside", "text/plain", "403 Forbidden"), "status 403"),
        (reply(PNG, status="206 Partial"), "status 206"),
        (b"garbage\r\n\r\n", "cannot be fetched"),
    ],
)  # fmt: skip
async def test_media_that_cannot_be_sent_is_refused(
    fetching: Callable[..., MediaFetcher], said: bytes, reason: str
) -> None:
    async with serve(saying(said)) as port:
        message = await refusal(fetching(port), f"http://127.0.0.1:{port}/x")
    assert reason in message
    assert "secret" not in message


async def test_lookups_of_one_caller_delay_no_other_caller(
    fetching: Callable[..., MediaFetcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer = threading.Event()

    def ask(host: str, port: int, *, flags: int = 0, **_: Any) -> connector.Addresses:
        if host.startswith("slow") and not flags & socket.AI_NUMERICHOST:
            may_answer.wait(40)
        if host.startswith("slow") or flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_AGAIN, "later")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    slow = [f"http://slow{number}.test/x" for number in range(20)]
    async with serve(saying(OK)) as port:
        fetcher, quick = fetching(port, 80, seconds=1.0), f"http://quick.test:{port}/x"
        with pytest.raises(InvalidRequest, match="too long"):
            await fetch_media(fetcher, naming(*slow), context())
        with pytest.raises(InvalidRequest, match="too long"):
            await fetch_media(fetcher, naming(quick), context())
        await fetch_media(fetcher, naming(quick), context(caller="another"))
    may_answer.set()


async def test_a_fetch_ends_at_its_timeout(fetching: Callable[..., MediaFetcher]) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 900\r\n\r\n")
        for _ in range(900):
            writer.write(b"x")
            await asyncio.sleep(0.05)

    async with serve(drip) as port:
        started = asyncio.get_running_loop().time()
        assert "too long" in await refusal(fetching(port, seconds=0.4), f"http://127.0.0.1:{port}/x")
        assert asyncio.get_running_loop().time() - started < 20


# where URLs stand in documents


class Known:
    """Knows two URLs."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def fetch(self, url: str, path: str, room: Room) -> Media:
        self.asked.append((url, path))
        room.take(8, path)
        return Media("text/plain", "aGk=") if url.endswith(".txt") else Media("image/png", "iVBORw==")

    def room(self, context: RequestContext) -> Room:
        return Room(1000, context)

    async def close(self) -> None: ...


URL = "https://a.test/p.png"


async def test_fetched_media_replaces_its_url_in_each_dialect() -> None:
    source = {"type": "url", "url": URL}
    document: dict[str, Any] = {
        "messages": [
            {"role": "user", "content": "https://not.fetched"},
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
                    {"type": "image", "source": source},
                    {"type": "tool_result", "content": [{"type": "image", "source": source}]},
                    {"type": "document", "source": {"type": "url", "url": "https://a.test/d.txt"}},
                    {"type": "tool_use", "input": {"type": "image", "source": source}},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                ],
            },
        ],
        "input": [
            {"content": [{"type": "input_image", "image_url": URL}, {"type": "input_file", "file_url": URL}]},
            {"type": "function_call_output", "output": [{"type": "input_image", "image_url": URL}]},
        ],
        "tools": [{"type": "image", "source": source}],
    }
    known = Known()
    await fetch_media(known, document, context())
    content = document["messages"][1]["content"]
    png = {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    assert content[0]["image_url"] == {"url": "data:image/png;base64,iVBORw==", "detail": "low"}
    assert content[1]["source"] == content[2]["content"][0]["source"] == png
    assert content[3]["source"] == {"type": "text", "media_type": "text/plain", "data": "hi"}
    assert content[4]["input"]["source"] == document["tools"][0]["source"] == source
    first, second = document["input"][0]["content"]
    assert first["image_url"] == second["file_data"] == "data:image/png;base64,iVBORw=="
    assert (second["filename"], "file_url" in second) == ("p.png", False)
    assert ("https://a.test/d.txt", "messages[1].content[3].source.url") in known.asked
    assert len(known.asked) == 7


async def test_the_number_of_fetches_is_limited() -> None:
    parts = [{"type": "image_url", "image_url": {"url": URL}} for _ in range(21)]
    with pytest.raises(InvalidRequest, match="20") as refused:
        await fetch_media(Known(), {"messages": [{"content": parts}]}, context())
    assert refused.value.param == "messages[0].content[20].image_url.url"


async def test_the_field_of_media_that_cannot_be_fetched_is_named() -> None:
    class Broken(Known):
        async def fetch(self, url: str, path: str, room: Room) -> Media:
            raise InvalidRequest("the URL cannot be fetched", param=path)

    with pytest.raises(InvalidRequest) as refused:
        await fetch_media(
            Broken(), {"messages": [{"content": [{"type": "image_url", "image_url": {"url": URL}}]}]}, context()
        )
    assert refused.value.param == "messages[0].content[0].image_url.url"


async def test_a_document_without_media_is_unchanged() -> None:
    document = {"messages": [{"content": [{"type": "image_url", "image_url": {"url": URL}}]}]}
    await fetch_media(None, document, context())
    assert document["messages"][0]["content"][0]["image_url"] == {"url": URL}


async def test_fetched_bytes_count_as_bytes_of_the_body(fetching: Callable[..., MediaFetcher]) -> None:
    held = HeldBytes(ByteLimit(1000))
    made = context(held)
    async with serve(saying(reply(bytes(300)))) as port:
        await fetch_media(fetching(port), naming(f"http://127.0.0.1:{port}/x"), made)
    assert (made.size, held.size) == (400, 400)
    made.grow(599)
    async with serve(saying(OK)) as port:
        with pytest.raises(GatewayBusy):
            await fetch_media(fetching(port), naming(f"http://127.0.0.1:{port}/x"), made)


async def test_bytes_count_while_they_are_fetched(fetching: Callable[..., MediaFetcher]) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 900\r\n\r\n" + bytes(600))
        await reader.read()

    bodies = ByteLimit(1000)
    first, second = HeldBytes(bodies), HeldBytes(bodies)
    async with serve(stall) as port:
        document = naming(f"http://127.0.0.1:{port}/x")
        fetcher = fetching(port)
        fetches = asyncio.create_task(fetch_media(fetcher, document, context(first)))
        await until(lambda: first.size >= 600)
        with pytest.raises(GatewayBusy):
            await fetch_media(fetcher, document, context(second))
        assert (bodies.held.total, second.size) == (600, 0)
        fetches.cancel()
        await asyncio.wait({fetches})
    first.release()
    assert bodies.held.total == 0


async def test_one_failed_fetch_stops_the_others(fetching: Callable[..., MediaFetcher]) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serve(silence) as silent, serve(saying(reply(b"x", ""))) as port:
        urls = [f"http://127.0.0.1:{each}/x" for each in (silent, port, silent)]
        async with asyncio.timeout(20):
            with pytest.raises(InvalidRequest, match="no image") as refused:
                await fetch_media(fetching(port, silent), naming(*urls), context())
    assert refused.value.param == "messages[0].content[1].image_url.url"


async def test_the_bytes_of_all_fetches_of_a_request_are_limited_together(
    fetching: Callable[..., MediaFetcher],
) -> None:
    async with serve(saying(reply(bytes(400)))) as port:
        fetcher = fetching(port)
        room = fetcher.room(context())
        for _ in range(2):
            await fetcher.fetch(f"http://127.0.0.1:{port}/x", "p", room)
        with pytest.raises(InvalidRequest, match="more bytes"):
            await fetcher.fetch(f"http://127.0.0.1:{port}/x", "p", room)
