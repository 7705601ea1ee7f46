//! Which route a request takes: a full match, else the longest greedy one, else `$default`; a verb's own before ANY.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>

use std::sync::Arc;

use super::snapshot::Route;

/// Routes, those that are more specific first.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) default: Option<Arc<Route>>,
    list: Vec<(String, Pattern, Arc<Route>)>,
}

/// A path with variables: `/pets/{id}`, `/{proxy+}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Segment>);

/// In the order in which routes are tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Text(String),
    Variable(String),
    Greedy(String),
}

/// A route with the path's variables, percent-decoded.
#[derive(Debug)]
pub(in crate::front) struct Found {
    pub(in crate::front) route: Arc<Route>,
    pub(super) variables: Vec<(String, String)>,
}

impl Pattern {
    pub(super) fn parse(path: &str) -> Self {
        let segment = |text: &str| match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            None => Segment::Text(text.to_owned()),
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Segment::Greedy(name.to_owned()),
                None => Segment::Variable(name.to_owned()),
            },
        };
        Self(path.trim_start_matches('/').split('/').map(segment).collect())
    }

    /// The variables, if `path` fits.
    fn fits(&self, path: &[&str]) -> Option<Vec<(String, String)>> {
        let mut variables = Vec::new();
        let decode = |text: &str| nilas_wire::percent::decode(text).into_owned();
        for (at, segment) in self.0.iter().enumerate() {
            let here = *path.get(at)?;
            match segment {
                Segment::Text(text) if text == here || *text == decode(here) => {}
                Segment::Text(_) => return None,
                Segment::Variable(_) | Segment::Greedy(_) if here.is_empty() => return None,
                Segment::Variable(name) => variables.push((name.clone(), decode(here))),
                Segment::Greedy(name) => {
                    variables.push((name.clone(), decode(&path[at..].join("/"))));
                    return Some(variables);
                }
            }
        }
        (self.0.len() == path.len()).then_some(variables)
    }
}

impl Routes {
    pub(super) fn put(&mut self, verb: String, pattern: Pattern, route: Arc<Route>) {
        self.list.push((verb, pattern, route));
        let rank = |pattern: &Pattern| {
            let greedy = pattern.0.iter().any(|segment| matches!(segment, Segment::Greedy(_)));
            (greedy, pattern.0.clone())
        };
        self.list.sort_by(|(a_verb, a, _), (b_verb, b, _)| {
            rank(a).cmp(&rank(b)).then_with(|| (a_verb == "ANY").cmp(&(b_verb == "ANY")))
        });
    }

    pub(super) fn find(&self, verb: &str, path: &str) -> Option<Found> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path: Vec<&str> = path.split('/').collect();
        let fitting = self.list.iter().filter(|(known, ..)| known == verb || known == "ANY");
        for (_, pattern, route) in fitting {
            if let Some(variables) = pattern.fits(&path) {
                return Some(Found { route: Arc::clone(route), variables });
            }
        }
        let route = Arc::clone(self.default.as_ref()?);
        Some(Found { route, variables: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::http::snapshot::Authorization;

    fn routes(keys: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for key in keys {
            let authorization = Authorization::None;
            let route = Route { key: (*key).to_owned(), authorization, ..Route::default() };
            match key.split_once(' ') {
                None => routes.default = Some(Arc::new(route)),
                Some((verb, path)) => {
                    routes.put(verb.to_owned(), Pattern::parse(path), Arc::new(route));
                }
            }
        }
        routes
    }

    #[test]
    fn the_most_specific_route_is_taken() {
        // The rows are those of AWS's page on routes.
        let all = routes(&[
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "ANY /pets/dog/{proxy+}",
            "GET /pets/dog/1",
            "$default",
            "GET /pets/{id}",
        ]);
        for (verb, path, key) in [
            ("GET", "/pets/dog/1", "GET /pets/dog/1"),
            ("GET", "/pets/dog/2", "ANY /pets/dog/{proxy+}"),
            ("GET", "/pets/cat/1", "GET /pets/{proxy+}"),
            ("GET", "/pets/cat", "GET /pets/{id}"),
            ("POST", "/test/5", "ANY /{proxy+}"),
            ("POST", "/", "$default"),
        ] {
            assert_eq!(all.find(verb, path).unwrap().route.key, key, "{verb} {path}");
        }
        assert!(routes(&["GET /a"]).find("GET", "/b").is_none());
        let found = routes(&["GET /a/{x}/{rest+}"]).find("GET", "/a/1%202/b/c").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(found.variables, [pair("x", "1 2"), pair("rest", "b/c")]);
    }
}
