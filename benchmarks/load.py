"""Asks a model server without a pause until told to stop, and counts what comes back.

    python -m benchmarks.load http://127.0.0.1:8080/invocations --token $SERVING_TOKEN

Ends when its standard input does, or after `--seconds`, and prints one JSON object. A request that
got no whole answer is an error and is not sent again, whatever the reason. `http.client` opens a
connection anew where the server said that it closes it.
"""

import argparse
import http.client
import json
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from urllib.parse import urlsplit

FLOWER = json.dumps({"inputs": [[5.1, 3.5, 1.4, 0.2]]})


@dataclass
class Tally:
    """What one client has seen.

    Args:
        answers: by status and version, as `200 iris/3`.
        errors: by the kind of exception.
        seconds: (n_answers,) from sending a request to the end of its answer.
    """

    answers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def ask_until(stop: threading.Event, url: str, token: str, body: str, tally: Tally) -> None:
    """One client, one request at a time, over one connection while the server keeps it."""
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    while not stop.is_set():
        begun = time.perf_counter()
        try:
            connection.request("POST", parts.path, body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            tally.errors[type(error).__name__] += 1
            connection.close()
            time.sleep(
                0.01
            )  # a refused connection fails at once, and would be counted by thousands
            continue
        tally.seconds.append(time.perf_counter() - begun)
        version = answer.headers.get("X-Model-Version", "-")
        tally.answers[f"{answer.status} {version}"] += 1


def summary(tallies: list[Tally], elapsed: float) -> dict[str, Any]:
    """All clients together."""
    seconds = sorted(s for tally in tallies for s in tally.seconds)
    return {
        "answers": dict(sum((tally.answers for tally in tallies), Counter())),
        "errors": dict(sum((tally.errors for tally in tallies), Counter())),
        "per_second": round(len(seconds) / elapsed, 1),
        "median_ms": round(1000 * median(seconds), 2) if seconds else None,
        "p99_ms": round(1000 * seconds[int(len(seconds) * 0.99)], 2) if seconds else None,
        "longest_ms": round(1000 * seconds[-1], 2) if seconds else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("url")
    parser.add_argument("--token", default="")
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--seconds", type=float, help="else until standard input ends")
    parser.add_argument("--body", default=FLOWER)
    options = parser.parse_args()
    stop, tallies = threading.Event(), [Tally() for _ in range(options.concurrency)]
    clients = [
        threading.Thread(
            target=ask_until, args=(stop, options.url, options.token, options.body, tally)
        )
        for tally in tallies
    ]
    begun = time.perf_counter()
    for client in clients:
        client.start()
    if options.seconds is None:
        sys.stdin.read()
    else:
        time.sleep(options.seconds)
    stop.set()
    for client in clients:
        client.join()
    print(json.dumps(summary(tallies, time.perf_counter() - begun)))


if __name__ == "__main__":
    main()
