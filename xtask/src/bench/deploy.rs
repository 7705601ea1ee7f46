//! `cargo xtask bench deploy`: from a `serverless.yml` to a URL that answers, with `nilas deploy` and with osls against the
//! same server, and what an API in front of a function adds to a warm invocation.
//!
//! osls is looked for where `./test.sh` installs it; without it its column is empty.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nilas_load::{Connection, Latencies, Load};

use super::lambda::{ANSWER, BODY, Hello};
use super::target::Nilas;
use super::{Place, WARM_MAX, said};

const OSLS: &str = ".tools/node/node_modules/.bin/osls";
/// Deployments of a new service and redeployments of it, each; the table has the median.
const RUNS: usize = 5;
const MANY_FUNCTIONS: usize = 100;
const WARM_REQUESTS: usize = 5_000;

pub(super) fn run(root: &Path, place: &Place) -> Result<String, String> {
    let nilas = Nilas::start(place)?;
    let osls = Some(root.join(OSLS)).filter(|path| path.exists());
    let bench = Bench { nilas: &nilas, place, osls };
    let text = bench.deployments().and_then(|mut text| {
        text += &bench.front_doors()?;
        Ok(text)
    });
    text.map_err(|error| format!("{error}\n{}", nilas.last_words()))
}

struct Bench<'a> {
    nilas: &'a Nilas,
    place: &'a Place,
    osls: Option<PathBuf>,
}

/// A tool that deploys.
enum Tool<'a> {
    Nilas,
    Osls(&'a Path),
}

