//! The pages of `docs/reference` that follow from the code. Tests write them with `UPDATE_EXPECT=1 cargo test -p nilas`
//! and fail when they have fallen behind.

use std::fmt::Write as _;

use expect_test::expect_file;

use crate::cli;
use crate::config::keys::{self, Host};
use crate::env_vars::{self, EnvVars};

#[test]
fn the_configuration_page_is_up_to_date() {
    expect_file!["../../../docs/reference/configuration.md"].assert_eq(&configuration());
}

#[test]
fn the_command_line_page_is_up_to_date() {
    expect_file!["../../../docs/reference/command-line.md"].assert_eq(&command_line());
}

fn configuration() -> String {
    let env = EnvVars::of(&[(&env_vars::HOME, "~")]);
    let (root, user) = (Host { root: true, env: &env }, Host { root: false, env: &env });
    let mut page = "\
# Configuration

A flag of `nilas serve` comes before an environment variable, before `nilas.toml`, before the default. `nilas config` \
prints the effective values and where each comes from. The file is `/etc/nilas/nilas.toml` for root, \
`~/.config/nilas/nilas.toml` for other users, or the one named by `--config`; an unknown key in it is an error.

| key | environment variable | takes | default |
| --- | --- | --- | --- |
"
    .to_owned();
    for key in keys::ALL {
        let (for_root, for_user) = ((key.default)(&root), (key.default)(&user));
        let default = if for_root == for_user {
            format!("`{for_root}`")
        } else {
            format!("`{for_root}` for root, else `{for_user}`")
        };
        writeln!(page, "| `{}` | `{}` | {} | {default} |", key.name, key.env.name, key.takes)
            .unwrap();
    }
    page.push_str(
        "
```toml
listen = \"127.0.0.1:4566\"

[limits]
concurrency = 200

[runtimes]                      # an identifier, and the executable that runs it
\"nodejs20.x\" = \"/opt/node20/bin/node\"
```

## Environment variables

| variable | meaning |
| --- | --- |
",
    );
    for var in env_vars::ALL {
        writeln!(page, "| `{}` | {} |", var.name, var.doc).unwrap();
    }
    page
}

fn command_line() -> String {
    let mut page = "# Command line\n".to_owned();
    let mut cli = cli::command().term_width(100);
    cli.build();
    describe(&mut page, cli, "");
    page
}

fn describe(page: &mut String, command: clap::Command, parents: &str) {
    let name = format!("{parents}{}", command.get_name());
    let help = command.clone().bin_name(&name).render_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    writeln!(page, "\n## `{name}`\n\n```text\n{}\n```", help.join("\n").trim_end()).unwrap();
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        describe(page, child.clone(), &format!("{name} "));
    }
}
