from pathlib import Path

from fastapi.testclient import TestClient

from client.web.app import hospital_app
from client.web.hospital import Hospital


def test_databases_are_whole_files_once_the_pages_have_ended(site_file: Path) -> None:
    app = hospital_app(site_file)
    hospital: Hospital = app.state.hospital
    with TestClient(app, base_url="http://127.0.0.1:8090") as somebody:
        assert somebody.get("/login").status_code == 200
        assert hospital.worklist.cases()
        assert not hospital.jobs.recent()
        assert {"pages.db-wal", "worklist.db-wal", "uploads.db-wal"} <= _unfinished(hospital)
    assert not _unfinished(hospital)


def _unfinished(hospital: Hospital) -> set[str]:
    return {path.name for path in hospital.site.work.glob("*.db-wal")}
