#!/bin/sh
# Replaces the gateways of the profile `scale` one after the other: each leaves the load balancer first, ends the
# streams it has within DRAIN_SECONDS, and comes back when its successor is ready. No request fails.
set -eu
cd "$(dirname "$0")/../.."
gateways='gateway-1 gateway-2 gateway-3'

compose() {
  docker compose --profile scale "$@"
}

# A command of HAProxy's administration, which listens inside its container only.
administer() {
  compose exec -T load-balancer sh -c "echo '$1' | nc 127.0.0.1 9999"
}

wait_until_ready() {
  attempts=60
  until administer 'show stat ready -1 -1' | grep "^ready,$1," | grep -q ',UP,'; do
    attempts=$((attempts - 1))
    if [ "$attempts" -eq 0 ]; then
      echo "$1 is not ready: the others are left as they are." >&2
      exit 1
    fi
    sleep 1
  done
}

# shellcheck disable=SC2086 # a list of names
compose build $gateways
for gateway in $gateways; do
  administer "set server ready/$gateway state drain"
  # Whatever happens, the next one is only touched while this one serves.
  compose up -d --no-deps --wait "$gateway"
  administer "set server ready/$gateway state ready"
  wait_until_ready "$gateway"
done
