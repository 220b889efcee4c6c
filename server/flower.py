"""The coordinator's requests to its own SuperLink: nodes, runs, tasks; all carry the coordinator's token."""

from collections.abc import Iterable
from dataclasses import dataclass

import httpx
from flwr.app import Message
from flwr.common.constant import SubStatus
from flwr.common.serde import user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.proto.message_pb2 import PullObjectRequest, PushObjectRequest, PushObjectResponse
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PushTaskOutputRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import (
    ProtobufCall,
    ProtobufClientInterceptor,
    ProtobufRequestContext,
)
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.superlink.grid import HttpGrid

from server.arrivals import Arrivals
from server.door import TOKEN_HEADER
from shared.bundle import SETTING, bundle, bundle_digest

COMPONENT = "wardround-coordinator"
ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
ENDED_OR_UNKNOWN = (404, 412)
"""What Flower answers to stopping a run that it does not know, or that has ended."""


@dataclass(frozen=True)
class Link:
    """How to reach the SuperLink: "host:port", the authority's certificate (PEM), our secrets."""

    address: str
    ca: bytes
    token: str
    secret: bytes


@dataclass(frozen=True)
class RegisteredNode:
    """A node as the SuperLink knows it; `public_key` as Flower writes it."""

    node: int
    public_key: bytes
    online: bool


@dataclass(frozen=True)
class AppTask:
    """A claimed task to run a ServerApp."""

    token: str
    flower_run: int
    fab_hash: str


class _Token:
    """Adds the token that opens the door (server/door.py)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        context.request.headers[TOKEN_HEADER] = self._token
        return call_next(context)


class Flower:
    """The SuperLink's control and runtime APIs; methods raise httpx.HTTPError when it cannot be reached."""

    def __init__(self, link: Link) -> None:
        self._link = link
        common: list[ProtobufClientInterceptor] = [
            _Token(link.token),
            RuntimeVersionHttpInterceptor(component_name=COMPONENT),
        ]
        auth = SuperExecAuthHttpInterceptor(master_secret=link.secret, protected_methods=frozenset({ACQUIRE}))
        self._control = ControlHttpClient.from_server_address(link.address, False, link.ca, common)
        self._runtime = RuntimeHttpClient.from_server_address(link.address, False, link.ca, [*common, auth])

    def nodes(self) -> list[RegisteredNode]:
        """Every registered node."""
        found = self._control.ListNodes(ListNodesRequest()).nodes_info
        return [
            RegisteredNode(n.node_id, n.public_key, n.status == "online")
            for n in found
            if n.status != "unregistered"
        ]

    def register(self, site: str, public_key: bytes) -> int:
        """Let the holder of this key become a node; returns its number."""
        return int(self._control.RegisterNode(RegisterNodeRequest(public_key=public_key, name=site)).node_id)

    def unregister(self, node: int) -> None:
        """Turn a node away from now on."""
        self._control.UnregisterNode(UnregisterNodeRequest(node_id=node))

    def start(self, run: str) -> int:
        """Submit a run of the installed app; returns Flower's number for it."""
        request = StartRunRequest(
            fab=Fab(hash_str=bundle_digest(), content=bundle()),
            override_config=user_config_to_proto({SETTING: run}),
        )
        return int(self._control.StartRun(request).run_id)

    def stop(self, flower_run: int) -> None:
        """End a run, so that no site's answer to it is kept; one that has ended is left as it is."""
        try:
            self._control.StopRun(StopRunRequest(run_id=flower_run))
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in ENDED_OR_UNKNOWN:
                raise

    def next_task(self) -> AppTask | None:
        """Claim a ServerApp that waits to be run."""
        reply = self._runtime.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP]))
        if not (reply.HasField("task") and reply.token):
            return None
        return AppTask(reply.token, reply.task.run_id, reply.task.fab_hash)

    def finish(self, task: AppTask, *, reason: str) -> None:
        """Say that a claimed task failed."""
        client = runtime_client(self._link, task.token)
        client.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED, details=reason))
        client.close()

    def close(self) -> None:
        """Close both connections."""
        self._control.close()
        self._runtime.close()


def _interceptors(link: Link, token: str) -> list[ProtobufClientInterceptor]:
    return [
        _Token(link.token),
        RuntimeVersionHttpInterceptor(component_name=COMPONENT),
        RuntimeTokenHttpInterceptor(token),
    ]


def runtime_client(link: Link, token: str) -> RuntimeHttpClient:
    """Connect to the runtime API as the holder of one task."""
    return RuntimeHttpClient.from_server_address(link.address, False, link.ca, _interceptors(link, token))


class _Runtime(RuntimeHttpClient):
    """Flower's client, which believes no repeated push that it failed before it has looked.

    The SuperLink takes each object once. When it is killed after that and before it has said so, the push is
    repeated and answered with "not stored", though the object is there.
    """

    def PushObject(self, request: PushObjectRequest) -> PushObjectResponse:  # noqa: N802 - Flower's name
        answer = super().PushObject(request)
        if not answer.stored:
            same = PullObjectRequest(node=request.node, run_id=request.run_id, object_id=request.object_id)
            answer.stored = self.PullObject(same).object_available
        return answer


class CoordinatorGrid(HttpGrid):
    """Flower's grid, with the token that opens the door, and held up by no single site."""

    def __init__(self, link: Link, token: str, *, max_reply_bytes: int) -> None:
        super().__init__(link.address, root_certificates=link.ca, token=token)
        self._link = link
        self._max_reply_bytes = max_reply_bytes
        self._arrivals: Arrivals | None = None

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Take the replies that are there as a whole (server/arrivals.py)."""
        if self._arrivals is None:
            self._arrivals = Arrivals(self._runtime_client, self.run.run_id, max_bytes=self._max_reply_bytes)
        return self._arrivals.take(message_ids)

    def _connect(self) -> None:
        self._client = _Runtime.from_server_address(
            self._link.address,
            False,
            self._link.ca,
            _interceptors(self._link, self._token),
            retry_invoker=self._retry_invoker,
        )


def online(nodes: Iterable[RegisteredNode]) -> set[bytes]:
    """Public keys of the nodes that are connected."""
    return {n.public_key for n in nodes if n.online}
