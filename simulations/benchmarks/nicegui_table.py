"""A worklist as NiceGUI's own table, in a process of its own: PORT ROWS. Only where nicegui is installed."""

import sys

from nicegui import ui

from shared.randomness import generator
from simulations.benchmarks.hospitals import SEED

COLUMNS = ("rank", "tier", "case", "probability", "reasons", "waits")
TIERS = ("stat", "asap", "urgent", "routine")


def rows(count: int) -> list[dict[str, object]]:
    """Make as much text a line as a worklist has."""
    rng = generator(SEED, "nicegui")
    return [
        {
            "rank": number + 1,
            "tier": TIERS[4 * number // count],
            "case": f"scan_{number:05d}",
            "probability": f"{rng.random():.2f}",
            "reasons": "volume 12.3 ml: +2.10; findings 3: +0.90; age 71 years: +0.56",
            "waits": f"{rng.integers(600)} min",
        }
        for number in range(count)
    ]


def main(port: int, count: int) -> None:
    """Serve the table until the process is ended."""
    columns = [{"name": name, "label": name, "field": name, "sortable": True} for name in COLUMNS]
    made = rows(count)

    def page() -> None:
        ui.table(columns=columns, rows=made, row_key="case", title="Worklist", pagination=50)

    ui.page("/")(page)
    ui.run(host="127.0.0.1", port=port, show=False, reload=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
