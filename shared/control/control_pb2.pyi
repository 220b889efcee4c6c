from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EnrolRequest(_message.Message):
    __slots__ = ("code", "site", "public_key", "proof", "version")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    code: str
    site: str
    public_key: bytes
    proof: bytes
    version: str
    def __init__(self, code: _Optional[str] = ..., site: _Optional[str] = ..., public_key: _Optional[bytes] = ..., proof: _Optional[bytes] = ..., version: _Optional[str] = ...) -> None: ...

class EnrolReply(_message.Message):
    __slots__ = ("node_known", "node_id", "fleet", "server_time", "version", "bundle")
    NODE_KNOWN_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    node_known: bool
    node_id: int
    fleet: str
    server_time: float
    version: str
    bundle: str
    def __init__(self, node_known: _Optional[bool] = ..., node_id: _Optional[int] = ..., fleet: _Optional[str] = ..., server_time: _Optional[float] = ..., version: _Optional[str] = ..., bundle: _Optional[str] = ...) -> None: ...

class ReachRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReachReply(_message.Message):
    __slots__ = ("server_time", "version", "bundle")
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    server_time: float
    version: str
    bundle: str
    def __init__(self, server_time: _Optional[float] = ..., version: _Optional[str] = ..., bundle: _Optional[str] = ...) -> None: ...

class GreetRequest(_message.Message):
    __slots__ = ("version", "clock", "audit_lines", "audit_seal")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    AUDIT_LINES_FIELD_NUMBER: _ClassVar[int]
    AUDIT_SEAL_FIELD_NUMBER: _ClassVar[int]
    version: str
    clock: float
    audit_lines: int
    audit_seal: str
    def __init__(self, version: _Optional[str] = ..., clock: _Optional[float] = ..., audit_lines: _Optional[int] = ..., audit_seal: _Optional[str] = ...) -> None: ...

class GreetReply(_message.Message):
    __slots__ = ("server_time", "version", "bundle", "problem")
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    server_time: float
    version: str
    bundle: str
    problem: str
    def __init__(self, server_time: _Optional[float] = ..., version: _Optional[str] = ..., bundle: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class StudyRequest(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: str
    def __init__(self, run: _Optional[str] = ...) -> None: ...

class StudyReply(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[RunStudy]
    def __init__(self, runs: _Optional[_Iterable[_Union[RunStudy, _Mapping]]] = ...) -> None: ...

class RunStudy(_message.Message):
    __slots__ = ("run", "state", "digest", "study")
    RUN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    run: str
    state: str
    digest: str
    study: str
    def __init__(self, run: _Optional[str] = ..., state: _Optional[str] = ..., digest: _Optional[str] = ..., study: _Optional[str] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("run", "follow")
    RUN_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    run: str
    follow: bool
    def __init__(self, run: _Optional[str] = ..., follow: _Optional[bool] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("server_time", "sites", "runs")
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    server_time: float
    sites: _containers.RepeatedCompositeFieldContainer[SiteStatus]
    runs: _containers.RepeatedCompositeFieldContainer[RunStatus]
    def __init__(self, server_time: _Optional[float] = ..., sites: _Optional[_Iterable[_Union[SiteStatus, _Mapping]]] = ..., runs: _Optional[_Iterable[_Union[RunStatus, _Mapping]]] = ...) -> None: ...

class SiteStatus(_message.Message):
    __slots__ = ("name", "online", "enrolled", "revoked", "problem", "last_seen", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    ENROLLED_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    online: bool
    enrolled: float
    revoked: float
    problem: str
    last_seen: float
    version: str
    def __init__(self, name: _Optional[str] = ..., online: _Optional[bool] = ..., enrolled: _Optional[float] = ..., revoked: _Optional[float] = ..., problem: _Optional[str] = ..., last_seen: _Optional[float] = ..., version: _Optional[str] = ...) -> None: ...

class RunStatus(_message.Message):
    __slots__ = ("id", "study", "state", "reason", "phase", "round", "rounds", "sites", "awaited")
    ID_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    AWAITED_FIELD_NUMBER: _ClassVar[int]
    id: str
    study: str
    state: str
    reason: str
    phase: str
    round: int
    rounds: int
    sites: _containers.RepeatedCompositeFieldContainer[RunSite]
    awaited: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., study: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., phase: _Optional[str] = ..., round: _Optional[int] = ..., rounds: _Optional[int] = ..., sites: _Optional[_Iterable[_Union[RunSite, _Mapping]]] = ..., awaited: _Optional[_Iterable[str]] = ...) -> None: ...

class RunSite(_message.Message):
    __slots__ = ("name", "state", "reason", "patients", "seconds", "bytes_up", "bytes_down")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PATIENTS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_UP_FIELD_NUMBER: _ClassVar[int]
    BYTES_DOWN_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    reason: str
    patients: int
    seconds: float
    bytes_up: int
    bytes_down: int
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., patients: _Optional[int] = ..., seconds: _Optional[float] = ..., bytes_up: _Optional[int] = ..., bytes_down: _Optional[int] = ...) -> None: ...
