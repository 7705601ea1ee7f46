//! The query protocol: forms with dotted names in, XML out (STS, IAM, CloudFormation).

use http::StatusCode;
use nilas_model::RequestId;

use crate::message::{ApiRequest, ApiResponse};
use crate::percent;
use crate::xml::Xml;

/// The members of a request, in the order they were sent.
#[derive(Debug, Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Out of the body of a POST, and of the query string.
    pub fn of(request: &ApiRequest) -> Self {
        let body = std::str::from_utf8(&request.body).unwrap_or_default();
        let pairs = percent::query_pairs(body).chain(percent::query_pairs(&request.query));
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The scalars at `NAME.member.1`, `NAME.member.2`, …; a bare `NAME=` is an empty list.
    pub fn strings(&self, name: &str) -> Vec<&str> {
        let items = (1..).map_while(|n| self.get(&format!("{name}.member.{n}")));
        items.collect()
    }

    /// The structures at `NAME.member.1.…`, each with its members' names relative to it.
    pub fn structures(&self, name: &str) -> Vec<Self> {
        (1..).map_while(|n| self.structure(&format!("{name}.member.{n}"))).collect()
    }

    /// The structure at `NAME.…`, its members' names relative to it; None if it has no member.
    pub fn structure(&self, name: &str) -> Option<Self> {
        let inside = |(known, value): &(String, String)| {
            let rest = known.strip_prefix(name)?.strip_prefix('.')?;
            Some((rest.to_owned(), value.clone()))
        };
        let members: Vec<_> = self.0.iter().filter_map(inside).collect();
        (!members.is_empty()).then_some(Self(members))
    }

    /// Whether the list `name` was sent at all, be it empty.
    pub fn has_list(&self, name: &str) -> bool {
        self.get(name).is_some() || self.structure(name).is_some()
    }
}

/// `<ACTIONResponse>` around `<ACTIONResult>` with what `result` writes into it.
pub fn answer(
    action: &str,
    xmlns: &str,
    request_id: &RequestId,
    result: impl FnOnce(&mut Xml),
) -> ApiResponse {
    let mut xml = Xml::new();
    xml.open_with(&format!("{action}Response"), &[("xmlns", xmlns)]);
    xml.element(&format!("{action}Result"), result);
    xml.element("ResponseMetadata", |xml| xml.text("RequestId", &request_id.to_string()));
    xml.close(&format!("{action}Response"));
    ApiResponse::with_body(StatusCode::OK, "text/xml", xml.into_string())
}

/// As [`answer`], for operations without an output.
pub fn answer_empty(action: &str, xmlns: &str, request_id: &RequestId) -> ApiResponse {
    let mut xml = Xml::new();
    xml.open_with(&format!("{action}Response"), &[("xmlns", xmlns)]);
    xml.element("ResponseMetadata", |xml| xml.text("RequestId", &request_id.to_string()));
    xml.close(&format!("{action}Response"));
    ApiResponse::with_body(StatusCode::OK, "text/xml", xml.into_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Form {
        let pairs = percent::query_pairs(text);
        Form(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    #[test]
    fn lists_and_structures_are_found_by_their_dotted_names() {
        let form = form(
            "Action=A&Tags.member.1.Key=a&Tags.member.1.Value=x+y&Tags.member.2.Key=b&C.member.1=1&C.member.2=2&E=",
        );
        assert_eq!(form.strings("C"), ["1", "2"]);
        let tags = form.structures("Tags");
        assert_eq!(tags.len(), 2);
        assert_eq!(tags[0].get("Value"), Some("x y"));
        assert_eq!(tags[1].get("Value"), None);
        assert!(form.has_list("E") && form.strings("E").is_empty());
        assert!(!form.has_list("F"));
    }
}
