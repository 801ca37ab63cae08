"""What the log of requests costs, and what SIGKILL of nginx loses of it.

    python -m benchmarks.request_log  # needs nginx, and ab (Debian's apache2-utils)
    python -m benchmarks.request_log --requests 20000

Two nginx before the same two model servers of iris, one with the log and one without, are asked in
turn by 16 clients, so that a noisy moment meets both; the ratio is the median of the rounds'. Then
`score`'s reader reads the log: each request that was answered has to be a row. At last nginx, its
worker too, is killed under load, again and again, and what clients got is compared with the rows.
"""

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import mlflow

from benchmarks.load import FLOWER, Tally, ask_until
from steps import train
from tabular.models.load import load_model
from tabular.store import production
from tabular.table.files import read_table
from tests.conftest import Store
from tests.front import TOKEN, Front, is_up, model_server, nginx, wait_until

CLIENTS = 16


def fire(front: Front, requests: int) -> float:
    """Requests a second of ab; all are answered with 200."""
    body = front.folder / "flower.json"
    body.write_text(FLOWER)
    command = ["ab", "-q", "-k", "-c", str(CLIENTS), "-n", str(requests), "-p", str(body)]
    command += ["-T", "application/json", "-H", f"Authorization: Bearer {TOKEN}"]
    command += [f"http://127.0.0.1:{front.port}/invocations"]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, complete = (
        re.search(rf"{name}:\s+([\d.]+)", report)
        for name in ("Requests per second", "Complete requests")
    )
    if rate is None or complete is None or int(complete[1]) != requests or "Non-2xx" in report:
        raise RuntimeError(report)
    return float(rate[1])


def answered_until_killed(front: Front, seconds: float) -> int:
    """How many requests got their answer before nginx was killed under load."""
    stop, tallies = threading.Event(), [Tally() for _ in range(CLIENTS)]
    url = f"http://127.0.0.1:{front.port}/invocations"
    clients = [
        threading.Thread(target=ask_until, args=(stop, url, TOKEN, FLOWER, tally))
        for tally in tallies
    ]
    for client in clients:
        client.start()
    time.sleep(seconds)
    of_master = Path(f"/proc/{front.process.pid}/task/{front.process.pid}/children")
    for pid in [front.process.pid, *map(int, of_master.read_text().split())]:
        os.kill(pid, signal.SIGKILL)
    stop.set()
    for client in clients:
        client.join()
    return sum(tally.answers["200 iris/1"] for tally in tallies)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=100_000, help="with the log on")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        place = Path(name)
        os.chdir(place)
        store = Store(f"sqlite:///{place}/mlflow.db", place)
        mlflow.set_tracking_uri(store.uri)
        train.main([])
        production.put_forward("iris", 1, reason="the only one", by="benchmark")
        for folder in (place / "on", place / "off"):
            folder.mkdir()
            for number in (1, 2):
                (folder / f"model-{number}.sock").symlink_to(place / f"model-{number}.sock")
        log = place / "on" / "requests"
        log.mkdir()
        for number in (1, 2):
            stack.enter_context(model_server(store, place, number))
        wait_until(lambda: all(is_up(place, number) for number in (1, 2)))
        with nginx(place / "on") as on, nginx(place / "off") as off:
            fronts = {"on": on, "off": off}
            for front in fronts.values():
                fire(front, 500)  # warm
            each = options.requests // options.rounds
            rates = [
                {kind: fire(fronts[kind], each) for kind in order}
                for number in range(options.rounds)
                for order in [("on", "off") if number % 2 else ("off", "on")]
            ]
        on_rate, off_rate = (statistics.median(rate[kind] for rate in rates) for kind in fronts)
        ratio = statistics.median(rate["on"] / rate["off"] for rate in rates)
        print(f"with the log {on_rate:.0f} requests/s, without {off_rate:.0f}, {ratio=:.3f}")

        model = load_model("models:/iris/1", name)
        begun = time.perf_counter()
        rows = len(read_table(str(log), reader=model.requests).frame)
        seconds = time.perf_counter() - begun
        answered = each * options.rounds + 500
        print(f"{answered} requests answered, {rows} rows read in {seconds:.0f} s")

        lost = []
        for _ in range(options.kills):
            for file in log.iterdir():
                file.unlink()
            with nginx(place / "on") as front:
                answered = answered_until_killed(front, 2)
            lost.append(answered - len(read_table(str(log), reader=model.requests).frame))
        print(json.dumps({"answered and not in the log, at each SIGKILL": lost}))


if __name__ == "__main__":
    main()
