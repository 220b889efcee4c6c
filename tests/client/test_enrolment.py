"""Enrolment and the control plane from both ends: real gRPC, real TLS, real keys."""

import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typer.testing import CliRunner

import client.control
import client.enrolment
import server.control
from client.audit import Audit
from client.cli import app
from client.control import Control, certificate_days_left, reach
from client.enrolment import enrol
from client.gate import Gate, Released
from client.membership import Enrolment
from client.site import Site
from server.authority import create_authority, renew
from server.board import RunStatus, SiteStatus
from server.settings import FILE, Coordinator
from shared import __version__
from shared.control import control_pb2 as pb
from shared.control.control_pb2_grpc import ControlStub
from shared.errors import ConfigError, EnrolmentError, FederationError
from shared.signing import Signed, new_key, prove, public_bytes, read_key
from shared.wire import Record, Scalar
from tests.client.hospital import site_at
from tests.server.federation_office import BUNDLE, NODE, Office, office


@pytest.fixture
def coordinator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr(server.control, "PAUSE_S", 0.0)
    monkeypatch.setattr(server.control, "STATUS_EVERY_S", 0.02)
    with office(tmp_path / "coordinator") as made:
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_at(tmp_path / "data", tmp_path / "work")


def greeting(
    site: Site, *, lines: int = 1, clock: float | None = None, version: str = __version__
) -> Released:
    fields: dict[str, Scalar] = {
        "site": site.name,
        "version": version,
        "clock": clock or datetime.now(UTC).timestamp(),
        "audit_lines": lines,
        "audit_seal": f"seal {lines}",
    }
    return Gate(site.policy, Audit(site.work / "audit.jsonl")).release(Record("greeting", fields))


def refused(site: Site, invite: object, **options: Any) -> str:
    with pytest.raises(EnrolmentError) as caught:
        enrol(site, str(invite), **options)
    return caught.value.reason


def test_an_invite_makes_a_member_with_a_key_of_its_own(coordinator: Office, site: Site) -> None:
    assert Enrolment.load(site) is None
    enrolment = enrol(site, str(coordinator.invite()))
    assert enrolment == Enrolment.load(site)
    assert (enrolment.site, enrolment.node_id) == ("north", NODE)
    assert (enrolment.fleet, enrolment.control) == (coordinator.settings.fleet, coordinator.settings.control)
    folder = site.work / "node"
    assert {path.name for path in folder.iterdir()} == {"node.key", "ca.pem", "enrolment.json"}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert enrolment.ca_pem.read_bytes() == coordinator.settings.ca_pem.read_bytes()
    public = public_bytes(read_key(enrolment.private_key))
    assert coordinator.registered == [("north", public)]
    known = coordinator.store.site("north")
    assert known is not None
    assert (known.public_key, known.node_id, known.version) == (public, NODE, __version__)


def test_the_private_key_never_leaves(coordinator: Office, site: Site) -> None:
    enrolment = enrol(site, str(coordinator.invite()))
    secret = enrolment.private_key.read_bytes().splitlines()[1]
    files = [path for path in coordinator.settings.folder.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if secret in path.read_bytes()]


def test_the_work_folder_that_it_makes_is_open_to_its_owner_only(coordinator: Office, site: Site) -> None:
    assert not site.work.exists()
    enrol(site, str(coordinator.invite()))
    assert site.work.stat().st_mode & 0o077 == 0


def test_the_enrolment_passes_the_gate(coordinator: Office, site: Site) -> None:
    enrol(site, str(coordinator.invite()))
    log = (site.work / "audit.jsonl").read_text()
    assert '"membership"' in log
    Audit(site.work / "audit.jsonl").verify()


def test_each_bad_invite_is_refused_with_its_reason(coordinator: Office, site: Site) -> None:
    good = coordinator.invite()
    assert refused(site, str(good)[:-3]) == "damaged"
    assert refused(site, "hello") == "not_an_invite"
    assert refused(site, coordinator.invite("south")) == "other_site"
    assert refused(site, good.model_copy(update={"code": "x" * 27})) == "unknown"
    assert refused(site, good.model_copy(update={"ca_sha256": "0" * 64})) == "fingerprint"
    assert refused(site, coordinator.invite(days=-1)) == "expired"
    assert refused(site, good) == "withdrawn"
    assert coordinator.registered == []
    assert Enrolment.load(site) is None


