"""The web app over a desk: plain pages and forms, images by key, on this machine only."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synthgap.core.errors import InputError, SynthgapError
from synthgap.review.decisions import Conflict
from synthgap.review.desk import FIELDS, Desk
from synthgap.review.pages import Pages
from synthgap.review.pictures import BrokenImage, Shelf
from synthgap.stages.report.page import TEMPLATES as REPORT

HOSTS = ["127.0.0.1", "localhost"]
"""Names under which the app answers: a page elsewhere whose name is turned to this machine gets nothing."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LONGEST_FORM = 4_000_000
"""Bytes of a form that is read."""
MOST_SAID = 20
"""Messages that are kept for the page they are to stand on."""
_OWN = Path(__file__).parent / "templates"
STATIC = {
    "report.css": (REPORT / "report.css", "text/css"),
    "review.css": (_OWN / "review.css", "text/css"),
    "review.js": (_OWN / "review.js", "text/javascript"),
    "icon.svg": (_OWN / "icon.svg", "image/svg+xml"),
}


def build(desk: Desk) -> Starlette:
    """The app of a desk; a token that its own pages alone know guards whatever changes something."""
    site = _Site(desk)
    return Starlette(
        routes=[
            Route("/", site.index),
            Route("/class/{key}", site.page),
            Route("/class/{key}", site.act, methods=["POST"]),
            Route("/undo", site.undo, methods=["POST"]),
            Route("/stop", site.stop, methods=["POST"]),
            Route("/image", site.image),
            Route("/status", site.status),
            Route("/static/{name}", site.static),
        ],
        middleware=[Middleware(_Headers), Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)],
        exception_handlers={SynthgapError: site.trouble, 404: site.missing},
    )


class _Headers:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = [(name, value) for name, value in message.get("headers", [])]
                ours = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*there, *ours]}
            await send(message)

        await self._app(scope, receive, with_headers)


