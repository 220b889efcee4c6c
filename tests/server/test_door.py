"""What of Flower's three APIs can be reached from outside, and by whom."""

import asyncio
import base64
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES
from flwr.supercore.version import package_version
from starlette.types import Message, Receive, Scope, Send

from server.door import CA_PATH, CLOSED_FLEET, FLEET_PREFIX, PIECE_BYTES, TOKEN_HEADER, Door
from server.flower import Flower
from shared.signing import PrivateKey, new_key, public_bytes
from tests.server.loopback import MAX_MESSAGE_MB, SuperLink, connection, outsider, status

PROTOBUF = {"content-type": PROTOBUF_MEDIA_TYPE}
OPEN_FLEET = [
    path for _, path in PROTOBUF_REQUEST_TYPES if path.startswith(FLEET_PREFIX) and path not in CLOSED_FLEET
]
CLOSED = [path for _, path in PROTOBUF_REQUEST_TYPES if path not in OPEN_FLEET]


@pytest.fixture
def stranger(link: SuperLink) -> Iterator[httpx.Client]:
    with outsider(link.settings.ca_pem, link.address) as client:
        yield client


def signed(key: PrivateKey, *, minutes_ago: float = 0) -> dict[str, str]:
    """The headers with which a node proves who it is."""
    time = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes_ago)
    signature = key.sign(time.isoformat().encode(), ec.ECDSA(hashes.SHA256()))
    return {
        **PROTOBUF,
        FLEET_HTTP_PUBLIC_KEY_HEADER: base64.b64encode(public_bytes(key)).decode(),
        FLEET_HTTP_SIGNATURE_HEADER: base64.b64encode(signature).decode(),
        TIMESTAMP_HEADER: time.isoformat(),
        "flwr-package-name": "flwr",
        "flwr-package-version": package_version,
        "flwr-component-name": "supernode",
    }


def test_flower_has_closed_and_open_paths_to_test() -> None:
    assert len(OPEN_FLEET) == 10
    assert len(CLOSED) > 50


@pytest.mark.parametrize("headers", [{}, {TOKEN_HEADER: ""}, {TOKEN_HEADER: "wrong"}], ids=str)
def test_without_the_token_nothing_but_the_fleet_api_is_there(
    stranger: httpx.Client, headers: dict[str, str]
) -> None:
    others = [
        "/",
        "/docs",
        "/openapi.json",
        "/health",
        "/v1/health",
        "/v1/responses",
        "/v1/fleet",
        "/metrics",
    ]
    for path in [*CLOSED, *others]:
        for method in ("POST", "GET", "OPTIONS"):
            answer = stranger.request(method, path, headers={**PROTOBUF, **headers})
            assert (answer.status_code, answer.content) == (404, b""), (method, path)


@pytest.mark.parametrize(
    "target",
    [
        "/v1/fleet/../control/list-runs",
        "/v1/fleet/%2e%2e/control/list-runs",
        "/v1/fleet/..%2fcontrol%2flist-runs",
        "/v1/fleet/register-node/",
        "/v1/fleet//register-node",
        "//v1/control/list-runs",
        "/v1/control/list-runs?/v1/fleet/",
        "/V1/CONTROL/list-runs",
        "https://127.0.0.1/v1/control/list-runs",
    ],
)
def test_no_spelling_of_a_path_leads_around_the_door(link: SuperLink, target: str) -> None:
    assert raw(link, f"POST {target} HTTP/1.1") in {307, 404}  # 307 names a path that is closed as well


def test_a_host_header_that_looks_like_a_path_changes_nothing(link: SuperLink) -> None:
    # Flower's middlewares ask for request.url, which is made of this header.
    path = "/v1/fleet/pull-messages"
    assert raw(link, f"POST {path} HTTP/1.1", host="x/v1/control/list-runs?") == 401


def test_the_authoritys_certificate_is_there_for_anybody(link: SuperLink, stranger: httpx.Client) -> None:
    answer = stranger.get(CA_PATH)
    assert answer.status_code == 200
    assert answer.content == link.settings.ca_pem.read_bytes()


@pytest.mark.parametrize("path", OPEN_FLEET)
def test_the_fleet_api_answers_and_wants_to_know_which_node_asks(stranger: httpx.Client, path: str) -> None:
    assert stranger.post(path, headers=PROTOBUF).status_code == 401
    assert stranger.post(path, headers={"content-type": "text/plain"}).status_code == 415


