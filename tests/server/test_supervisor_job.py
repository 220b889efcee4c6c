"""What a run's process is told by the coordinator that is up."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from server.settings import FILE, TEMPLATE, Coordinator
from server.store import Store
from server.supervisor import Supervisor
from shared.invite import new_code


def test_a_run_is_told_who_is_a_member_and_every_bound_of_the_configuration(tmp_path: Path) -> None:
    text = TEMPLATE.format(name="coordinator", address="127.0.0.1")
    for key, value in {"enrol_wait_minutes": 7, "grace_seconds": 11, "max_message_mb": 3}.items():
        text = "\n".join(
            f"{key}: {value}" if line.startswith(f"{key}:") else line for line in text.split("\n")
        )
    (tmp_path / FILE).write_text(text)
    supervisor = Supervisor(Coordinator.read(tmp_path), lambda _: None)
    supervisor.store = store = Store.open(supervisor.settings.database_url)
    for number, site in enumerate(("north", "east", "south", "west"), start=1):
        code = new_code()
        store.invite(site, code=code, expires=datetime.now(UTC) + timedelta(days=1))
        store.redeem(code, site=site, public_key=site.encode(), version="0")
        if site != "south":  # not registered at Flower yet
            store.set_site(site, node_id=number)
    store.revoke("west")
    job = supervisor._job("quick-1")
    store.close()
    assert job.names == {1: "north", 2: "east"}
    assert (job.enrol_wait_s, job.grace_s, job.max_reply_bytes) == (420.0, 11.0, 3 * 2**20)
    assert job.folder == supervisor.settings.run_folder("quick-1")
