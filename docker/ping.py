"""Prints the version that the model server of this container answers with; fails if none does."""

import http.client
import os
import socket


class Connection(http.client.HTTPConnection):
    """HTTP over the server's Unix socket."""

    def connect(self) -> None:
        """Connects to the socket, whatever the host's name."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.environ["UVICORN_UDS"])


connection = Connection("localhost", timeout=5)
connection.request("GET", "/ping")
answer = connection.getresponse()
if answer.status != 200:
    raise SystemExit(f"the model server answers {answer.status}")
print(answer.headers["X-Model-Version"])
