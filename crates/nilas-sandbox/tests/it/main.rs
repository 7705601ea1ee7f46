//! The sandbox on the real kernel. Run as root it tests both root's sandboxes and an ordinary user's.
//!
//! A test whose feature the host lacks is skipped with a message, and skipped tests are counted at the end.

#![expect(clippy::print_stdout, reason = "a test runner of its own prints its results")]
#![expect(clippy::unwrap_used, reason = "tests end by panics; clippy only knows #[test] functions")]

mod harness;
mod isolation;
mod life;
mod limits;
mod server;

fn main() {
    if std::env::args().nth(1).as_deref() == Some(nilas_sandbox::SPAWNER_ARGUMENT) {
        nilas_sandbox::spawner_main();
    }
    if let Some(role) = server::role() {
        server::play(role);
    }
    let tests: Vec<harness::Test> =
        [isolation::TESTS, limits::TESTS, life::TESTS, server::TESTS].concat();
    harness::run(&tests);
}
