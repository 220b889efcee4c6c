"""A process that supervises as the product does, to be killed: two commands, a fork server, two forks.

    python -m tests.shared.supervisor_of_some LOG

Prints one line of JSON: the number of each process, and what a fork found in `sys.modules` as it began.
"""

import json
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from shared.processes import Command, WarmForks, end_with_stdin, rotating_log

PRELOADED = "sqlalchemy"
"""A module of some size that nothing else here imports."""


def began(answers: Connection) -> None:
    answers.send({"pid": os.getpid(), "parent": os.getppid(), "warm": PRELOADED in sys.modules})
    time.sleep(600)


def deaf() -> None:
    """Do nothing, whatever signal comes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    end_with_stdin()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    time.sleep(600)


def main(log: Path) -> None:
    handler = rotating_log(log, days=1)
    commands = [Command([sys.executable, "-m", __spec__.name, "deaf"], handler) for _ in range(2)]
    for command in commands:
        command.keep()
    forks = WarmForks([PRELOADED])
    receiver, sender = forks.pipe()
    for _ in range(2):
        forks.start(f"{__spec__.name}:{began.__name__}", sender)
    sender.close()  # so that a fork that dies is an end of file here
    first, second = receiver.recv(), receiver.recv()
    numbers = {
        "commands": [command._process.pid for command in commands if command._process is not None],
        "forks": [first["pid"], second["pid"]],
        "fork server": [first["parent"]],
        "warm": [first["warm"], second["warm"]],
        "cold": PRELOADED not in sys.modules,
    }
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()
    time.sleep(600)


if __name__ == "__main__":
    if sys.argv[1] == "deaf":
        deaf()
    main(Path(sys.argv[1]))