def test_a_node_is_known_by_its_registered_key_and_a_fresh_signature(
    stranger: httpx.Client, flower: Flower, key: PrivateKey, site: str, tmp_path: Path
) -> None:
    node = flower.register(site, public_bytes(key))
    activate = ActivateNodeRequest(public_key=public_bytes(key), heartbeat_interval=30).SerializeToString()
    pull = PullMessagesRequest(node=Node(node_id=node)).SerializeToString()
    fresh, stale, other = signed(key), signed(key, minutes_ago=60), signed(new_key(tmp_path / "other.key"))

    def answer(path: str, content: bytes, headers: dict[str, str]) -> int:
        return stranger.post(f"/v1/fleet/{path}", content=content, headers=headers).status_code

    assert answer("activate-node", activate, fresh) == 200
    assert answer("pull-messages", pull, fresh) == 200
    assert answer("pull-messages", pull, stale) == 401
    assert answer("pull-messages", pull, other) == 401
    assert answer("activate-node", activate, other) == 401
    flower.unregister(node)
    assert answer("pull-messages", pull, signed(key)) == 401


@pytest.mark.parametrize("path", ["/v1/fleet/push-object", "/v1/fleet/push-messages"])
def test_a_body_that_is_too_large_is_refused_when_it_says_so_and_when_it_does_not(
    stranger: httpx.Client, path: str
) -> None:
    block = b"\0" * 2**18

    def chunks(number: int) -> Iterator[bytes]:
        for _ in range(number):
            yield block

    bound = 4 * MAX_MESSAGE_MB
    for content in (block * (bound + 1), chunks(bound + 1)):
        assert stranger.post(path, content=content, headers=PROTOBUF).status_code == 413
    for content in (block * bound, chunks(bound)):  # as large as allowed: read, and found to be nonsense
        assert stranger.post(path, content=content, headers=PROTOBUF).status_code == 400
    assert stranger.get(CA_PATH).status_code == 200


def test_a_body_that_says_it_is_too_large_is_not_waited_for(link: SuperLink) -> None:
    length = f"content-length: {MAX_MESSAGE_MB * 2**20 + 1}\r\n"
    assert raw(link, "POST /v1/fleet/push-object HTTP/1.1", more=length) == 413


def test_a_body_without_end_is_cut_off(link: SuperLink) -> None:
    with connection(link) as wire:
        wire.sendall(
            b"POST /v1/fleet/push-object HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n"
            b"content-type: application/protobuf\r\n\r\n"
        )
        for _ in range(4 * MAX_MESSAGE_MB + 1):
            wire.sendall(b"40000\r\n" + b"\0" * 2**18 + b"\r\n")
        assert status(wire) == 413  # while the body goes on


@pytest.mark.parametrize("token", [False, True])
@pytest.mark.parametrize("path", ["/", CA_PATH, "/v1/fleet/pull-messages", "/v1/control/stream-logs"])
def test_no_websocket_opens(link: SuperLink, path: str, *, token: bool) -> None:
    upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    upgrade += "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    if token:
        upgrade += f"{TOKEN_HEADER}: {link.link.token}\r\n"
    assert raw(link, f"GET {path} HTTP/1.1", more=upgrade) == 403


def test_the_door_itself_lets_no_websocket_pass() -> None:
    sent: list[Message] = []

    async def welcoming(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    door = Door(welcoming, token="t", ca=b"", max_message_bytes=1)  # noqa: S106
    asyncio.run(door({"type": "websocket", "path": CA_PATH, "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close"}]


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 7])
def test_an_answer_leaves_in_pieces_and_whole(size: int) -> None:
    body, sent = bytes(range(256)) * (size // 256 + 1), list[Message]()
    body = body[:size]

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    door = Door(answering, token="t", ca=b"", max_message_bytes=1)  # noqa: S106
    headers = [(TOKEN_HEADER.encode(), b"t")]
    asyncio.run(door({"type": "http", "path": "/", "headers": headers}, receive, send))
    start, *pieces = sent
    assert start["type"] == "http.response.start"
    assert b"".join(piece["body"] for piece in pieces) == body
    assert max(len(piece["body"]) for piece in pieces) <= PIECE_BYTES
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def raw(link: SuperLink, line: str, *, host: str = "127.0.0.1", more: str = "") -> int:
    """Send a request as it is written here; a client would tidy it up."""
    media = "" if more else f"content-type: {PROTOBUF_MEDIA_TYPE}\r\ncontent-length: 0\r\n"
    with connection(link) as wire:
        wire.sendall(f"{line}\r\nhost: {host}\r\n{media}{more}\r\n".encode())
        return status(wire)
