"""Prints the version that the model server of this container answers with; fails if none does."""

import http.client
import os
import socket


class Connection(http.client.HTTPConnection):
    """HTTP over a server's Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connects to the socket, whatever the host's name."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def main() -> None:
    """Asks once."""
    connection = Connection(os.environ["UVICORN_UDS"], timeout=5)
    connection.request("GET", "/ping")
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"the model server answers {answer.status}")
    print(answer.headers["X-Model-Version"])


if __name__ == "__main__":
    main()
