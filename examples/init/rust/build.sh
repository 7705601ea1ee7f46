#!/bin/sh
# Builds the executable that the template deploys.
set -e
cargo build --release
mkdir -p dist
cp target/release/hello dist/bootstrap
