//! `nilas config`: the effective configuration and where each value came from.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::commands::Context;
use crate::config::{Setting, Source};
use crate::failure::Failure;
use crate::output::{Output, table};

pub(crate) fn run(cx: &Context) -> Result<ExitCode, Failure> {
    if cx.output.json {
        cx.output.json(&as_json(&cx.config.settings))?;
    } else {
        cx.output.line(&as_table(&cx.config.settings, cx.output))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_table(settings: &[Setting], output: Output) -> String {
    let row = |setting: &Setting| {
        let source = setting.source.to_string();
        let source = if setting.source == Source::Default { output.dim(&source) } else { source };
        vec![setting.name.clone(), setting.value.clone(), source]
    };
    table(&["KEY", "VALUE", "SOURCE"], settings.iter().map(row).collect())
}

fn as_json(settings: &[Setting]) -> Value {
    let entries = settings.iter().map(|setting| {
        (
            setting.name.clone(),
            json!({ "value": setting.value, "source": setting.source.to_string() }),
        )
    });
    Value::Object(entries.collect::<Map<_, _>>())
}
