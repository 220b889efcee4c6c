"""The server certificate expires: who says so, and that nobody has to enrol again once it is renewed."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.settings import Coordinator
from simulations.deployment import PROGRAM, Deployment
from tests.end_to_end.deployments import Deploy, in_rounds, online, results, started, until, work

pytestmark = pytest.mark.survive

FORGETFUL = """
import server.upkeep, wardround
server.upkeep.renew_if_due = lambda *_: False
wardround.main()
"""
"""`up` renews a certificate that is about to expire by itself; this one does not."""


@pytest.fixture(scope="module")
def trial(deploy: Deploy) -> Deployment:
    return deploy(2)


def expire(settings: Coordinator) -> None:
    """Put a certificate into place that was good until yesterday."""
    good, root = x509.load_pem_x509_certificates(settings.server_pem.read_bytes())
    key = serialization.load_pem_private_key(settings.ca_key.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(good.subject)
        .issuer_name(good.issuer)
        .public_key(good.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now - timedelta(days=1))
    )
    for extension in good.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    old = builder.sign(key, hashes.SHA256())
    encoding = serialization.Encoding.PEM
    settings.server_pem.write_bytes(old.public_bytes(encoding) + root.public_bytes(encoding))


def test_an_expired_certificate_is_named_by_check_and_run_and_renewing_it_brings_the_sites_back(
    trial: Deployment,
) -> None:
    memberships = {name: (work(trial, name) / "node" / "enrolment.json").read_bytes() for name in trial.nodes}
    trial.coordinator.end()
    assert trial.coordinator.wait() == 0
    expire(trial.settings)
    normal = trial.coordinator.arguments
    trial.coordinator.arguments = [sys.executable, "-c", FORGETFUL, *normal[len(PROGRAM) :]]
    trial.coordinator.start()
    site_file = str(work(trial, "east").parent / "site.yaml")

    def checked() -> str:
        done = subprocess.run(
            [*PROGRAM, "site", "check", site_file], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode != 0
        return " ".join(done.stdout.split())

    until(
        lambda: "certificate has expired" in (found := checked()) and "renew" in found, 60, "the check's word"
    )
    node = trial.nodes["east"]
    node.end()
    node.wait()
    node.output.unlink()
    node.start().wait_for("certificate has expired")
    assert "no site enrols again" in " ".join(node.printed().split())

    trial.coordinator.end()
    trial.coordinator.wait()
    trial.coordinator.arguments = normal
    trial.command("coordinator", "renew", "--dir", str(trial.coordinator_folder))
    trial.up()
    until(lambda: online(trial) == set(trial.nodes), 120, lambda: f"both sites, not {online(trial)}")
    run = started(trial, {"priority": None, "training.rounds": 1})
    assert trial.wait(run, limit_s=120).state == "finished"
    assert [in_rounds(results(trial, run), site) for site in trial.nodes] == [["used"]] * 2
    for name, membership in memberships.items():
        assert (work(trial, name) / "node" / "enrolment.json").read_bytes() == membership
