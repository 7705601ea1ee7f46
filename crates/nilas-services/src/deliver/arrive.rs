//! One try: brings a delivery to its place, or says what has to be written for it to be there.

use http::{HeaderMap, HeaderValue, Method, header};
use nilas_store::Settle;
use nilas_wire::{Fault, Service, percent, time};

use super::{Delivery, To};
use crate::calls::Refusal;
use crate::services::Inner;
use crate::sqs::Letter;

/// Why it did not arrive.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct Failed {
    pub(super) code: String,
    pub(super) message: String,
    /// Whether the same would be answered again: no such queue, a record that is too large for it.
    pub(super) for_good: bool,
}

impl Failed {
    pub(super) fn for_good(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), for_good: true }
    }

    pub(super) fn answered(status: u16, code: &str, message: String) -> Self {
        // Without the namespace that some protocols put before it.
        let code = code.rsplit('#').next().unwrap_or_default().to_owned();
        let is_throttle = status == 429 || code.contains("Throttl");
        Self { code, message, for_good: (400..500).contains(&status) && !is_throttle }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::answered(refusal.status, &refusal.code, refusal.message)
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::answered(fault.status, &fault.code, fault.message.unwrap_or_default())
    }
}

/// What is left to be written, in one commit with the delivery's end; nothing, if it has arrived already.
pub(super) async fn arrive(
    services: &Inner,
    delivery: &Delivery,
    now_ms: u64,
) -> Result<Vec<Settle>, Failed> {
    let auth = delivery.auth().ok_or_else(|| {
        Failed::for_good("InvalidParameter", format!("nobody's: {}", delivery.source))
    })?;
    match &delivery.to {
        To::Function { arn } => {
            let is_allowed = delivery.principal.as_deref().is_none_or(|principal| {
                services.lambda().service_may_invoke(principal, &delivery.source, arn)
            });
            if !is_allowed {
                let message =
                    format!("The policy of {arn} does not let {} invoke it.", delivery.source);
                return Err(Failed::for_good("AccessDeniedException", message));
            }
            Ok(vec![services.lambda().event_part(arn, delivery.body.clone(), now_ms)?])
        }
        To::Queue { arn, attributes, group, deduplication_id } => {
            let letter = Letter {
                body: String::from_utf8_lossy(&delivery.body).into_owned(),
                attributes: attributes.clone(),
                group: group.clone(),
                deduplication_id: deduplication_id.clone(),
            };
            Ok(services.sqs().deliver(&auth, arn, letter).await?.into_iter().collect())
        }
        To::Object { bucket, key } => {
            let path = format!("/{bucket}/{}", percent::encode_path(key));
            let json = HeaderValue::from_static("application/json");
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
            let body = delivery.body.clone();
            services.calls().raw(Service::S3, &auth, Method::PUT, &path, headers, body).await?;
            Ok(Vec::new())
        }
        To::Topic { arn, subject, attributes } => {
            let text = String::from_utf8_lossy(&delivery.body).into_owned();
            let parts =
                services.sns().publish_parts(arn, text, subject.clone(), attributes.clone());
            Ok(parts.await?)
        }
        To::Http { url, headers } => {
            services.endpoints().post(url, headers, delivery.body.clone()).await?;
            Ok(Vec::new())
        }
        To::Mail { address, subject } => {
            let head = format!(
                "From: no-reply@sns.amazonaws.com\r\nTo: {address}\r\nSubject: {subject}\r\nDate: {}\r\n\
                 MIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n",
                time::http_date(now_ms)
            );
            let mail = [head.as_bytes(), &delivery.body].concat();
            services.sns().put_mail(&mail).await.map(|()| Vec::new()).map_err(|error| Failed {
                code: "OutboxFailed".to_owned(),
                message: error.to_string(),
                for_good: false,
            })
        }
    }
}
