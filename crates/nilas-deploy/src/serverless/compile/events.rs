//! Entries of `events`: what invokes a function.

use super::super::json::{items, members};
use super::{Compiler, Problem};

pub(super) fn compile(c: &mut Compiler<'_>) -> Result<(), Problem> {
    for function in c.functions.iter() {
        let Some(event) = items(&function.config["events"]).first() else { continue };
        let kind = event.as_str().or_else(|| members(event).next().map(|(kind, _)| kind));
        let kind = kind.unwrap_or_default();
        return Err(c.problem(
            &["functions", &function.key, "events", "0", kind],
            format!(
                "Function \"{}\" has an event \"{kind}\", which nilas does not read",
                function.key
            ),
        ));
    }
    Ok(())
}
