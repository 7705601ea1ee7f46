//! One line an event or action, for people.

use nilas_model::FunctionKey;

use super::{Action, Concurrency, Event};

/// `f0:$LATEST`
fn key(key: &FunctionKey) -> String {
    format!("{}:{}", key.function.name.as_str(), key.version)
}

fn settings(concurrency: &Concurrency) -> String {
    let reserved = concurrency.reserved.map_or("none".to_owned(), |count| count.to_string());
    let provisioned = concurrency.provisioned.iter().map(|(version, wanted)| {
        format!(", {} of {version} generation {}", wanted.count, wanted.generation)
    });
    format!("reserved {reserved}{}", provisioned.collect::<String>())
}

pub(super) fn event(event: &Event) -> String {
    match event {
        Event::Invoke { ticket, function, generation, memory_bytes } => {
            let key = key(function);
            format!("invoke #{} {key} generation {generation}, {memory_bytes} bytes", ticket.0)
        }
        Event::SandboxStarted { slot } => format!("sandbox started in {}", slot.0),
        Event::Initialized { slot } => format!("initialized {}", slot.0),
        Event::Returned { slot, ticket } => format!("returned {} from #{}", slot.0, ticket.0),
        Event::Rested { slot, memory_bytes } => {
            format!("rested {} holding {memory_bytes} bytes", slot.0)
        }
        Event::Relieve { bytes } => format!("relieve {bytes} bytes"),
        Event::Ended { slot, remains } => format!("ended {} leaving {remains:?}", slot.0),
        Event::Tick => "tick".to_owned(),
        Event::Retire { function, older_than } => {
            format!("retire {} before generation {older_than}", key(function))
        }
        Event::Configure { function, concurrency } => {
            format!("configure {}: {}", function.name.as_str(), settings(concurrency))
        }
        Event::Shutdown => "shut down".to_owned(),
        Event::StopAll => "stop all".to_owned(),
    }
}

pub(super) fn action(action: &Action) -> String {
    match action {
        Action::Start { slot, ticket } => format!("start {} for #{}", slot.0, ticket.0),
        Action::Provision { slot, function } => {
            format!("provision {} of {}", slot.0, key(function))
        }
        Action::Dispatch { slot, ticket, thaw } => {
            let thaw = if *thaw { "thaw, " } else { "" };
            format!("{thaw}dispatch #{} to {}", ticket.0, slot.0)
        }
        Action::Freeze { slot } => format!("freeze {}", slot.0),
        Action::Stop { slot } => format!("stop {}", slot.0),
        Action::Evict { slot, cause } => format!("evict {} for {cause:?}", slot.0),
        Action::TooLarge { ticket } => format!("too large: #{}", ticket.0),
        Action::Throttle { ticket, reason } => format!("throttle #{}: {reason:?}", ticket.0),
        Action::Refuse { ticket } => format!("refuse #{}", ticket.0),
    }
}
