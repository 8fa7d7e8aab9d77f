"""Who uses the console: finds the holder of a credential, and checks that the one of a session is still live."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from app.console.issuers import Issuers, is_administrator, issuers_of
from app.console.parts import ConsoleParts
from app.console.sessions import Session, SessionSigner, new_session
from app.errors import AuthenticationFailed, PermissionRefused
from app.governance.identity.caller import ANONYMOUS, Caller
from app.governance.identity.open_access import OpenAccess
from app.server.request_head import RequestHead

ADMIN_PREFIX = "admin:"
ADMIN_PAGES = ("Overview", "Playground", "Keys", "Teams", "Usage", "Quotas", "Requests", "Models", "Audit")
CALLER_PAGES = ("Overview", "Playground", "Usage", "Limits")


class Person(Struct, frozen=True):
    """Whoever is signed in.

    shown: the name for people. caller: who makes the calls of the playground.
    sees: which pages. Where there are no administrators, callers see all pages, with their own data only.
    actor: of administrators, the name in the audit, which is that of the admin API.
    """

    session: Session
    shown: str
    caller: Caller
    sees: Literal["own", "all", "administration"] = "own"
    actor: str = ""

    @property
    def is_admin(self) -> bool:
        """True for administrators, who may see and change everything."""
        return self.sees == "administration"

    @property
    def pages(self) -> tuple[str, ...]:
        """The titles in the menu."""
        match self.sees:
            case "administration":
                return ADMIN_PAGES
            case "all":
                return (*ADMIN_PAGES, "Limits")
            case _:
                return CALLER_PAGES


class VirtualKeys(Protocol):
    """The keys of the database."""

    async def sign_in(self, secret: str) -> tuple[Caller, str] | None:
        """Return the caller of a secret, and a proof of the secret."""
        ...

    async def current(self, key_id: str, proof: str) -> Caller | None:
        """Return the caller of a key, if it may call and one of its live secrets has this proof."""
        ...


class People(Struct, frozen=True):
    """Finds people by their credentials.

    administrators, keys: secrets by name, from the settings. virtual_keys: those of the database, if there is one.
    issuers: at which people may sign in. open_access: serves people without a key, where AUTH_DISABLED asks for that.
    """

    signer: SessionSigner
    administrators: dict[str, tuple[str, ...]]
    keys: dict[str, tuple[str, ...]]
    issuers: Issuers
    virtual_keys: VirtualKeys | None = None
    open_access: OpenAccess | None = None

    async def sign_in(self, secret: str, head: RequestHead, client: str) -> Session | None:
        """Return a new session for the holder of a secret; None if nobody holds it.

        Raises:
            PermissionRefused: see `OpenAccess.check`.
        """
        proof = self.signer.proof(secret)
        for kind, known in (("admin", self.administrators), ("key", self.keys)):
            for name, secrets in known.items():
                if proof in [self.signer.proof(each) for each in secrets]:
                    return new_session("admin" if kind == "admin" else "key", name, proof)
        if self.virtual_keys is not None and (found := await self.virtual_keys.sign_in(secret)):
            caller, proof = found
            return new_session("virtual_key", caller.name, proof)
        if self.open_access is not None:
            self.open_access.check(head, client)
            return new_session("anyone", ANONYMOUS.name, "")
        return None

    async def current(self, session: Session, head: RequestHead, client: str) -> Person | None:
        """Return who a session belongs to; None once its credential is no longer valid.

        Raises:
            PermissionRefused: see `OpenAccess.check`.
        """
        name = session.name
        match session.kind:
            case "admin" if self._has(self.administrators, session):
                return Person(session, name, Caller(f"{ADMIN_PREFIX}{name}"), "administration", f"key:{name}")
            case "oidc":
                return await self._of_issuer(session)
            case "key" if self._has(self.keys, session):
                return Person(session, name, Caller(name), self._callers_see)
            case "virtual_key" if self.virtual_keys is not None:
                caller = await self.virtual_keys.current(name, session.proof)
                return None if caller is None else Person(session, _name_of(caller), caller)
            case "anyone" if self.open_access is not None:
                self.open_access.check(head, client)
                return Person(session, name, ANONYMOUS, self._callers_see)
            case _:
                return None

    async def _of_issuer(self, session: Session) -> Person | None:
        identity = self.issuers.identity_of(session)
        if identity is None:
            return None
        if is_administrator(identity):
            caller = Caller(f"{ADMIN_PREFIX}{identity.name}")
            return Person(session, identity.person, caller, "administration", identity.name)
        try:
            found = await self.issuers.caller_of(identity)
        except (AuthenticationFailed, PermissionRefused):
            # the team was blocked or deleted
            return None
        return None if found is None else Person(session, identity.person, found, self._callers_see)

    @property
    def _callers_see(self) -> Literal["own", "all"]:
        return "own" if self.administrators or self.virtual_keys is not None else "all"

    def _has(self, known: dict[str, tuple[str, ...]], session: Session) -> bool:
        return session.proof in [self.signer.proof(secret) for secret in known.get(session.name, ())]


def people_of(parts: ConsoleParts, signer: SessionSigner) -> People:
    """Return the people of a deployment."""
    settings = parts.settings
    open_access = OpenAccess(from_anywhere=settings.auth_disabled == "any") if settings.auth_disabled else None
    virtual_keys: VirtualKeys | None = None
    if parts.database is not None:
        # it loads the libraries of databases
        from app.console.virtual_keys import DatabaseKeys

        virtual_keys = DatabaseKeys(parts.database, settings.pepper(), signer)
    issuers = issuers_of(settings, parts.gateway.external_callers, signer)
    return People(signer, settings.administrators(), settings.keys(), issuers, virtual_keys, open_access)


def _name_of(caller: Caller) -> str:
    return caller.policy.name if caller.policy is not None and caller.policy.name else caller.name
