"""What all pages of the console share."""

from __future__ import annotations

from msgspec import Struct

from app.console.ended_sessions import EndedSessions
from app.console.parts import ConsoleParts
from app.console.people import People
from app.console.recent_requests import RecentRequests
from app.console.rendering import Renderer
from app.console.sessions import SessionSigner


class Console(Struct, frozen=True):
    """The console of a process."""

    parts: ConsoleParts
    renderer: Renderer
    signer: SessionSigner
    people: People
    ended: EndedSessions
    recent: RecentRequests
