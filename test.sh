#!/usr/bin/env bash
# Installs what is missing and runs every test: Rust unit and kernel tests, the runtimes' tests, then the end-to-end
# tests, which drive the built binary with AWS's own clients. Finishes by itself, without a terminal.
# Arguments go to the end-to-end tests: ./test.sh -k hostile
# `./test.sh tools` runs all deploy tools that are to work unmodified, and nothing else; without it the fastest two run.
set -euo pipefail
ROOT="$(cd "$(dirname "$0")" && pwd)"
cd "$ROOT"
. scripts/setup.sh

ensure_build_tools
need git git
ensure_network_tools
apt_install iptables || true # What nilas makes do with where nft is missing; without it those tests are skipped.
ensure_python_tools scripts/requirements-test.txt
ensure_node
ensure_aws_v2

if [ "${1:-}" = tools ]; then
  shift
  ensure_all_deploy_tools
  cargo build --quiet --package nilas
  say "deploy tools"
  NILAS_BIN="$ROOT/target/debug/nilas" \
    "$VENV/bin/python" -m pytest -q -n 2 --dist loadfile -p no:cacheprovider tests/e2e/tools "$@"
  exit
fi
ensure_fast_deploy_tools

say "formatting, tidy and lints"
cargo fmt --all --check
cargo build --quiet --workspace --all-targets
cargo xtask tidy
cargo clippy --quiet --workspace --all-targets -- -D warnings

say "Rust tests"
PATH="$VENV/bin:$PATH" cargo test --quiet --workspace

say "runtime bootstraps"
NILAS_TEST_AWS_PYTHON="$VENV/bin/python" "$VENV/bin/python" -m unittest discover -s runtimes/tests -p 'test_*.py'

say "SAM templates, beside AWS's translator"
"$VENV/bin/python" tests/sam/compare.py target/debug/examples/sam_transform
"$VENV/bin/python" tests/sam/compare.py target/debug/examples/sam_transform invented 300 0

say "end-to-end tests"
NILAS_BIN="$ROOT/target/debug/nilas" NILAS_EXAMPLES_BIN="$ROOT/target/debug" \
  "$VENV/bin/python" -m pytest -q -n 2 --dist loadgroup -p no:cacheprovider tests/e2e "$@"
