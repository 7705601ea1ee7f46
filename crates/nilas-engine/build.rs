//! Builds `runtimes/fork`, the native part of the bootstraps, for `bootstraps.rs` to embed.
//!
//! Cargo has no stable way to depend on a shared library's file, so this calls it once more, with a target directory
//! of its own: the one in use is locked.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let manifest_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let root = manifest_dir.ancestors().nth(2).expect("crates/nilas-engine").to_path_buf();
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let (host, target) = (variable("HOST"), variable("TARGET"));
    println!("cargo::rerun-if-changed={}", root.join("runtimes/fork").display());

    let mut target_dir = out_dir.join("fork");
    let mut cargo = Command::new(env::var_os("CARGO").expect("set by cargo"));
    cargo
        .args(["build", "--quiet", "--release", "--package", "nilas-fork", "--target-dir"])
        .arg(&target_dir)
        .current_dir(&root)
        // What the outer cargo is doing with its own crates (a lint, a coverage run) is not for this one.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if host != target {
        cargo.args(["--target", &target]);
        target_dir.push(&target);
    }
    let built = cargo.status().unwrap_or_else(|error| panic!("cargo: {error}"));
    assert!(built.success(), "cargo build --package nilas-fork failed");
    let library = target_dir.join("release/libnilas_fork.so");
    assert!(Path::new(&library).exists(), "{} is missing", library.display());
    println!("cargo::rustc-env=NILAS_FORK_LIBRARY={}", library.display());
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is set by cargo"))
}
