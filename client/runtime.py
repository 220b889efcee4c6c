"""What a SuperNode wants done, claimed from its runtime API; imports nothing that computes.

The SuperNode runs with ``--isolation process``: it launches nothing itself. Whoever holds the secret of its
runtime API pulls the task.
"""

from dataclasses import dataclass

from flwr.app import Metadata
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PushTaskOutputRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient

COMPONENT = "wardround-site"
ACQUIRE = "/flwr.proto.Runtime/AcquireTask"


@dataclass(frozen=True)
class Envelope:
    """What is needed to answer a message without its content."""

    metadata: Metadata
    run_id: int
    node_id: int
    instructions: int


@dataclass(frozen=True)
class Task:
    """A claimed instruction; `token` is what its answer is pushed with."""

    address: str
    token: str


class Runtime:
    """The SuperNode's runtime API, on loopback, for whoever holds its secret."""

    def __init__(self, address: str, secret: bytes) -> None:
        self._address = address
        self._client = RuntimeHttpClient.from_server_address(
            server_address=address,
            insecure=True,  # loopback only; the secret is not sent, requests are signed with it
            root_certificates=None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name=COMPONENT),
                SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=frozenset({ACQUIRE})),
            ],
        )

    def next_task(self) -> Task | None:
        """Claim the oldest waiting instruction; raises httpx.HTTPError while the SuperNode is not there."""
        reply = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        return Task(self._address, reply.token) if reply.HasField("task") and reply.token else None

    @staticmethod
    def give_up(task: Task) -> None:
        """Say that nobody will answer a claimed instruction."""
        client = connect(task)
        client.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED, details=""))
        client.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def connect(task: Task) -> RuntimeHttpClient:
    """Connect to the runtime API as the holder of one task."""
    return RuntimeHttpClient.from_server_address(
        server_address=task.address,
        insecure=True,
        root_certificates=None,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name=COMPONENT),
            RuntimeTokenHttpInterceptor(task.token),
        ],
        retry_invoker=make_simple_http_retry_invoker(),
    )