impl Bench<'_> {
    fn deployments(&self) -> Result<String, String> {
        let mut text = format!("{:<52} {:>12} {:>12}\n", "", "nilas deploy", "osls deploy");
        let (first, again) = self.service("ours", &Tool::Nilas, RUNS)?;
        let theirs = match &self.osls {
            Some(osls) => Some(self.service("theirs", &Tool::Osls(osls), 1)?),
            None => None,
        };
        let many = self.many(&Tool::Nilas)?;
        let rows = [
            ("one function, new, until its URL answers, p50", first, theirs.map(|times| times.0)),
            ("changed handler, until the URL answers so, p50", again, theirs.map(|times| times.1)),
            ("100 functions, new", many, None),
        ];
        for (what, ours, theirs) in rows {
            let theirs = theirs.map_or_else(|| "-".to_owned(), seconds);
            writeln!(text, "{what:<52} {:>12} {theirs:>12}", seconds(ours))
                .map_err(|e| e.to_string())?;
        }
        Ok(text)
    }

    /// Median times of first deployments and of redeployments, of `runs` services.
    fn service(
        &self,
        prefix: &str,
        tool: &Tool<'_>,
        runs: usize,
    ) -> Result<(Duration, Duration), String> {
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for run in 0..runs {
            let name = format!("{prefix}-{run}");
            let dir = self.project(&name, 1)?;
            let (took, url) = self.deploy(tool, &dir, None)?;
            first.push(took);
            let changed = handler("Changed World");
            fs::write(dir.join("handler.js"), changed).map_err(|e| e.to_string())?;
            again.push(self.deploy(tool, &dir, Some(("Changed World", &url)))?.0);
        }
        Ok((median(first), median(again)))
    }

    fn many(&self, tool: &Tool<'_>) -> Result<Duration, String> {
        let dir = self.project("many", MANY_FUNCTIONS)?;
        Ok(self.deploy(tool, &dir, None)?.0)
    }

    fn project(&self, name: &str, functions: usize) -> Result<PathBuf, String> {
        let dir = self.place.scratch.0.join(name);
        fs::create_dir(&dir).map_err(|e| e.to_string())?;
        let mut service =
            format!("service: {name}\nprovider: {{name: aws, runtime: nodejs20.x}}\nfunctions:\n");
        service += "  hello0: {handler: handler.hello, events: [{http: GET /hello0}]}\n";
        // With a URL for each, a hundred functions are more than the 500 resources of a stack.
        for number in 1..functions {
            service += &format!("  hello{number}: {{handler: handler.hello}}\n");
        }
        fs::write(dir.join("serverless.yml"), service).map_err(|e| e.to_string())?;
        fs::write(dir.join("handler.js"), handler(ANSWER)).map_err(|e| e.to_string())?;
        Ok(dir)
    }

    /// Runs the tool and asks the URL it prints (or the one that is known) until it gives the answer.
    fn deploy(
        &self,
        tool: &Tool<'_>,
        dir: &Path,
        known: Option<(&str, &str)>,
    ) -> Result<(Duration, String), String> {
        let began = Instant::now();
        let output = self.run_tool(tool, dir)?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("the deployment failed:\n{printed}"));
        }
        let url = match known {
            Some((_, url)) => url.to_owned(),
            None => first_url(&printed).ok_or_else(|| format!("no URL in:\n{printed}"))?,
        };
        let wanted = known.map_or(ANSWER, |(wanted, _)| wanted);
        let request = self.request(&url);
        let mut connection = Connection::open(self.nilas.api.address).map_err(said)?;
        loop {
            let (status, body) = connection.exchange(&request).map_err(said)?;
            if status == 200 && String::from_utf8_lossy(body).contains(wanted) {
                return Ok((began.elapsed(), url));
            }
            if began.elapsed() > WARM_MAX {
                return Err(format!("{url} answers {status}: {}", String::from_utf8_lossy(body)));
            }
        }
    }

    fn run_tool(&self, tool: &Tool<'_>, dir: &Path) -> Result<Output, String> {
        let mut command = match tool {
            Tool::Nilas => Command::new(self.place.release.join("nilas")),
            Tool::Osls(path) => Command::new(path),
        };
        let endpoint = format!("http://{}", self.nilas.api.address);
        command
            .arg("deploy")
            .current_dir(dir)
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .env("SLS_TELEMETRY_DISABLED", "1")
            .output()
            .map_err(|e| e.to_string())
    }

    fn request(&self, url: &str) -> Vec<u8> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.split(':').next().unwrap_or_default();
        let port = self.nilas.api.address.port();
        // osls prints the name that the service has on AWS.
        let host = host.replace("amazonaws.com", "localhost");
        format!("GET /{path} HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n").into_bytes()
    }

    /// What a REST and an HTTP API add to the median of a warm invocation.
    fn front_doors(&self) -> Result<String, String> {
        let direct = self.nilas.warm("direct", &Hello::Node)?;
        let dir = self.project("doors", 1)?;
        let service = fs::read_to_string(dir.join("serverless.yml")).map_err(|e| e.to_string())?;
        let service = service
            .replace("{http: GET /hello0}", "{http: GET /hello0}, {httpApi: GET /dev/hello0}");
        fs::write(dir.join("serverless.yml"), service).map_err(|e| e.to_string())?;
        let output = self.run_tool(&Tool::Nilas, &dir)?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let urls = printed.split_whitespace().filter(|word| word.starts_with("http"));
        let mut loads = vec![("Invoke API, p50", direct)];
        for url in urls {
            let what =
                if loads.len() == 1 { "through an API, p50" } else { "through another API, p50" };
            let request = self.request(url);
            let load = Load { address: self.nilas.api.address, request, answer_has: ANSWER };
            nilas_load::cold_start(&load).map_err(said)?;
            loads.push((what, load));
        }
        let mut text = String::new();
        for (what, load) in &loads {
            let latencies: Latencies =
                nilas_load::answer_times(load, WARM_REQUESTS, WARM_MAX).map_err(said)?;
            writeln!(text, "{what:<52} {:>9.3} ms", latencies.p50_ms())
                .map_err(|e| e.to_string())?;
        }
        Ok(text)
    }
}

fn handler(answer: &str) -> String {
    let body = BODY.replace(ANSWER, answer);
    format!("exports.hello = async () => ({{ statusCode: 200, body: '{body}' }});\n")
}

/// Of the first function. osls names the paths of `https` URLs only, and ours is `http`.
fn first_url(printed: &str) -> Option<String> {
    let mut urls = printed.split_whitespace().filter(|word| word.starts_with("http"));
    urls.find_map(|url| {
        let stage = url.ends_with("/dev").then(|| format!("{url}/hello0"));
        stage.or_else(|| url.contains("/dev/hello").then(|| url.to_owned()))
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
