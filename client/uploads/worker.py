"""`python -m client.uploads.worker SITE`: the one process that checks uploads and reads their scans.

PyTorch is loaded here, once there is a scan to read, and not where the pages are served: a scan that is too
large for the memory ends this process alone. keeper.py starts it again, and it takes up what was under way.
"""

import logging
import os
import shutil
import signal
import sys
import time
import traceback
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from client.predict.names import pseudonyms_of
from client.result import Result
from client.site import Site
from client.upload_settings import GB
from client.uploads.checking import Known, found_in
from client.uploads.history import USED, write_used
from client.uploads.jobs import Jobs
from client.uploads.receiving import FOLDER, INCOMING, SCANS, folder_of
from client.uploads.records import Taken
from client.uploads.sorting import sorted_entries
from client.worklist import Worklist
from shared.errors import BusyError, WardroundError
from shared.files import one_at_a_time, private_folder
from shared.processes import end_with_stdin
from shared.study import Study

if TYPE_CHECKING:
    from shared.model import TrainedModel

PAUSE_S = 1.0
BUSY_PAUSE_S = 5.0
SWEEP_S = 600.0
NICENESS = 10
LOCK = ".worker.lock"

_log = logging.getLogger("wardround.uploads")


@dataclass
class Work:
    """What the worker does, a step at a time."""

    site: Site
    jobs: Jobs
    worklist: Worklist
    _model: "tuple[float, TrainedModel] | None" = field(default=None, init=False)

    def step(self) -> bool:
        """Check an upload or read a scan; False if there is nothing to do.

        Checking comes first: nobody should wait for a long reading to hear that a file is none.
        """
        if (upload := self.jobs.next_to_check()) is not None:
            self._check(upload)
            return True
        if (taken := self.jobs.next_to_read()) is not None:
            self._read(taken)
            return True
        return False

    def sweep(self) -> None:
        """Remove uploads that were never finished, and files that belong to none."""
        self.jobs.forget_unfinished(timedelta(hours=self.site.uploads.unfinished_h))
        kept = self.jobs.with_files()
        for folder in (self.site.work / FOLDER).iterdir():
            if folder.is_dir() and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _check(self, upload: str) -> None:
        folder = folder_of(self.site, upload)
        try:
            study = Study.load(self.site.work / "model" / "study.yaml")
            most = int(self.site.uploads.batch_gb * GB)
            entries, refused = sorted_entries(folder / INCOMING, folder / SCANS, most_bytes=most)
            known = Known(self.jobs.contents, frozenset(self.worklist.cases()), pseudonyms_of(self.site))
            found = found_in(entries, study.task, self.site.limits, known)
            notes = write_used(folder, found)
            self.jobs.checked(upload, [*found, *refused], notes)
            shutil.rmtree(folder / INCOMING, ignore_errors=True)
        except SystemExit:
            self.jobs.put_back_upload(upload)
            raise
        except Exception as error:
            # Whatever is odd about one upload must not keep the others from being read.
            _log.error("upload %s cannot be checked: %s", upload, _place_of(error))
            why = str(error) if isinstance(error, WardroundError) else f"{type(error).__name__}: {error}"
            self.jobs.failed(upload, why)

    def _read(self, taken: Taken) -> None:
        from client.predict.run import Request, predict_listed  # noqa: PLC0415 - PyTorch takes seconds

        patients = folder_of(self.site, taken.upload) / USED
        request = Request((), patients=patients if patients.exists() else None)
        try:
            done = predict_listed(self.site, self._trained(), request, [taken.listed], done=self._put)
        except SystemExit:
            self.jobs.put_back_scan(taken.id)
            raise
        except BusyError:
            self.jobs.put_back_scan(taken.id)
            time.sleep(BUSY_PAUSE_S)  # somebody runs `wardround site predict`
        except Exception as error:
            _log.error("a scan of upload %s cannot be read: %s", taken.upload, _place_of(error))
            self.jobs.unread(taken.id, "not_read", str(error))
        else:
            if done.failed:
                self.jobs.unread(taken.id, done.failed[0].reason, done.failed[0].detail)
            else:
                self.jobs.read(taken.id)

    def _put(self, result: Result, path: Path) -> None:
        self.worklist.put(result, path=path)

    def _trained(self) -> "TrainedModel":
        """Load the site's model again whenever another one was put there."""
        import torch  # noqa: PLC0415 - it takes seconds and half a GB, which nobody needs who only checks

        from shared.model import TrainedModel  # noqa: PLC0415

        torch.set_num_threads(self.site.threads)
        folder = self.site.work / "model"
        newest = (
            max((path.stat().st_mtime for path in folder.iterdir()), default=0.0) if folder.is_dir() else 0.0
        )
        if self._model is None or self._model[0] != newest:
            self._model = newest, TrainedModel.load(folder)
        return self._model[1]


def _place_of(error: Exception) -> str:
    """Return where in the code an error came from; its text may name patients and stays out of the log."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def run(site_file: Path) -> None:
    """Work until SIGTERM; raise BusyError where another worker is there."""
    site = Site.read(site_file)
    uploads = private_folder(site.make_work() / FOLDER)
    busy = f"another process reads the uploads of {site.name}. It goes on; this one ends."
    with (
        one_at_a_time(uploads / LOCK, busy),
        closing(Jobs.open(site)) as jobs,
        closing(Worklist.open(site)) as worklist,
    ):
        jobs.requeue()
        work = Work(site, jobs, worklist)
        swept = float("-inf")
        while True:
            if time.monotonic() - swept > SWEEP_S:
                work.sweep()
                swept = time.monotonic()
            if not work.step():
                time.sleep(PAUSE_S)


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    signal.signal(signal.SIGTERM, _stop)
    end_with_stdin()
    os.nice(NICENESS)
    try:
        run(Path(sys.argv[1]))
    except WardroundError as problem:
        sys.exit(str(problem))
    except SystemExit:
        os._exit(0)  # all is closed; taking PyTorch apart would take seconds
