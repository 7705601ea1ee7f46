#!/usr/bin/env bash
# Thirty seconds of nilas: installs what is missing, builds, starts a server on a free port with a data directory of
# its own, deploys a function with the unmodified AWS CLI, invokes it and shows the answer. Leaves nothing running.
set -euo pipefail
ROOT="$(cd "$(dirname "$0")" && pwd)"
cd "$ROOT"
. scripts/setup.sh

ensure_build_tools
ensure_network_tools
ensure_python_tools scripts/requirements-demo.txt
ensure_node
say "building nilas"
cargo build --quiet --release --package nilas
NILAS="$ROOT/target/release/nilas"
AWS="$VENV/bin/aws"

WORK="$(mktemp -d)"
chmod 755 "$WORK"
SERVER=""
cleanup() {
  [ $? = 0 ] || { printf '\nThe server said:\n' >&2; tail -20 "$WORK/log" >&2 || true; }
  [ -z "$SERVER" ] || { kill "$SERVER" 2>/dev/null; wait "$SERVER" 2>/dev/null || true; }
  rm -rf "$WORK"
}
trap cleanup EXIT

PORT="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
show() { printf '\n\033[1;36m$ %s\033[0m\n' "$*"; "$@"; }

say "starting nilas serve on port $PORT"
"$NILAS" serve --listen "127.0.0.1:$PORT" --data-dir "$WORK/data" 2>"$WORK/log" &
SERVER=$!
for _ in $(seq 100); do
  curl -fsS -o /dev/null "http://127.0.0.1:$PORT/health" 2>/dev/null && break
  kill -0 "$SERVER" 2>/dev/null || { cat "$WORK/log" >&2; fail "nilas did not start" "run target/release/nilas doctor"; }
  sleep 0.05
done

export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_PAGER=
eval "$("$NILAS" env --data-dir "$WORK/data" --endpoint "http://127.0.0.1:$PORT")"
cd "$WORK"
cat >1_hello_world.js <<'JS'
module.exports.handler = (event, context, callback) => {
  callback(null, "Hello World");
};
JS
python3 -m zipfile -c 1_hello_world.zip 1_hello_world.js

show "$AWS" lambda create-function --function-name 1_hello_world --runtime nodejs8.10 \
  --role arn:aws:iam::299928122988:role/lambda_basic_execution \
  --handler 1_hello_world.handler --zip-file fileb://1_hello_world.zip \
  --query '[FunctionArn,Runtime,State]' --output text
show "$AWS" lambda wait function-active-v2 --function-name 1_hello_world
show "$AWS" lambda invoke --function-name 1_hello_world answer.json --output text
printf '\nThe function answered: '
cat answer.json
printf '\n\nIts log:\n'
"$NILAS" logs 1_hello_world --endpoint "http://127.0.0.1:$PORT" --data-dir "$WORK/data"
