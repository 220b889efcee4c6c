"""What `up` looks after besides runs: the SuperLink's process, and a certificate that does not expire."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from server.authority import days_left, renew_if_due
from server.settings import Coordinator
from shared.errors import ConfigError
from shared.processes import Command, rotating_log

SOON_DAYS = 14
LOOK_EVERY_S = 24 * 3600.0


def superlink(settings: Coordinator, *, heard: Callable[[str], None] | None = None) -> Command:
    """Describe the process of flower-superlink (server/superlink.py)."""
    arguments = [
        *(sys.executable, "-m", "server.superlink"),
        *(str(settings.superlink_token), str(settings.ca_pem), str(settings.max_message_mb)),
        *("--isolation", "process", "--superexec-auth-secret-file", str(settings.superexec_secret)),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
        *("--ssl-certfile", str(settings.server_pem), "--ssl-keyfile", str(settings.server_key)),
        *("--ssl-ca-certfile", str(settings.ca_pem)),
        *("--database", str(settings.superlink_db)),
        *("--host", settings.bind, "--port", str(settings.fleet_port)),
    ]
    return Command(
        arguments,
        log=rotating_log(settings.logs / "superlink.log", days=settings.log_days),
        environment={"FLWR_HOME": str(settings.flower_home)},
        heard=heard,
    )


@dataclass
class CertificateWatch:
    """Looks once a day whether the server certificate is due, and renews it.

    Nothing is restarted and no run notices: SuperLink and control service show what lies in the file to
    every new connection.
    """

    settings: Coordinator
    say: Callable[[str], None]
    _looked: float | None = None

    def look(self) -> None:
        """Renew the certificate when it is due; raises ConfigError when that cannot be done."""
        self._looked = time.monotonic()
        if renew_if_due(self.settings):
            self.say("renewed the server certificate; no site needs to do anything")
        left = days_left(self.settings.server_pem)
        if left < SOON_DAYS:
            self.say(f"the authority expires in {left:.0f} days; then every site has to enrol again")

    def look_again(self) -> None:
        """Do so if a day has passed; says what is wrong, as what is up goes on with what it has."""
        if self._looked is not None and time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        try:
            self.look()
        except ConfigError as error:
            self.say(f"the server certificate cannot be renewed: {error}")
