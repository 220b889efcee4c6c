"""How many requests from outside are under way at once, and how slowly one may come."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Coroutine

import pytest
from starlette.types import Message, Receive, Scope, Send

from server import door as door_module
from server.door import READ_S, SLOWEST_BYTES_S, TOKEN_HEADER, Door


class Jumping(selectors.DefaultSelector):
    """Where a loop would wait, its clock jumps: no stall of the machine is taken for a slow sender."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self.now_s += 0.0 if ready else timeout or 0.0
        return ready


class Simulated(asyncio.SelectorEventLoop):
    """An event loop in which nothing takes time but sleeping."""

    def __init__(self) -> None:
        self._jumping = Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_simulated(work: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=Simulated) as runner:
        runner.run(work)


class Held:
    """An app behind the door that reads the body and answers once it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def asked(door: Door, parts: AsyncIterator[bytes], *, inside: bool = False) -> int:
    """The status that a request with this body is answered with."""
    statuses: list[int] = []

    async def receive() -> Message:
        async for part in parts:
            return {"type": "http.request", "body": part, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/fleet/push-object",
        "headers": [(TOKEN_HEADER.encode(), b"t")] if inside else [],
    }
    await door(scope, receive, send)
    return statuses[0]


async def body(*parts: bytes, pause_s: float = 0.0) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(pause_s)
        yield part


def test_more_sites_at_once_than_there_is_room_for_are_told_to_come_again_and_the_coordinator_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_module, "OUTSIDE_AT_ONCE", 2)

    async def crowd() -> list[int]:
        held = Held()
        door = Door(held, token="t", ca=b"", max_message_bytes=9)  # noqa: S106
        inside = [asyncio.create_task(asked(door, body(), inside=True)) for _ in range(3)]
        outside = [asyncio.create_task(asked(door, body())) for _ in range(2)]
        while len(held.bodies) < 5:
            await asyncio.sleep(0)
        assert await asked(door, body()) == 503
        held.may_answer.set()
        statuses = await asyncio.gather(*inside, *outside)
        return [*statuses, await asked(door, body())]  # there is room again

    assert asyncio.run(asyncio.wait_for(crowd(), 20)) == [200] * 6


def test_a_body_that_comes_too_slowly_makes_room_for_others_and_a_steady_one_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door_module, "OUTSIDE_AT_ONCE", 1)

    async def crowd() -> None:
        held = Held()
        held.may_answer.set()
        door = Door(held, token="t", ca=b"", max_message_bytes=10**7)  # noqa: S106
        assert await asked(door, body(b"x", pause_s=READ_S + 1)) == 503  # silent
        assert (
            await asked(door, body(*[b""] * 20, pause_s=READ_S / 10)) == 503
        )  # now and then, and next to nothing
        steady = [b"x" * SLOWEST_BYTES_S] * 100  # longer than a sender may be silent
        assert await asked(door, body(*steady, pause_s=1.0)) == 200
        assert held.bodies == [b"".join(steady)]

    run_simulated(crowd())


def test_however_long_the_answer_takes_it_is_not_the_sender_who_is_slow() -> None:
    async def waits_for_the_end(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        seen.append("end")

    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.sleep(10 * READ_S)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        seen.append("an answer of the door's own")

    seen: list[str] = []
    door = Door(waits_for_the_end, token="t", ca=b"", max_message_bytes=9)  # noqa: S106
    scope = {"type": "http", "path": "/v1/fleet/push-object", "headers": []}
    run_simulated(door(scope, receive, send))
    assert seen == ["end"]
