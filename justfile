# The menu; xtask and test.sh are the code.

default:
    @just --list

# Format, lint and test what changed fast.
dev:
    cargo fmt --all
    cargo clippy --workspace --all-targets
    cargo xtask tidy
    cargo test --workspace

# Exactly what CI runs.
ci:
    .ci/run

# End-to-end tests whose name matches.
e2e filter="":
    ./test.sh -k "{{filter}}"

bench:
    cargo xtask bench

# nilas beside other ways to run functions locally.
bench-peers:
    cargo xtask bench peers

# So many idle environments at once: memory of each, and how soon a frozen one answers.
density environments="2000":
    cargo xtask density {{environments}}

# A server under abuse, and what it leaves behind.
soak invocations="20000" seed="1":
    cargo xtask soak {{invocations}} {{seed}}

# One run of the pool's simulation, step by step.
sim seed steps="150":
    cargo xtask sim {{seed}} {{steps}}

# A server with its data in ./target/data.
serve:
    cargo run -p nilas -- serve --data-dir target/data
