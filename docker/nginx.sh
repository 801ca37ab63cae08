#!/bin/sh
# Starts nginx with what nginx.conf cannot take from the environment: the token, the limits, TLS,
# the log of requests.
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
: >/tmp/modules.conf
tls=
if [ -s /etc/nginx/tls/certificate.pem ]; then
  tls=ssl
  printf 'ssl_certificate /etc/nginx/tls/certificate.pem;\nssl_certificate_key /etc/nginx/tls/key.pem;\n' >>/tmp/settings.conf
fi
printf 'listen 8080 backlog=4096 %s;\nlisten unix:/tmp/whole.sock;\n' "$tls" >/tmp/listen.conf
rm -f /tmp/whole.sock # a killed nginx leaves it behind
unset SERVING_TOKEN token
if [ -d /var/log/requests ]; then
  if [ ! -w /var/log/requests ]; then echo "REQUEST_LOG: user $(id -u) cannot write to the folder" >&2; exit 1; fi
  case $REQUEST_LOG_DAYS in
    ''|0*|*[!0-9]*) echo "REQUEST_LOG_DAYS must be a number of days, at least 1" >&2; exit 1 ;;
  esac
  kept='$request_body'
  if [ -n "$REQUEST_LOG_DROP$REQUEST_LOG_HASH" ]; then
    if [ -n "$REQUEST_LOG_HASH" ] && [ ${#REQUEST_LOG_KEY} -lt 16 ]; then
      echo "REQUEST_LOG_KEY is shorter than 16 characters; REQUEST_LOG_HASH needs it" >&2; exit 1
    fi
    kept='$thin_body'
    printf 'load_module modules/ngx_http_js_module.so;\nenv REQUEST_LOG_DROP;\nenv REQUEST_LOG_HASH;\nenv REQUEST_LOG_KEY;\n' >/tmp/modules.conf
    printf 'js_import requests from /etc/nginx/request_log.js;\njs_set $thin_body requests.body;\n' >>/tmp/settings.conf
  fi
  {
    printf 'client_body_buffer_size %s;\n' "$REQUEST_LOG_BODY"
    printf 'map "" $body_to_log { default %s; }\n' "$kept"
    printf 'map $request_body $body_is_unfit { default "columns cannot be left out of it"; "" "larger than %s"; }\n' "$REQUEST_LOG_BODY"
    printf 'include /etc/nginx/request_log.conf;\n'
  } >>/tmp/settings.conf
  umask 027 # a folder with the bit setgid gives its files to a group, which may read them
  while kill -0 $$ 2>/dev/null; do # for as long as nginx, which takes over this process
    find /var/log/requests -name '*.requests.jsonl*' -mmin +$((REQUEST_LOG_DAYS * 1440)) -exec rm -f {} +
    sleep 60
  done &
fi
exec nginx -e /dev/stderr -c /etc/nginx/serving.conf -g 'daemon off;'
