"""From nothing to a served prediction, as a newcomer does it: in a fresh container.

    python -m benchmarks.newcomer

Needs an engine with Docker's command line. The container has Python 3.12, git and curl, and none of
the packages; it clones the last commit and follows the README word for word: the first block, the
server, the first request; then the blocks of "Your own table", that model's server, a request of
its rows. Wall-clock seconds by the container's clock, downloads included.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "python:3.12-slim"
PREPARE = "apt-get update -qq && apt-get install -y -qq --no-install-recommends git curl >/dev/null"
STEPS = """
set -euo pipefail
cd "$(mktemp -d)"
begun=$(date +%s.%N)
mark() {{ printf "\\n%s\\n" "mark $(date +%s.%N) $begun $*"; }}
serve() {{
  "$@" >server.log 2>&1 & server=$!
  until curl -sf localhost:5000/ping; do sleep 0.2; done
}}
git config --global --add safe.directory '*'
git clone -q /source project && cd project
mark "clone"
{install}
mark "the first command: installed, iris in Production"
serve {serve}
{ask} | tee answer.json && grep -q '"prediction": *"setosa"' answer.json
mark "a prediction for iris, served"
kill $server; wait $server || true
begun=$(date +%s.%N)
{own}
mark "a table of one's own in Production"
serve {serve_own}
head -3 wine.csv > rows.csv
curl -sf localhost:5000/invocations -H 'Content-Type: text/csv' --data-binary @rows.csv \\
  > answer.json
grep -q '"prediction": *' answer.json
mark "a prediction for it, served"
kill $server
"""


def script() -> str:
    """The README's blocks with a clock between them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [block.strip() for block in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)]
    [serve] = [block for block in blocks if block.startswith("mlflow models serve")]
    return STEPS.format(
        install=blocks[0],
        serve=serve,
        ask=next(block for block in blocks if "dataframe_split" in block),
        own=next(block for block in blocks if "wine.csv" in block),
        serve_own=serve.replace("/iris@", "/wine@"),
    )


def main() -> None:
    name = "newcomer"
    start = ["docker", "run", "-d", "--rm", "--name", name, "-v", f"{ROOT}:/source:ro", IMAGE]
    subprocess.run([*start, "sleep", "3600"], check=True, stdout=subprocess.DEVNULL)
    try:
        inside = ["docker", "exec", "-i", name, "bash", "-c"]
        subprocess.run([*inside, PREPARE], check=True)
        ended = subprocess.run([*inside, script()], stdout=subprocess.PIPE, text=True, check=False)
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=False, stdout=subprocess.DEVNULL)
    print("| from the start | seconds |\n|---|---|")
    for at, begun, what in re.findall(r"^mark (\S+) (\S+) (.*)$", ended.stdout, re.M):
        print(f"| {what} | {float(at) - float(begun):.0f} |")
    if ended.returncode:
        sys.exit(f"the newcomer's path failed:\n{ended.stdout[-2000:]}")


if __name__ == "__main__":
    main()
