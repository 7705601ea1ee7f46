//! Which key the command line signs with.

use std::net::IpAddr;
use std::path::Path;

use nilas_edge::Identity;

use crate::config::{Config, DATA_DIR};
use crate::env_vars::{self, EnvVars};

/// A key pair, with a session token where it is a temporary one.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Looks where the key for this server most likely is.
///
/// A shell with keys of a real AWS account must still reach the local server, so the environment counts first only
/// where somebody also chose the endpoint.
pub(crate) fn find(
    config: &Config,
    env: &EnvVars,
    endpoint_chosen: bool,
    authority: &str,
) -> Option<Credentials> {
    let test = || is_loopback(authority).then(test_key);
    if endpoint_chosen && !config.is_chosen(&DATA_DIR) {
        return of_environment(env).or_else(test).or_else(|| root_key(&config.data_dir));
    }
    root_key(&config.data_dir).or_else(test).or_else(|| of_environment(env))
}

/// The key made at first start, if this user may read it.
pub(crate) fn root_key(data_dir: &Path) -> Option<Credentials> {
    // Another user's directory, most often: then other keys are tried.
    let key = Identity::read_root_key(data_dir).ok().flatten()?;
    Some(Credentials {
        access_key_id: key.access_key_id,
        secret_access_key: key.secret_access_key,
        session_token: None,
    })
}

fn of_environment(env: &EnvVars) -> Option<Credentials> {
    Some(Credentials {
        access_key_id: env.get(&env_vars::AWS_ACCESS_KEY_ID)?.to_owned(),
        secret_access_key: env.get(&env_vars::AWS_SECRET_ACCESS_KEY)?.to_owned(),
        session_token: env.get(&env_vars::AWS_SESSION_TOKEN).map(str::to_owned),
    })
}

/// The pair that tools for local AWS servers hard-code; it is root on loopback.
fn test_key() -> Credentials {
    Credentials {
        access_key_id: "test".to_owned(),
        secret_access_key: "test".to_owned(),
        session_token: None,
    }
}

fn is_loopback(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags, Host};

    fn found(
        env: &[(&'static env_vars::EnvVar, &str)],
        endpoint_chosen: bool,
        authority: &str,
    ) -> String {
        let env = EnvVars::of(env);
        let mut flags = Flags { config_file: Some("/dev/null".into()), ..Flags::default() };
        if !endpoint_chosen {
            flags.set(&DATA_DIR, Some("/nonexistent"));
        }
        let config = config::load(&flags, &Host { root: false, env: &env }).unwrap();
        find(&config, &env, endpoint_chosen, authority)
            .map_or("none".to_owned(), |key| key.access_key_id)
    }

    #[test]
    fn keys_of_the_environment_count_where_the_endpoint_was_chosen_too() {
        let real =
            [(&env_vars::AWS_ACCESS_KEY_ID, "AKIAREAL"), (&env_vars::AWS_SECRET_ACCESS_KEY, "s")];
        assert_eq!(found(&real, true, "127.0.0.1:1"), "AKIAREAL");
        assert_eq!(found(&real, false, "127.0.0.1:1"), "test");
        assert_eq!(found(&real, false, "10.0.0.1:1"), "AKIAREAL");
    }

    #[test]
    fn the_test_pair_is_for_loopback_only() {
        assert_eq!(found(&[], true, "[::1]:4566"), "test");
        assert_eq!(found(&[], true, "localhost:4566"), "test");
        assert_eq!(found(&[], false, "192.168.1.1:4566"), "none");
    }
}
