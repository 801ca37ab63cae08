#!/bin/sh
# Brings the version that is in Production now up behind nginx, one model server after the other.
#
#   docker/rollover.sh
#
# After a promotion and after a rollback alike. A server that stops finishes what it was asked, and nginx
# asks the other one meanwhile. Should the new version not come up, the second server goes on with
# the old one and this ends with status 1.
set -eu
cd "$(dirname "$0")/.."
if docker compose version >/dev/null 2>&1; then compose="docker compose"; else compose=docker-compose; fi
seconds=${ROLLOVER_TIMEOUT:-180}

ping() { $compose exec -T "$1" python /srv/ping.py 2>/dev/null; }

for server in model-1 model-2; do
  before=$(ping "$server" || echo nothing)
  started=$(date +%s)
  # A new container, so that a newly built image is taken, too.
  $compose up -d --no-deps --force-recreate "$server" >/dev/null 2>&1
  until after=$(ping "$server"); do
    if [ $(($(date +%s) - started)) -gt "$seconds" ]; then
      echo "$server does not come up; the other server goes on. Its log ends with:" >&2
      $compose logs --tail 5 "$server" >&2
      exit 1
    fi
    sleep 0.5
  done
  echo "$server: $before -> $after in $(($(date +%s) - started)) s"
done
