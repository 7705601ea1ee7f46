//! Expands SAM templates: one JSON object a line on standard input, `{"template": …, "region": …, "parameters": …}`,
//! and a line for each on standard output, `{"template": …}` or `{"causes": […]}`. For comparing with AWS's translator.

use std::io::{BufRead, Write};

use nilas_deploy::sam::{Settings, transform};
use serde_json::{Value, json};

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let settings = Settings {
            region: request["region"].as_str().unwrap_or("us-east-1").to_owned(),
            parameters: request["parameters"].as_object().cloned().unwrap_or_default(),
            now_s: 0,
        };
        let answer = match transform(&request["template"], &settings) {
            Ok(template) => json!({ "template": template }),
            Err(error) => json!({ "causes": error.causes }),
        };
        writeln!(out, "{answer}")?;
    }
    Ok(())
}
