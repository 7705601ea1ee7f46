//! Which service a request is for, and how to refuse it if there is none.

use http::Method;
use http::header::{self, AsHeaderName, HeaderMap};
use nilas_wire::sigv4::{self, Parts};
use nilas_wire::{Fault, Protocol, Service, s3_host, sigv2};

/// A request for something we do not have, to be answered in the shape of the protocol it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unrouted {
    pub(crate) protocol: Protocol,
    pub(crate) fault: Fault,
}

/// The service of a request: by its credential scope, else by what only one service's requests look like.
pub(crate) fn route(parts: &Parts<'_>) -> Result<Service, Unrouted> {
    if let Some(name) = sigv4::service_hint(parts) {
        return Service::from_signing_name(&name).ok_or_else(|| unknown_service(parts, &name));
    }
    if let Some(target) = text(parts.headers, "x-amz-target") {
        let prefix = target.split('.').next().unwrap_or(target);
        return Service::from_target_prefix(prefix).ok_or_else(|| unknown_service(parts, prefix));
    }
    if is_lambda_path(parts.path) {
        return Ok(Service::Lambda);
    }
    if is_s3(parts) {
        return Ok(Service::S3);
    }
    if is_link_of_topic(parts) {
        return Ok(Service::Sns);
    }
    if is_query_protocol(parts) {
        return Ok(Service::Sts);
    }
    if is_unsigned_read(parts) {
        return Ok(Service::S3);
    }
    // Nothing tells the service: say what AWS's front door says to a request without a signature.
    let fault =
        Fault::plain("MissingAuthenticationTokenException", 403, "Missing Authentication Token");
    Err(Unrouted { protocol: Protocol::RestJson, fault })
}

/// Lambda's paths start with a date, `/2015-03-31/`; S3's cannot, since no bucket is sent without a signature or
/// the forms of `is_s3`.
fn is_lambda_path(path: &str) -> bool {
    let date = path.as_bytes().get(1..11);
    date.is_some_and(|date| {
        date.iter()
            .enumerate()
            .all(|(at, b)| if at == 4 || at == 7 { *b == b'-' } else { b.is_ascii_digit() })
    }) && path.as_bytes().get(11) == Some(&b'/')
}

fn is_s3(parts: &Parts<'_>) -> bool {
    sigv2::is_presigned(parts.query)
        || text(parts.headers, header::AUTHORIZATION).is_some_and(|value| value.starts_with("AWS "))
        || parts.headers.contains_key("x-amz-content-sha256")
}

/// Whether nobody signed the request, and S3 might have what it asks for: perhaps it is public.
pub(crate) fn is_unsigned_read(parts: &Parts<'_>) -> bool {
    let reads = *parts.method == Method::GET || *parts.method == Method::HEAD;
    let signed = parts.headers.contains_key(header::AUTHORIZATION)
        || sigv2::is_presigned(parts.query)
        || sigv4::service_hint(parts).is_some();
    let at_bucket = text(parts.headers, header::HOST).and_then(s3_host::bucket_of).is_some();
    let at_object = parts.path.get(1..).is_some_and(|path| path.contains('/'));
    reads && !signed && (at_bucket || at_object)
}

/// Whether it is a link in a topic's message: its certificate, the confirmation or the end of a subscription.
pub(crate) fn is_link_of_topic(parts: &Parts<'_>) -> bool {
    let signed = parts.headers.contains_key(header::AUTHORIZATION)
        || sigv2::is_presigned(parts.query)
        || sigv4::service_hint(parts).is_some();
    let acts = ["Action=ConfirmSubscription", "Action=Unsubscribe"];
    let is_action = parts.path == "/" && parts.query.split('&').any(|pair| acts.contains(&pair));
    let is_certificate =
        parts.path.starts_with("/SimpleNotificationService-") && parts.path.ends_with(".pem");
    *parts.method == Method::GET && !signed && (is_action || is_certificate)
}

fn is_query_protocol(parts: &Parts<'_>) -> bool {
    let form = text(parts.headers, header::CONTENT_TYPE)
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    form || parts.query.split('&').any(|pair| pair.starts_with("Action="))
}

