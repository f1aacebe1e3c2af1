#!/bin/sh
# The gateway with curl alone.
#   GATEWAY_URL=http://localhost:8000 GATEWAY_API_KEY=fgw_… GATEWAY_CHATFLOW=… sh curl.sh
set -eu
url=${GATEWAY_URL:-http://localhost:8000}
chatflow=$GATEWAY_CHATFLOW
session=example-$$
call() { curl --silent --show-error --fail-with-body --header "Authorization: Bearer $GATEWAY_API_KEY" "$@"; }
send() { call --header 'Content-Type: application/json' "$@"; }

echo '# The chatflows you may use'
call "$url/api/v1/chatflows"
echo

echo '# One answer'
send "$url/api/v1/chat/predict" --data "{\"chatflow_id\": \"$chatflow\", \"question\": \"My name is Ada.\", \"session_id\": \"$session\"}"
echo

echo '# The next turn of the same conversation, as it comes'
send --no-buffer "$url/api/v1/chat/predict/stream" \
  --data "{\"chatflow_id\": \"$chatflow\", \"question\": \"What did I say before?\", \"session_id\": \"$session\"}"

echo '# The same on the path that clients of Flowise use'
send "$url/api/v1/prediction/$chatflow" --data "{\"question\": \"Hello\", \"chatId\": \"$session-b\"}"
echo

echo '# What is left'
call "$url/api/v1/chat/credits"
echo
