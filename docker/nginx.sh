#!/bin/sh
# Starts nginx with what nginx.conf cannot take from the environment: the token, the limits, TLS.
set -eu
case $SERVING_TOKEN in
  *[!A-Za-z0-9._~+/=-]*) echo "SERVING_TOKEN may hold letters, digits and ._~+/=- only" >&2; exit 1 ;;
esac
if [ ${#SERVING_TOKEN} -lt 16 ]; then echo "SERVING_TOKEN is shorter than 16 characters" >&2; exit 1; fi
umask 077
# `printf` belongs to the shell, so the token is never an argument that others can list. A plain string
# in a map is compared without regard to case, an expression is not.
token=$(printf '%s' "$SERVING_TOKEN" | sed 's/[.+]/[&]/g')
{
  printf 'map $http_authorization $token_is_right { default 0; "~^(?i:Bearer) +%s$" 1; }\n' "$token"
  printf 'client_max_body_size %s;\n' "$MAX_BODY"
  printf 'limit_req_zone $client zone=rate:10m rate=%s;\n' "$RATE_LIMIT"
} >/tmp/settings.conf
tls=
if [ -s /etc/nginx/tls/certificate.pem ]; then
  tls=ssl
  printf 'ssl_certificate /etc/nginx/tls/certificate.pem;\nssl_certificate_key /etc/nginx/tls/key.pem;\n' >>/tmp/settings.conf
fi
printf 'listen 8080 backlog=4096 %s;\nlisten unix:/tmp/whole.sock;\n' "$tls" >/tmp/listen.conf
rm -f /tmp/whole.sock # a killed nginx leaves it behind
unset SERVING_TOKEN token
exec nginx -e /dev/stderr -c /etc/nginx/serving.conf -g 'daemon off;'
