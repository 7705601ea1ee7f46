//! `nilas metrics`: how often the project's functions ran, failed, were throttled, and how long they took.

use std::process::ExitCode;

use nilas_model::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::cli::MetricsArgs;
use crate::client::{Client, ClientError};
use crate::commands::Context;
use crate::failure::Failure;
use crate::output::table;
use crate::project;

const MONITORING: &str = "GraniteServiceVersion20100801";
/// Metric, and the statistic of it that is shown.
const METRICS: [(&str, &str); 4] =
    [("Invocations", "Sum"), ("Errors", "Sum"), ("Throttles", "Sum"), ("Duration", "Average")];

pub(crate) async fn run(cx: &Context, args: &MetricsArgs) -> Result<ExitCode, Failure> {
    let (project, client) = project::load(cx, &args.project).await?;
    let now_s = SystemClock::new().epoch_ms() / 1_000;
    let from_s = now_s.saturating_sub(args.since / 1_000);
    let mut rows = Vec::new();
    for function in &project.functions {
        if args.function.as_ref().is_some_and(|wanted| *wanted != function.key) {
            continue;
        }
        let name = project.function_name(&client, &function.key).await?;
        let mut row = vec![function.key.clone()];
        for (metric, statistic) in METRICS {
            let value = metric_of(&client, &name, metric, statistic, from_s, now_s).await?;
            row.push(value);
        }
        rows.push(row);
    }
    if let Some(key) = args.function.as_ref().filter(|_| rows.is_empty()) {
        project.function(key)?;
    }
    if cx.output.json {
        let rows: Vec<Value> = rows.iter().map(|row| as_json(row)).collect();
        cx.output.json(&rows.into())?;
    } else {
        let header = ["FUNCTION", "INVOCATIONS", "ERRORS", "THROTTLES", "DURATION (MS)"];
        cx.output.line(&table(&header, rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(row: &[String]) -> Value {
    let mut object = json!({ "function": row[0] });
    for ((metric, _), value) in METRICS.iter().zip(&row[1..]) {
        object[metric.to_ascii_lowercase()] = value.parse::<f64>().map_or(Value::Null, Value::from);
    }
    object
}

/// One number over the whole time.
async fn metric_of(
    client: &Client,
    function: &str,
    metric: &str,
    statistic: &str,
    from_s: u64,
    to_s: u64,
) -> Result<String, ClientError> {
    let period_s = (to_s - from_s).div_ceil(60).max(1) * 60;
    let request = json!({
        "Namespace": "AWS/Lambda",
        "MetricName": metric,
        "Dimensions": [{ "Name": "FunctionName", "Value": function }],
        "StartTime": from_s,
        "EndTime": to_s + 60,
        "Period": period_s,
        "Statistics": [statistic],
    });
    let target = format!("{MONITORING}.GetMetricStatistics");
    let answer = client.target("monitoring", &target, &request).await?;
    let points = answer["Datapoints"].as_array().cloned().unwrap_or_default();
    let values = points.iter().filter_map(|point| point[statistic].as_f64());
    Ok(match statistic {
        "Sum" => format!("{}", values.sum::<f64>()),
        _ => {
            let values: Vec<f64> = values.collect();
            let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
            if values.is_empty() { "-".to_owned() } else { format!("{mean:.2}") }
        }
    })
}
