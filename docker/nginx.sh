#!/bin/sh
# Starts nginx with what nginx.conf cannot take from the environment: the token and the limits.
set -eu
case $SERVING_TOKEN in
  *[!A-Za-z0-9._~+/=-]*) echo "SERVING_TOKEN may hold letters, digits and ._~+/=- only" >&2; exit 1 ;;
esac
if [ ${#SERVING_TOKEN} -lt 16 ]; then echo "SERVING_TOKEN is shorter than 16 characters" >&2; exit 1; fi
umask 077
# `printf` belongs to the shell, so the token is never an argument that others can list.
printf 'map $http_authorization $token_is_right { default 0; "Bearer %s" 1; }\n' "$SERVING_TOKEN" >/tmp/settings.conf
printf 'client_max_body_size %s;\n' "$MAX_BODY" >>/tmp/settings.conf
printf 'limit_req_zone $binary_remote_addr zone=clients:10m rate=%s;\n' "$RATE_LIMIT" >>/tmp/settings.conf
unset SERVING_TOKEN
exec nginx -e /dev/stderr -c /etc/nginx/serving.conf -g 'daemon off;'