fn unknown_service(parts: &Parts<'_>, name: &str) -> Unrouted {
    let message = format!("nilas does not have the service '{name}'.");
    let protocol = guess_protocol(parts, name);
    let fault = match protocol {
        Protocol::Query { .. } => Fault::plain("InvalidAction", 400, message),
        Protocol::RestXml => Fault::plain("NotImplemented", 501, message),
        Protocol::RestJson => Fault::plain("UnknownOperationException", 404, message),
        Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => {
            Fault::plain("UnknownOperationException", 400, message)
        }
    };
    Unrouted { protocol, fault }
}

/// Signing names of the services that speak REST with XML, which nothing in a request tells from REST with JSON.
const REST_XML: [&str; 5] =
    ["cloudfront", "route53", "s3-object-lambda", "s3-outposts", "s3express"];

/// The protocol of a service that we know nothing of.
fn guess_protocol(parts: &Parts<'_>, name: &str) -> Protocol {
    if parts.headers.contains_key("smithy-protocol") {
        return Protocol::Cbor;
    }
    if parts.headers.contains_key("x-amz-target") {
        let json_10 = text(parts.headers, header::CONTENT_TYPE)
            .is_some_and(|value| value.ends_with("json-1.0"));
        return if json_10 { Protocol::Json10 } else { Protocol::Json11 };
    }
    if is_query_protocol(parts) {
        return Protocol::Query { xmlns: "" };
    }
    if REST_XML.contains(&name) {
        return Protocol::RestXml;
    }
    Protocol::RestJson
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Method};

    use super::*;

    fn routed(target: &str, headers: &[(&str, &str)]) -> Result<Service, (Protocol, String)> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let parts = Parts { method: &Method::POST, path, query, headers: &map };
        route(&parts).map_err(|unrouted| (unrouted.protocol, unrouted.fault.code.into_owned()))
    }

    #[test]
    fn the_scope_decides_first() {
        for (name, service) in [
            ("lambda", Service::Lambda),
            ("logs", Service::Logs),
            ("sts", Service::Sts),
            ("s3", Service::S3),
        ] {
            let authorization = format!(
                "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/{name}/aws4_request, Signature=0"
            );
            assert_eq!(
                routed("/2015-03-31/functions", &[("authorization", &authorization)]),
                Ok(service)
            );
            let query =
                format!("/?X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2F{name}%2Faws4_request");
            assert_eq!(routed(&query, &[]), Ok(service));
        }
    }

    #[test]
    fn without_a_scope_the_form_decides() {
        assert_eq!(
            routed("/", &[("x-amz-target", "Logs_20140328.DescribeLogGroups")]),
            Ok(Service::Logs)
        );
        assert_eq!(routed("/2015-03-31/functions/f/invocations", &[]), Ok(Service::Lambda));
        assert_eq!(routed("/b/k?AWSAccessKeyId=a&Signature=b&Expires=1", &[]), Ok(Service::S3));
        assert_eq!(routed("/b/k", &[("authorization", "AWS AKID:sig")]), Ok(Service::S3));
        assert_eq!(routed("/?Action=GetCallerIdentity", &[]), Ok(Service::Sts));
        let missing = "MissingAuthenticationTokenException".to_owned();
        assert_eq!(routed("/2015-3-31/functions", &[]), Err((Protocol::RestJson, missing.clone())));
        assert_eq!(routed("/é", &[]), Err((Protocol::RestJson, missing)));
    }

    #[test]
    fn an_unknown_service_is_refused_in_its_own_shape() {
        let check = |headers: &[(&str, &str)], protocol: Protocol, code: &str| {
            let authorization =
                "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/other/aws4_request";
            let headers = [headers, &[("authorization", authorization)]].concat();
            assert_eq!(routed("/", &headers), Err((protocol, code.to_owned())));
        };
        let json = ("content-type", "application/x-amz-json-1.0");
        check(
            &[("x-amz-target", "DynamoDB_20120810.ListTables"), json],
            Protocol::Json10,
            "UnknownOperationException",
        );
        check(
            &[("x-amz-target", "AmazonSWF.ListDomains")],
            Protocol::Json11,
            "UnknownOperationException",
        );
        check(
            &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")],
            Protocol::Query { xmlns: "" },
            "InvalidAction",
        );
        check(&[("smithy-protocol", "rpc-v2-cbor")], Protocol::Cbor, "UnknownOperationException");
        check(&[], Protocol::RestJson, "UnknownOperationException");
    }
}
