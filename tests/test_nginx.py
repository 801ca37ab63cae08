"""nginx in front of real model servers: errors, limits, TLS.

What needs the containers as well is in test_containers.py.
"""

import json
import re
import resource
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Store
from tests.front import (
    FLOWER,
    NGINX,
    SCORE,
    TOKEN,
    Answer,
    Front,
    crowd,
    is_up,
    model_server,
    nginx,
    read_answer,
    request,
    wait_until,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light)"),
]

DEEP = b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.fixture(scope="module")
def front(served: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 20_000)), hard))
    folder = tmp_path_factory.mktemp("nginx")
    with ExitStack() as stack:
        for number in (1, 2):
            stack.enter_context(model_server(served, folder, number))
        front = stack.enter_context(nginx(folder))
        wait_until(lambda: all(is_up(folder, number) for number in (1, 2)))
        yield front
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def refusal(answer: Answer) -> dict[str, Any]:
    """The body of an error; fails where it has not the one form."""
    assert answer.headers["content-type"] == "application/json"
    body = json.loads(answer.body)
    assert isinstance(body["error_code"], str)
    assert body["error_code"] == body["error_code"].upper()
    assert isinstance(body["message"], str)
    assert len(body["message"]) > 20
    return dict(body)


# --- errors -------------------------------------------------------------------------------------