class _Site:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.token = secrets.token_urlsafe(32)
        self.pages = Pages(desk, self.token)
        self._said: dict[str, str] = {}
        """What the next page of the reader who did something says, once, by a word in its address."""

    # Starlette runs plain functions in threads, so a slow disk holds up nobody.

    def index(self, request: Request) -> Response:
        return _page(self.pages.index(request.query_params.get("show", ""), self._notice(request)))

    def page(self, request: Request) -> Response:
        key = request.path_params["key"]
        if key not in self.desk.subject.classes:
            return self.missing(request, None)
        return _page(self.pages.one(key, notice=self._notice(request), every="every" in request.query_params))

    async def act(self, request: Request) -> Response:
        form = await self._form(request)
        if isinstance(form, Response):
            return form
        return await run_in_threadpool(self._act, request.path_params["key"], form)

    def _act(self, key: str, form: Mapping[str, str]) -> Response:
        desk, do, seen, said = self.desk, form.get("do", ""), form.get("seen", ""), ""
        if key not in desk.subject.classes:
            return _page(self.pages.message("There is no such class in this run."), 404)
        try:
            if do in ("save", "save-redraw"):
                desk.save(key, seen, form)
            elif do in ("accept", "accept-redraw"):
                desk.accept(key, seen)
            elif do == "leave":
                desk.leave(key, seen)
            elif do == "keep":
                desk.keep(key, seen)
            elif do == "undo":
                _, said = desk.undo(_number(form))
            elif do != "redraw":
                return _page(self.pages.message("There is no such action."), 400)
            if do.endswith("redraw"):
                desk.redraw(key)
        except Conflict as conflict:
            return _page(self.pages.conflict(key, do, form, conflict), 409)
        except InputError as error:
            if form.get("back") == "list":
                return self._to_list(key, form, str(error))
            typed = {name: form.get(name, "") for name in FIELDS} if "prompt" in form else None
            return _page(self.pages.one(key, error=str(error), typed=typed), 422)
        return self._to_list(key, form, said) if form.get("back") == "list" else self._to_class(key, said)

    async def undo(self, request: Request) -> Response:
        form = await self._form(request)
        return form if isinstance(form, Response) else await run_in_threadpool(self._undo, form)

    def _undo(self, form: Mapping[str, str]) -> Response:
        try:
            key, said = self.desk.undo(_number(form))
        except InputError as error:
            key, said = "", str(error)
        return self._to_list(key, form, said)

    async def stop(self, request: Request) -> Response:
        form = await self._form(request)
        if isinstance(form, Response):
            return form
        said, key = self.desk.stop_drawing(), form.get("here", "")
        return self._to_class(key, said) if key in self.desk.subject.classes else self._to_list("", form, said)

    def image(self, request: Request) -> Response:
        asked = request.query_params
        shelves: dict[str, Shelf | None] = {
            "natural": self.desk.subject.natural_shelf,
            "before": self.desk.subject.shelf,
            "after": self.desk.after(),
        }
        shelf = shelves.get(asked.get("set", ""))
        size = "large" if asked.get("size") == "large" else "small"
        one = self.desk.subject.classes.get(asked.get("class", ""))
        if shelf is None or one is None:
            return Response("no such picture", 404)
        try:
            own = one.row.key if asked["set"] == "natural" else one.own_key
            data, kind = shelf.read(own, asked.get("key", ""), size)  # type: ignore[arg-type]
        except (KeyError, BrokenImage):
            return Response("no such picture", 404)
        return Response(data, media_type=kind, headers={"Cache-Control": "private, max-age=3600"})

    def status(self, request: Request) -> Response:
        return JSONResponse(self.pages.status(), headers={"Cache-Control": "no-store"})

    def static(self, request: Request) -> Response:
        found = STATIC.get(request.path_params["name"])
        if found is None:
            return Response("no such file", 404)
        return Response(found[0].read_bytes(), media_type=found[1], headers={"Cache-Control": "no-cache"})

    def missing(self, request: Request, error: Exception | None) -> Response:
        return _page(self.pages.message("There is no such page in this review."), 404)

    def trouble(self, request: Request, error: Exception) -> Response:
        return _page(self.pages.message(str(error)), 500)

    async def _form(self, request: Request) -> dict[str, str] | Response:
        """The fields of a form, or what to answer: it is too long, or none of our own pages sent it."""
        body, length = bytearray(), 0
        async for part in request.stream():  # to the end, as a browser shows no answer before it has sent all
            length += len(part)
            body += part if length <= LONGEST_FORM else b""
        if length > LONGEST_FORM:
            said = f"This form has {length:,} bytes, and at most {LONGEST_FORM:,} are read: nothing was written; shorten it."
            return _page(self.pages.message(said), 413)
        try:
            fields: dict[str, Any] = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50))
        except ValueError:
            fields = {}
        if hmac.compare_digest(str(fields.get("token", "")).encode(), self.token.encode()):
            return fields
        return _page(self.pages.message("This form is not from a page of this review: open the page again."), 403)

    def _notice(self, request: Request) -> str:
        return self._said.pop(request.query_params.get("said", ""), "")

    def _to_class(self, key: str, said: str) -> Response:
        return self._see(f"/class/{quote(key, safe='')}", {}, said)

    def _to_list(self, key: str, form: Mapping[str, str], said: str) -> Response:
        """The list where the reader was in it."""
        return self._see("/", {"show": form["show"]} if form.get("show") else {}, said, key)

    def _see(self, place: str, asked: Mapping[str, str], said: str, key: str = "") -> Response:
        if said:
            word = secrets.token_urlsafe(8)
            self._said[word] = said
            for old in list(self._said)[:-MOST_SAID]:
                self._said.pop(old, None)
            asked = {**asked, "said": word}
        query = f"?{urlencode(asked)}" if asked else ""
        there = f"#{quote(key, safe='')}" if key else ""
        return RedirectResponse(f"{place}{query}{there}", 303)


def _page(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


def _number(form: Mapping[str, str]) -> int:
    """The decision that a form speaks of. Raises InputError where it speaks of none."""
    text = form.get("event", "")
    if not text.isdecimal() or len(text) > 9:
        raise InputError("nothing is left to undo")
    return int(text)
