"""Work that never ends, for worker processes, which import it by name."""

import time
from typing import Any


def endless(*_: Any, **__: Any) -> Any:
    while True:
        time.sleep(0.05)
