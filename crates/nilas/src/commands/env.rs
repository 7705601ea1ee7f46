//! `nilas env`: what AWS's tools need to reach the server, as exports for a shell or as a profile.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Map, Value};

use crate::cli::{EnvArgs, ShellSyntax};
use crate::client::{self, Credentials};
use crate::commands::Context;
use crate::env_vars::{self, EnvVar, EnvVars};
use crate::failure::Failure;

#[derive(Debug, thiserror::Error)]
enum EnvError {
    #[error("no root key in {data_dir}", data_dir = data_dir.display())]
    NoKey { data_dir: PathBuf },
    #[error("`{name}` is no profile name")]
    ProfileName { name: String },
    #[error("no home directory to keep {file} in")]
    NoHome { file: &'static str },
    #[error("cannot write {path}", path = path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

pub(crate) fn run(cx: &Context, args: &EnvArgs) -> Result<ExitCode, Failure> {
    // Not AWS_ENDPOINT_URL: after one `eval` it would for ever repeat itself.
    let chosen = cx.endpoint.as_deref().or_else(|| cx.env.get(&env_vars::NILAS_ENDPOINT));
    let endpoint =
        chosen.map_or_else(|| cx.config.endpoint(), |url| url.trim_end_matches('/').to_owned());
    let key = client::root_key(&cx.config.data_dir).ok_or_else(|| no_key(cx))?;
    let region = cx.config.region.as_str();
    if let Some(profile) = &args.profile {
        write_profile(cx, profile, &endpoint, &key, region)?;
        cx.output.note(&format!(
            "wrote profile `{profile}`: aws --profile {profile} lambda list-functions"
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", &key.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &key.secret_access_key),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
        // No tool shall wait for a metadata service that is not there.
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    if cx.output.json {
        let object =
            variables.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
        cx.output.json(&Value::Object(object.collect::<Map<_, _>>()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let shell = args.shell.unwrap_or_else(|| shell_of(&cx.env));
    for (name, value) in variables {
        cx.output.line(&export(shell, name, value))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn no_key(cx: &Context) -> Failure {
    let data_dir = cx.config.data_dir.clone();
    Failure::new(EnvError::NoKey { data_dir }).hint(
        "the first `nilas serve` makes it; if the server runs as another user, run `nilas env` as that user or as root",
    )
}

fn shell_of(env: &EnvVars) -> ShellSyntax {
    match env.get(&env_vars::SHELL) {
        Some(shell) if shell.ends_with("/fish") => ShellSyntax::Fish,
        _ => ShellSyntax::Sh,
    }
}

fn export(shell: ShellSyntax, name: &str, value: &str) -> String {
    match shell {
        ShellSyntax::Sh => format!("export {name}={}", quote(value, r"'\''")),
        ShellSyntax::Fish => format!("set -gx {name} {}", quote(value, r"\'")),
    }
}

/// Quotes only what needs it, so that the usual output stays readable.
fn quote(value: &str, escaped_quote: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=+@%,".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', escaped_quote))
}

fn write_profile(
    cx: &Context,
    name: &str,
    endpoint: &str,
    key: &Credentials,
    region: &str,
) -> Result<(), Failure> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || !name.bytes().all(legal) {
        let failure = Failure::new(EnvError::ProfileName { name: name.to_owned() });
        return Err(failure.hint("a profile name is made of letters, digits, `-`, `_` and `.`"));
    }
    let config = aws_file(&cx.env, &env_vars::AWS_CONFIG_FILE, "config")?;
    let credentials = aws_file(&cx.env, &env_vars::AWS_SHARED_CREDENTIALS_FILE, "credentials")?;
    let section = if name == "default" { name.to_owned() } else { format!("profile {name}") };
    replace_section(&config, &section, &format!("region = {region}\nendpoint_url = {endpoint}\n"))
        .map_err(Failure::new)?;
    let pair = format!(
        "aws_access_key_id = {}\naws_secret_access_key = {}\n",
        key.access_key_id, key.secret_access_key
    );
    replace_section(&credentials, name, &pair).map_err(Failure::new)
}

fn aws_file(env: &EnvVars, var: &EnvVar, file: &'static str) -> Result<PathBuf, Failure> {
    let at_home = || Some(env.path(&env_vars::HOME)?.join(".aws").join(file));
    env.path(var).or_else(at_home).ok_or_else(|| Failure::new(EnvError::NoHome { file }))
}

/// Replaces one section of an INI file and leaves every other line as it is.
fn replace_section(path: &Path, section: &str, body: &str) -> Result<(), EnvError> {
    let failed = |source| EnvError::Write { path: path.to_owned(), source };
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    // Somebody may keep the file elsewhere and link to it: write to where the link points.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let dir = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(failed)?;
    let draft = target.with_extension("nilas-new");
    // Whole file or old file, never half of one; secrets are for the owner's eyes only.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    file.write_all(with_section(&old, section, body).as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&draft, &target).map_err(failed)
}

fn with_section(old: &str, section: &str, body: &str) -> String {
    let mut out = String::new();
    let mut replaced = false;
    let mut ours = false;
    for line in old.lines() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            ours = name.split_whitespace().eq(section.split_whitespace());
            if ours && !replaced {
                replaced = true;
                out.push_str(&format!("[{section}]\n{body}"));
            }
        }
        // Blank lines and comments stay: they may belong to the section that follows.
        if !ours || trimmed.is_empty() || trimmed.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    if !replaced {
        if !out.is_empty() && !out.ends_with("\n\n") {
            out.push('\n');
        }
        out.push_str(&format!("[{section}]\n{body}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use expect_test::expect;

    use super::*;

    #[test]
    fn values_are_quoted_for_the_shell_that_reads_them() {
        assert_eq!(
            export(ShellSyntax::Sh, "A", "http://127.0.0.1:4566"),
            "export A=http://127.0.0.1:4566"
        );
        assert_eq!(export(ShellSyntax::Sh, "A", "it's $x"), r"export A='it'\''s $x'");
        assert_eq!(export(ShellSyntax::Fish, "A", "it's"), r"set -gx A 'it\'s'");
        assert_eq!(export(ShellSyntax::Sh, "A", ""), "export A=''");
    }

    #[test]
    fn only_the_profiles_own_section_changes() {
        let old = "# mine\n[default]\nregion = eu-west-1\n\n[profile nilas]\nregion = x\nold = y\n\n# other\n[profile other]\nregion = z\n";
        expect![[r"
            # mine
            [default]
            region = eu-west-1

            [profile nilas]
            region = us-east-1

            # other
            [profile other]
            region = z
        "]]
        .assert_eq(&with_section(old, "profile nilas", "region = us-east-1\n"));
        expect![[r"
            [a]
            b = c

            [nilas]
            d = e
        "]]
        .assert_eq(&with_section("[a]\nb = c\n", "nilas", "d = e\n"));
    }

    #[test]
    fn a_written_file_is_for_the_owners_eyes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("aws/credentials");
        replace_section(&path, "nilas", "a = b\n").unwrap();
        replace_section(&path, "nilas", "a = c\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "[nilas]\na = c\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