def test_a_used_invite_is_refused_to_another_machine(coordinator: Office, site: Site, tmp_path: Path) -> None:
    invite = coordinator.invite()
    enrol(site, str(invite))
    thief = site_at(tmp_path / "data", tmp_path / "elsewhere")
    assert refused(thief, invite) == "used"
    assert len(coordinator.registered) == 1


def test_the_command_enrols_and_takes_the_invite_from_the_input(coordinator: Office, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("name: north\ndata: data\nwork: work\n")
    invite = str(coordinator.invite())
    done = CliRunner().invoke(app, ["enrol", str(file), "--invite", "-"], input=f"{invite}\n")
    assert done.exit_code == 0
    assert f"site run {file}" in done.stdout
    assert Enrolment.load(Site.read(file)) is not None
    again = CliRunner().invoke(app, ["enrol", str(file), "--invite", invite])
    assert isinstance(again.exception, EnrolmentError)
    assert again.exception.reason == "already_enrolled"


def test_nothing_is_sent_to_a_coordinator_with_another_fingerprint(
    coordinator: Office, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / FILE).write_text("address: 127.0.0.1\n")
    evil = Coordinator.read(tmp_path / "evil")
    create_authority(evil)
    coordinator.shown_ca = evil.ca_pem.read_bytes()
    assert refused(site, coordinator.invite()) == "fingerprint"
    coordinator.shown_ca = b"nonsense"
    assert refused(site, coordinator.invite()) == "fingerprint"
    assert not site.work.exists()
    assert coordinator.store.site("north") is None


def test_an_enrolment_that_was_interrupted_goes_on_with_the_same_key(
    coordinator: Office, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite = str(coordinator.invite())
    coordinator.down()
    with pytest.raises(FederationError, match="does not answer"):
        enrol(site, invite)
    key = (site.work / "node/pending/node.key").read_bytes()
    coordinator.up()

    def lost(*arguments: Any, **options: Any) -> Any:
        client.control.redeem(*arguments, **options)
        raise FederationError("the answer was lost")

    monkeypatch.setattr(client.enrolment, "redeem", lost)
    with pytest.raises(FederationError, match="lost"):
        enrol(site, invite)
    assert Enrolment.load(site) is None
    monkeypatch.undo()
    enrolment = enrol(site, invite)
    assert enrolment.private_key.read_bytes() == key
    assert len(coordinator.registered) == 1


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_crash_while_the_files_are_put_in_place_loses_nothing(
    moved: int, coordinator: Office, site: Site
) -> None:
    enrolment = enrol(site, str(coordinator.invite()))
    folder, pending = site.work / "node", site.work / "node" / "pending"
    pending.mkdir()
    for name in ("node.key", "ca.pem", "enrolment.json")[moved:]:
        (folder / name).rename(pending / name)
    assert Enrolment.load(site) == enrolment
    assert not pending.exists()
    with Control(enrolment) as control:
        assert control.study() == []


def test_a_site_enrols_again_only_when_both_sides_say_so(coordinator: Office, site: Site) -> None:
    first = enrol(site, str(coordinator.invite()))
    key = first.private_key.read_bytes()
    with pytest.raises(ConfigError, match="--replace"):
        coordinator.invite()
    again = coordinator.invite(replace=True)
    assert refused(site, again) == "already_enrolled"
    second = enrol(site, str(again), replace=True)
    assert second.private_key.read_bytes() != key
    assert [name for name, _ in coordinator.registered] == ["north", "north"]
    (site.work / "old.key").write_bytes(key)
    with Control(second) as control:
        control._key = read_key(site.work / "old.key")
        with pytest.raises(EnrolmentError, match="another key"):
            control.study()


def test_while_flower_is_down_a_site_still_becomes_a_member(coordinator: Office, site: Site) -> None:
    coordinator.flower_is_down = True
    enrolment = enrol(site, str(coordinator.invite()))
    assert enrolment.node_id == 0
    known = coordinator.store.site("north")
    assert known is not None
    assert known.node_id is None


def test_an_enrolment_of_another_site_in_the_same_folder_is_refused(coordinator: Office, site: Site) -> None:
    enrol(site, str(coordinator.invite()))
    with pytest.raises(ConfigError, match="enrolment of north"):
        Enrolment.load(site.model_copy(update={"name": "south"}))


def test_a_greeting_is_noted_and_answered(coordinator: Office, site: Site) -> None:
    with Control(enrol(site, str(coordinator.invite()))) as control:
        answer = control.greet(greeting(site, lines=5))
        assert (answer.version, answer.bundle, answer.problem) == (__version__, BUNDLE, "")
        assert abs(answer.clock_offset_s) < 1
        known = coordinator.store.site("north")
        assert known is not None
        assert (known.audit_lines, known.audit_seal, known.problem) == (5, "seal 5", None)
        assert known.last_seen is not None
        hour = datetime.now(UTC).timestamp() + 3600
        assert control.greet(greeting(site, lines=6, clock=hour)).problem == "clock"
        assert control.greet(greeting(site, lines=7, clock=hour, version="0.0.9")).problem == "version"
        assert control.greet(greeting(site, lines=6)).problem == "audit"
        assert control.greet(greeting(site, lines=8)).problem == ""


def test_a_look_tells_clock_version_bundle_and_certificate(coordinator: Office, site: Site) -> None:
    found = reach(enrol(site, str(coordinator.invite())))
    assert (found.version, found.bundle) == (__version__, BUNDLE)
    assert abs(found.clock_offset_s) < 1
    assert 396 < found.certificate_days_left <= 397


def test_a_clock_that_is_an_hour_off_is_told_so(
    coordinator: Office, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolment = enrol(site, str(coordinator.invite()))

    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) - timedelta(hours=1)

    monkeypatch.setattr(client.control, "datetime", Late)
    with Control(enrolment) as control:
        with pytest.raises(EnrolmentError, match="clock") as caught:
            control.study()
        assert caught.value.reason == "clock"
        assert control.reach().clock_offset_s == pytest.approx(3600, abs=2)


def test_studies_of_open_runs_reach_a_site(coordinator: Office, site: Site) -> None:
    store = coordinator.store
    run = store.start(study_name="quick", study_digest="d" * 64, study_yaml="name: quick\n")
    over = store.start(study_name="old", study_digest="e" * 64, study_yaml="name: old\n")
    store.stop(over)
    with Control(enrol(site, str(coordinator.invite()))) as control:
        (found,) = control.study()
        assert (found.run, found.state, found.digest, found.study) == (
            run,
            "waiting",
            "d" * 64,
            "name: quick\n",
        )
        assert [r.run for r in control.study(over)] == [over]
        with pytest.raises(FederationError, match="config"):
            control.study("nope-000000")


def board(**sites: str) -> RunStatus:
    shown = {name: SiteStatus(state=state, patients=9, bytes_up=7) for name, state in sites.items()}
    return RunStatus(phase="training", round=2, rounds=5, started="", updated="", sites=shown)


def test_a_site_sees_runs_and_of_the_sites_only_itself(
    coordinator: Office, site: Site, tmp_path: Path
) -> None:
    enrolment = enrol(site, str(coordinator.invite()))
    enrol(site_at(tmp_path, tmp_path / "s", name="south"), str(coordinator.invite("south")))
    coordinator.online = {public_bytes(read_key(enrolment.private_key))}
    run = coordinator.store.start(study_name="q", study_digest="d", study_yaml="")
    coordinator.boards[run] = board(north="awaited", south="awaited")
    with Control(enrolment) as control:
        (status,) = control.watch(follow=False)
    assert [(s.name, s.online) for s in status.sites] == [("north", True)]
    (shown,) = status.runs
    assert (shown.id, shown.phase, shown.round, shown.rounds) == (run, "training", 2, 5)
    assert [(s.name, s.patients, s.bytes_up) for s in shown.sites] == [("north", 9, 7)]
    assert list(shown.awaited) == ["north"]


def test_the_stream_tells_each_change_and_ends_with_the_coordinator(coordinator: Office, site: Site) -> None:
    run = coordinator.store.start(study_name="q", study_digest="d", study_yaml="")
    seen: list[str] = []
    ended: list[str] = []
    enrolment = enrol(site, str(coordinator.invite()))

    def follow() -> None:
        try:
            with Control(enrolment) as control:
                seen.extend(status.runs[0].state for status in control.watch(run))
        except FederationError as error:
            ended.append(str(error))
        ended.append("end")

    def until(count: int) -> None:
        deadline = time.monotonic() + 20
        while len(seen) < count and time.monotonic() < deadline:
            time.sleep(0.01)

    thread = threading.Thread(target=follow)
    thread.start()
    until(1)
    coordinator.store.set_run(run, state="running")
    until(2)
    coordinator.store.set_run(run, state="failed", reason="quorum")
    until(3)
    coordinator.down()
    thread.join(20)
    assert not thread.is_alive()
    assert seen == ["waiting", "running", "failed"]
    assert ended[-1] == "end"


def test_a_revoked_site_is_not_heard_and_the_others_are(
    coordinator: Office, site: Site, tmp_path: Path
) -> None:
    revoked = enrol(site, str(coordinator.invite()))
    other = enrol(site_at(tmp_path, tmp_path / "s", name="south"), str(coordinator.invite("south")))
    coordinator.store.revoke("north")
    with Control(revoked) as control:
        for call in (
            control.study,
            control.reach,
            lambda: control.greet(greeting(site)),
            lambda: list(control.watch()),
        ):
            with pytest.raises(EnrolmentError, match="revoked") as caught:
                call()
            assert caught.value.reason == "revoked"
    assert reach(other).version == __version__


def raw(coordinator: Office) -> tuple[grpc.Channel, ControlStub]:
    ca = coordinator.settings.ca_pem.read_bytes()
    channel = grpc.secure_channel(
        coordinator.settings.control, grpc.ssl_channel_credentials(root_certificates=ca)
    )
    return channel, ControlStub(channel)


def answer(call: Any) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def test_who_signs_not_or_with_another_key_is_not_heard(
    coordinator: Office, site: Site, tmp_path: Path
) -> None:
    enrol(site, str(coordinator.invite()))
    denied = grpc.StatusCode.PERMISSION_DENIED
    stranger = new_key(tmp_path / "stranger")
    request = pb.StudyRequest()

    def signed(name: str, method: str = "GetStudy") -> Any:
        now = datetime.now(UTC)
        return Signed.make(stranger, method=method, site=name, request=b"", now=now).metadata

    channel, stub = raw(coordinator)
    with channel:
        assert answer(lambda: stub.GetStudy(request)) == (denied, "enrolment.signature")
        assert answer(lambda: stub.GetStudy(request, metadata=signed("north"))) == (
            denied,
            "enrolment.signature",
        )
        assert answer(lambda: stub.GetStudy(request, metadata=signed("x"))) == (
            denied,
            "enrolment.unknown_site",
        )
        wrong = (("wardround-admin", "wrong"),)
        assert answer(lambda: stub.GetStudy(request, metadata=wrong)) == (denied, "enrolment.admin")
        greet = pb.GreetRequest(version="1")
        token = coordinator.settings.admin_token.read_text()
        as_admin = (("wardround-admin", token),)
        assert answer(lambda: stub.Greet(greet, metadata=as_admin)) == (denied, "enrolment.signature")
        assert list(stub.GetStudy(request, metadata=as_admin).runs) == []


def test_an_enrolment_without_the_private_key_is_refused(coordinator: Office, tmp_path: Path) -> None:
    key, other = new_key(tmp_path / "a"), new_key(tmp_path / "b")
    invite = coordinator.invite()
    good: dict[str, Any] = {
        "code": invite.code,
        "site": "north",
        "public_key": public_bytes(key),
        "version": "1",
    }
    proof = prove(key, code=invite.code, site="north")
    bad: list[dict[str, Any]] = [
        {"proof": prove(other, code=invite.code, site="north")},
        {"proof": b""},
        {"proof": proof, "public_key": public_bytes(other)},
        {"proof": proof, "public_key": b"nonsense"},
        {"proof": proof, "site": "n" * 5000},
    ]
    channel, stub = raw(coordinator)
    with channel:
        for change in bad:
            request = pb.EnrolRequest(**{**good, **change})
            assert answer(lambda: stub.Enrol(request)) == (  # noqa: B023 - called at once
                grpc.StatusCode.PERMISSION_DENIED,
                "enrolment.proof",
            )
        assert stub.Enrol(pb.EnrolRequest(**good, proof=proof)).node_id == NODE


def test_no_text_of_an_error_reaches_the_other_side(
    coordinator: Office, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolment = enrol(site, str(coordinator.invite()))

    def broken(*_: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(coordinator.store, "runs", broken)
    with Control(enrolment) as control:
        for call in (control.study, lambda: list(control.watch())):
            with pytest.raises(FederationError, match="internal") as caught:
                call()
            assert "secret" not in str(caught.value)


def test_guessing_is_stopped_after_ten_failures(coordinator: Office, site: Site) -> None:
    good = coordinator.invite()
    wrong = good.model_copy(update={"code": "x" * 27})
    assert [refused(site, wrong) for _ in range(11)] == ["unknown"] * 10 + ["too_many"]
    assert refused(site, good) == "too_many"


def test_a_failed_enrolment_takes_its_time(tmp_path: Path, site: Site) -> None:
    with office(tmp_path / "coordinator") as made:
        started = time.monotonic()
        assert refused(site, made.invite().model_copy(update={"code": "x" * 27})) == "unknown"
        assert time.monotonic() - started >= server.control.PAUSE_S


def test_health_is_the_standard_protocol(coordinator: Office) -> None:
    channel, _ = raw(coordinator)
    with channel:
        check: Any = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]  # missing in types-grpcio
        for name in ("", "wardround.control.v1.Control"):
            found = check(health_pb2.HealthCheckRequest(service=name))
            assert found.status == health_pb2.HealthCheckResponse.SERVING


def test_an_expired_certificate_is_named_with_the_cure(coordinator: Office, site: Site) -> None:
    enrolment = enrol(site, str(coordinator.invite()))
    settings = coordinator.settings
    coordinator.down()
    short = settings.model_copy(update={"certificate_days": 0.00001})
    short._folder = settings.folder
    renew(short)
    time.sleep(1.1)  # the certificate's life, which is counted in whole seconds
    coordinator.up()
    for call in (lambda: reach(enrolment), lambda: Control(enrolment).study()):
        with pytest.raises(FederationError, match=r"expired.*coordinator renew"):
            call()
    coordinator.down()
    renew(settings)
    coordinator.up()
    assert reach(enrolment).certificate_days_left > 396


def test_a_coordinator_that_is_down_is_named_with_the_cure(coordinator: Office, site: Site) -> None:
    enrolment = enrol(site, str(coordinator.invite()))
    coordinator.down()
    for call in (lambda: reach(enrolment), lambda: Control(enrolment).study()):
        with pytest.raises(FederationError, match="does not answer at"):
            call()


def test_only_the_pinned_authority_is_trusted(coordinator: Office, site: Site) -> None:
    enrolment = enrol(site, str(coordinator.invite()))
    coordinator.down()
    shutil.rmtree(coordinator.settings.secrets)
    create_authority(coordinator.settings)
    coordinator.up()
    with pytest.raises(FederationError, match="certificate"):
        certificate_days_left(enrolment.control, enrolment.ca_pem.read_bytes())
    with Control(enrolment) as control, pytest.raises(FederationError, match="certificate"):
        control.study()


def test_a_second_coordinator_on_the_same_port_is_refused(coordinator: Office) -> None:
    with pytest.raises(ConfigError, match="Is another coordinator running"):
        Office(coordinator.settings, coordinator.store).up()
