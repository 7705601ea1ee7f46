//! Compiles the service in a directory and prints its template: for comparing it with what the Framework makes.
//!
//! `compile_service DIRECTORY [ARCHIVES [OPTION=VALUE …]]`: archives are looked for in `ARCHIVES` by their names, for
//! their hashes.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nilas_deploy::serverless::{
    Answer, Answers, Artifact, Loaded, Question, Release, Service, load,
};
use sha2::{Digest as _, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let archives = arguments.next().unwrap_or_default();
    let options = arguments.filter_map(|argument| {
        argument.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
    });
    let service = service(Path::new(&directory), options.collect())?;
    let artifacts = service.packages.iter().map(|package| {
        let bytes = std::fs::read(Path::new(&archives).join(&package.name)).unwrap_or_default();
        let key = format!("serverless/{}/{}/TIME/{}", service.name, service.stage, package.name);
        (package.name.clone(), Artifact { key, sha256: STANDARD.encode(Sha256::digest(bytes)) })
    });
    let release = Release { id: "TIME".to_owned(), artifacts: artifacts.collect() };
    let compiled = service.template(&release)?;
    #[expect(clippy::print_stdout, reason = "this is all it does")]
    {
        println!("{}", serde_json::to_string_pretty(&compiled.template)?);
    }
    Ok(())
}

fn service(
    directory: &Path,
    options: BTreeMap<String, String>,
) -> Result<Box<Service>, Box<dyn Error>> {
    let source = std::fs::read_to_string(directory.join("serverless.yml"))?;
    let env = std::env::vars().collect();
    let mut answers = Answers { env, options, ..Answers::default() };
    loop {
        let questions = match load("serverless.yml", &source, &answers)? {
            Loaded::Service(service) => return Ok(service),
            Loaded::Asks(questions) => questions,
        };
        for question in questions {
            let answer = match &question {
                Question::File(path) => std::fs::read(directory.join(path)).ok().map(Answer::Bytes),
                _ => None,
            };
            answers.known.insert(question, answer.unwrap_or(Answer::Missing));
        }
    }
}
