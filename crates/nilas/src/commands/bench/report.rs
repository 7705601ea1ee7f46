//! The figures as a table and as JSON.

use nilas_load::Latencies;
use serde_json::{Value, json};

use super::{CONNECTIONS, Figures};
use crate::cli::BenchArgs;
use crate::output;

/// A column a runtime.
pub(super) fn table(args: &BenchArgs, all: &[Figures]) -> String {
    let mut header = vec![String::new()];
    header.extend(all.iter().map(|figures| figures.language.to_string().to_uppercase()));
    let row = |what: &str, cell: &dyn Fn(&Figures) -> Option<String>| {
        let mut row = vec![what.to_owned()];
        row.extend(all.iter().map(|figures| cell(figures).unwrap_or_else(|| "-".to_owned())));
        row
    };
    let bare = |figure: fn(&Latencies) -> f64| {
        move |figures: &Figures| figures.bare.as_ref().map(|bare| ms(figure(bare)))
    };
    let ratio = |figure: fn(&Latencies) -> f64| {
        move |figures: &Figures| {
            let bare = figures.bare.as_ref()?;
            Some(format!("{:.2}", figure(&figures.cold) / figure(bare)))
        }
    };
    let functions = args.at_once;
    let rows = vec![
        row("cold start, p50", &|f| Some(ms(f.cold.p50_ms()))),
        row("cold start, p99", &|f| Some(ms(f.cold.p99_ms()))),
        row("bare interpreter, p50", &bare(Latencies::p50_ms)),
        row("bare interpreter, p99", &bare(Latencies::p99_ms)),
        row("cold start / bare, p50", &ratio(Latencies::p50_ms)),
        row("cold start / bare, p99", &ratio(Latencies::p99_ms)),
        row(&format!("{functions} functions cold at once, all"), &|f| {
            Some(ms(f.at_once.wall.as_secs_f64() * 1e3))
        }),
        row(&format!("{functions} functions cold at once, p50"), &|f| {
            Some(ms(f.at_once.latencies.p50_ms()))
        }),
        row("warm, 1 connection, p50", &|f| Some(ms(f.warm.p50_ms()))),
        row("warm, 1 connection, p99", &|f| Some(ms(f.warm.p99_ms()))),
        row(&format!("warm, {CONNECTIONS} connections"), &|f| {
            Some(format!("{:.0}/s", f.answers_per_s))
        }),
    ];
    output::table(&header.iter().map(String::as_str).collect::<Vec<_>>(), rows)
}

pub(super) fn json(args: &BenchArgs, all: &[Figures]) -> Value {
    let quantiles = |latencies: &Latencies| json!({ "p50": rounded(latencies.p50_ms()), "p99": rounded(latencies.p99_ms()) });
    let one = |figures: &Figures| {
        json!({
            "runtime": figures.runtime,
            "cold_ms": quantiles(&figures.cold),
            "bare_ms": figures.bare.as_ref().map(quantiles),
            "at_once": {
                "functions": args.at_once,
                "wall_ms": rounded(figures.at_once.wall.as_secs_f64() * 1e3),
                "ms": quantiles(&figures.at_once.latencies),
            },
            "warm_ms": quantiles(&figures.warm),
            "throughput": { "connections": CONNECTIONS, "answers_per_s": rounded(figures.answers_per_s) },
        })
    };
    Value::Array(all.iter().map(one).collect())
}

fn ms(figure: f64) -> String {
    format!("{figure:.2} ms")
}

/// To a thousandth: what is beyond is noise.
fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;
    use nilas_load::Burst;

    use super::*;
    use crate::commands::bench::functions::Language;

    fn of(ms: &[u64]) -> Latencies {
        ms.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn a_column_a_runtime_and_a_dash_for_what_this_machine_lacks() {
        let figures = |language, runtime, bare| Figures {
            language,
            runtime,
            cold: of(&[4, 5, 6]),
            bare,
            at_once: Burst { wall: Duration::from_millis(80), latencies: of(&[30, 40, 80]) },
            warm: of(&[1, 1, 2]),
            answers_per_s: 20_123.4,
        };
        let all = [
            figures(Language::Node, "nodejs22.x", Some(of(&[50, 50, 60]))),
            figures(Language::Python, "python3.13", None),
        ];
        let args = BenchArgs { cold_starts: 3, at_once: 3, requests: 3, seconds: 1 };
        expect![[r#"
                                           NODE      PYTHON
            cold start, p50                5.00 ms   5.00 ms
            cold start, p99                6.00 ms   6.00 ms
            bare interpreter, p50          50.00 ms  -
            bare interpreter, p99          60.00 ms  -
            cold start / bare, p50         0.10      -
            cold start / bare, p99         0.10      -
            3 functions cold at once, all  80.00 ms  80.00 ms
            3 functions cold at once, p50  40.00 ms  40.00 ms
            warm, 1 connection, p50        1.00 ms   1.00 ms
            warm, 1 connection, p99        2.00 ms   2.00 ms
            warm, 16 connections           20123/s   20123/s"#]]
        .assert_eq(&table(&args, &all));
        expect![[r#"[{"runtime":"python3.13","cold_ms":{"p50":5.0,"p99":6.0},"bare_ms":null,"at_once":{"functions":3,"wall_ms":80.0,"ms":{"p50":40.0,"p99":80.0}},"warm_ms":{"p50":1.0,"p99":2.0},"throughput":{"connections":16,"answers_per_s":20123.4}}]"#]].assert_eq(&json(&args, &all[1..]).to_string());
    }
}