CHUNKED = {"Transfer_Encoding": "chunked", "Content_Type": "application/json"}
LARGE = str(9 * 2**20)
# what nginx, uvicorn and MLflow can each refuse, by the status of the answer
ERRORS: dict[str, tuple[int, bytes]] = {
    "not HTTP": (400, b"hello\r\n\r\n"),
    "TLS": (400, bytes.fromhex("1603010200010001fc0303") + bytes(40) + b"\r\n"),
    "HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "no host": (400, request("GET /version", Host="")),
    "two hosts": (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    "bad host": (400, request("GET /version", Host="a b/c")),
    "bad length": (400, request("POST /invocations", FLOWER, Content_Length="many")),
    "negative length": (400, request("POST /invocations", FLOWER, Content_Length="-1")),
    "length and chunks": (400, request("POST /invocations", FLOWER, **CHUNKED)),
    "broken chunk": (400, request("POST /invocations", **CHUNKED) + b"zz\r\n"),
    "null byte in a header": (400, b"GET / HTTP/1.1\r\nHost: a\r\nA: b\0\r\n\r\n"),
    "path out of the root": (400, request("GET /../../etc/passwd")),
    "broken JSON": (400, request("POST /invocations", b"{")),
    "deep JSON": (400, request("POST /invocations", DEEP)),
    "null": (400, request("POST /invocations", FLOWER.replace(b"5.1", b"null"))),
    "no token": (401, request("POST /invocations", FLOWER, token="")),
    "no token, version": (401, request("GET /version", token="")),
    "another token": (401, request("POST /invocations", FLOWER, token="x" * len(TOKEN))),
    "token in lower case": (401, request("POST /invocations", FLOWER, token=TOKEN.lower())),
    "token, another point": (401, request("GET /version", token=TOKEN.replace(".", "x"))),
    "token, another plus": (401, request("GET /version", token=TOKEN.replace("+", "d"))),
    "token and more": (401, request("GET /version", token=f"{TOKEN}1")),
    "token without its end": (401, request("GET /version", token=TOKEN[:-1])),
    "token of another scheme": (401, request("GET /version", Authorization=f"Basic {TOKEN}")),
    "unknown path": (404, request("GET /docs")),
    "page of errors": (404, request("GET /error")),
    "way round the token": (404, request("POST /chunked", FLOWER, token="")),
    "GET of predictions": (405, request("GET /invocations")),
    "DELETE": (405, request("DELETE /invocations")),
    "POST of the version": (405, request("POST /version", FLOWER)),
    "POST of a check": (405, request("POST /ping", FLOWER, token="")),
    "TRACE": (405, request("TRACE /version")),
    "CONNECT": (405, b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "too large": (413, request("POST /invocations", FLOWER, Content_Length=LARGE)),
    "too large in chunks": (413, request("POST /invocations", **CHUNKED) + b"900000\r\nx"),
    "large body of a check": (413, request("GET /ping", Content_Length=LARGE)),
    "long address": (414, request(f"GET /{'x' * 40_000}")),
    "no content type": (415, request("POST /invocations", FLOWER, kind="")),
    "another content type": (415, request("POST /invocations", FLOWER, kind="application/xml")),
    "content type not in ASCII": (415, request("POST /invocations", FLOWER, kind="text/\xfc\x01")),
    "long header": (431, request("GET /version", A="x" * 40_000)),
    "many headers": (431, request("GET /version", **{f"A{i}": "x" * 1_000 for i in range(100)})),
    "transfer encoding": (501, request("POST /invocations", Transfer_Encoding="gzip")),
    "HTTP/3": (505, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_has_one_form_and_the_next_request_is_scored(front: Front, name: str) -> None:
    status, raw = ERRORS[name]
    answer = front.ask(raw)
    assert answer.status == status
    refusal(answer)
    assert front.ask(SCORE).status == 200


@pytest.mark.parametrize("raw", [b"hello\r\n\r\n", request("GET /"), request("POST /status", b"1")])
def test_an_error_of_the_counters_has_the_same_form(front: Front, raw: bytes) -> None:
    refusal(front.ask(raw, port=front.status_port))
    counters = front.ask(request("GET /status"), port=front.status_port)
    assert b"server accepts handled requests" in counters.body


def test_an_error_says_what_to_do_in_the_headers_of_http_too(front: Front) -> None:
    assert front.ask(ERRORS["no token"][1]).headers["www-authenticate"] == "Bearer"
    assert front.ask(ERRORS["GET of predictions"][1]).headers["allow"] == "POST"
    assert front.ask(ERRORS["POST of a check"][1]).headers["allow"] == "GET"
    assert front.ask(ERRORS["unknown path"][1]).headers["x-request-id"]


def test_the_log_names_the_method_and_the_path_of_a_refused_request(front: Front) -> None:
    number = front.ask(request("POST /invocations?secret=1", FLOWER, token="")).headers[
        "x-request-id"
    ]
    log = (front.folder / "nginx.log").read_text()
    line = next(line for line in log.splitlines() if f'"request": "{number}"' in line)
    assert json.loads(line) | {
        "method": "POST",
        "path": "/invocations",
        "status": 401,
    } == json.loads(line)
    assert "secret" not in log
    assert TOKEN not in log


def test_without_a_model_server_the_answer_is_503(tmp_path: Path) -> None:
    with nginx(tmp_path) as alone:
        for raw in (SCORE, request("GET /ping", token="")):
            answer = alone.ask(raw)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            refusal(answer)


def test_a_body_in_chunks_is_scored_and_refused_as_one_with_a_length(front: Front) -> None:
    start = request("POST /invocations", **CHUNKED)
    for body, status in [(FLOWER, 200), (FLOWER.replace(b"5.1", b"null"), 400)]:
        chunks = b"".join(b"5\r\n%b\r\n" % body[i : i + 5] for i in range(0, len(body) - 5, 5))
        rest = body[len(body) - (len(body) - 1) % 5 - 1 :]
        chunked = front.ask(start + chunks + b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
        whole = front.ask(request("POST /invocations", body))
        assert chunked.status == whole.status == status
        assert chunked.body == whole.body
        assert chunked.headers["x-model-version"] == "iris/1"


# --- limits -------------------------------------------------------------------------------------

HALF_OPEN = {
    "silent": b"",
    "half a header": SCORE[:40],
    "no body": request("POST /invocations", FLOWER, token="")[: -len(FLOWER)],
    "half a body, wrong token": request("POST /invocations", FLOWER, token="x")[:-10],
    "idle after a check": request("GET /ping", token=""),
}  # fmt: skip
CROWDS = [*((kind, "127.0.0.1") for kind in HALF_OPEN), ("half a body, wrong token", "127.0.0.2")]


@pytest.mark.parametrize(("kind", "source"), CROWDS)
def test_a_crowd_without_a_token_costs_a_client_no_request(
    front: Front, kind: str, source: str
) -> None:
    with crowd(front, HALF_OPEN[kind], source):
        end = time.monotonic() + 4
        answers = Counter(
            front.ask(SCORE).status for _ in iter(lambda: time.monotonic() < end, False)
        )
        assert front.ask(request("GET /version")).status == 200
    assert set(answers) == {200}
    assert answers[200] > 20
    print(f"{kind} from {source}: {answers[200]} requests in 4 s")


def at_once(front: Front, raw: bytes, times: int, source: str) -> Counter[str]:
    """Statuses of so many requests, sent together over one connection."""
    with front.connect(source) as connection:
        connection.sendall(raw * times + request("GET /none", Connection="close"))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    return Counter(re.findall(r"^HTTP/1.1 (\d+)", received.decode(), re.MULTILINE)[:-1])


def test_guesses_are_limited_and_cost_the_right_token_nothing(front: Front) -> None:
    guess = request("GET /version", token="wrong-but-long-enough")
    statuses = at_once(front, guess, 300, "127.0.0.3")
    assert set(statuses) == {"401", "429"}
    assert 50 < statuses["401"] < 100
    assert front.ask(SCORE, "127.0.0.3").status == 200
    assert front.ask(guess, "127.0.0.4").status == 401, "another address has guesses of its own"


def test_more_requests_than_the_rate_allows_are_put_off(tmp_path: Path) -> None:
    with nginx(tmp_path, RATE_LIMIT="1r/s") as slow:
        answers = [slow.ask(SCORE) for _ in range(300)]
    assert set(counted := Counter(answer.status for answer in answers)) == {503, 429}
    assert 200 < counted[503] < 230
    assert refusal(answers[-1])["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert answers[-1].headers["retry-after"] == "1"


def test_a_fifth_large_body_waits_its_turn_and_small_ones_do_not(front: Front) -> None:
    large = request("POST /invocations", FLOWER, Content_Length="1000000")
    with ExitStack() as stack:
        uploads = [stack.enter_context(front.connect()) for _ in range(4)]
        for upload in uploads:
            upload.sendall(large)
        time.sleep(0.5)
        assert front.ask(large).status == 429
        assert front.ask(SCORE).status == 200
        for upload in uploads:
            upload.sendall(b" " * (1_000_000 - len(FLOWER)))
            assert read_answer(upload).status == 200


def test_the_largest_body_is_answered_within_the_deadline(front: Front) -> None:
    """Of the fewest bytes per row, so with the most rows: more than a million."""
    row = b"5,3,1,0\n"
    heading = b"sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n"
    body = heading + row * ((8 * 2**20 - len(heading)) // len(row))
    begun = time.monotonic()
    answer = front.ask(request("POST /invocations", body, kind="text/csv"))
    print(f"{len(body)} bytes, {body.count(row)} rows in {time.monotonic() - begun:.0f} s")
    assert answer.status == 200


# --- TLS ----------------------------------------------------------------------------------------


def shake_hands(front: Front, trusting: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection by TLS; a worker that is just being started may reset the first one."""
    for _ in range(5):
        with suppress(ConnectionResetError):
            return trusting.wrap_socket(front.connect(), server_hostname="localhost")
        time.sleep(0.2)
    raise AssertionError("every connection was reset")


def test_with_a_certificate_the_port_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    key, certificate = tmp_path / "tls" / "key.pem", tmp_path / "tls" / "certificate.pem"
    make = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        f"-addext subjectAltName=DNS:localhost -keyout {key} -out {certificate}"
    )
    subprocess.run(make.split(), check=True, capture_output=True)
    trusting = ssl.create_default_context(cafile=certificate)
    with nginx(tmp_path) as front:
        with shake_hands(front, trusting) as connection:
            connection.sendall(SCORE)
            answer = read_answer(connection)
            assert connection.version() in ("TLSv1.2", "TLSv1.3")
        assert answer.status == 503, "read, and no model server is there"
        refusal(answer)
        plain = front.ask(SCORE)
        assert plain.status == 400
        refusal(plain)


@pytest.mark.parametrize(
    "token", ["short", "with space in it, long", 'quote"quote"quote"', "$remote_addr$remote_addr"]
)
def test_a_token_that_could_be_guessed_or_misread_is_refused_at_the_start(
    tmp_path: Path, token: str
) -> None:
    with pytest.raises(AssertionError, match="SERVING_TOKEN"), nginx(tmp_path, SERVING_TOKEN=token):
        pass
