//! What a command says when it fails: `error:` one line, the causes, then `hint:`.

use std::error::Error;
use std::fmt;
use std::io::Write;

use crate::output::harmless;

/// A failed command, ready to be shown.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error + Send + Sync>,
    /// Lines below the error that are no causes, such as a function's trace; shown as they are.
    details: Vec<String>,
    hints: Vec<String>,
}

impl Failure {
    pub(crate) fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { error: error.into(), details: Vec::new(), hints: Vec::new() }
    }

    pub(crate) fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// What somebody could do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A reader of our output went away, as in `nilas function list | head -1`: that is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let mut next: Option<&(dyn Error + 'static)> = Some(&*self.error);
        while let Some(error) = next {
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
            {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// Writes the failure to `out`, which is stderr but in tests. Parts of it may be a function's words.
    pub(crate) fn show(&self, out: &mut dyn Write, color: bool) -> std::io::Result<()> {
        let mut last = self.error.to_string();
        writeln!(out, "{} {}", paint(color, "1;31", "error:"), harmless(&last))?;
        let mut next = self.error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if text != last {
                writeln!(out, "  caused by: {}", harmless(&text))?;
            }
            last = text;
            next = cause.source();
        }
        for line in &self.details {
            writeln!(out, "{}", harmless(line))?;
        }
        for hint in &self.hints {
            writeln!(out, "{} {hint}", paint(color, "1;36", "hint:"))?;
        }
        Ok(())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

/// Shows an error with everything below it on one line, for log fields.
#[derive(Debug)]
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

fn paint(color: bool, code: &str, text: &str) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the configuration file /etc/nilas/nilas.toml")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_is_followed_by_its_causes_and_its_hints() {
        let failure =
            Failure::new(Outer(std::io::Error::other("permission denied"))).hint("run it as root");
        let mut out = Vec::new();
        failure.show(&mut out, false).unwrap();
        expect![[r"
            error: cannot read the configuration file /etc/nilas/nilas.toml
              caused by: permission denied
            hint: run it as root
        "]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_reader_that_went_away_is_recognised_below_the_surface() {
        let gone = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(Failure::new(Outer(gone)).is_broken_pipe());
        assert!(!Failure::new(Outer(std::io::Error::other("x"))).is_broken_pipe());
    }
}
