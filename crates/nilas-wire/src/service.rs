//! The services we speak for.

use crate::fault::Protocol;

/// An AWS service that nilas serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// REST, HTTP and WebSocket APIs: both versions sign as `apigateway`.
    ApiGateway,
    CloudFormation,
    Ecr,
    Events,
    Iam,
    Kms,
    Lambda,
    Logs,
    /// What is nilas's own.
    Nilas,
    S3,
    SecretsManager,
    Sns,
    Sqs,
    Ssm,
    Sts,
}

/// One row a service: how its requests are told, and how it answers.
struct Row {
    service: Service,
    /// In a credential scope.
    signing_name: &'static str,
    /// Before the dot of `X-Amz-Target`; none without that header.
    target_prefix: Option<&'static str>,
    protocol: Protocol,
}

const fn row(
    service: Service,
    signing_name: &'static str,
    target_prefix: Option<&'static str>,
    protocol: Protocol,
) -> Row {
    Row { service, signing_name, target_prefix, protocol }
}

const fn query(xmlns: &'static str) -> Protocol {
    Protocol::Query { xmlns }
}

const ROWS: [Row; 15] = [
    row(Service::ApiGateway, "apigateway", None, Protocol::RestJson),
    row(
        Service::CloudFormation,
        "cloudformation",
        None,
        query("http://cloudformation.amazonaws.com/doc/2010-05-15/"),
    ),
    row(Service::Ecr, "ecr", Some("AmazonEC2ContainerRegistry_V20150921"), Protocol::Json11),
    row(Service::Events, "events", Some("AWSEvents"), Protocol::Json11),
    row(Service::Iam, "iam", None, query("https://iam.amazonaws.com/doc/2010-05-08/")),
    row(Service::Kms, "kms", Some("TrentService"), Protocol::Json11),
    row(Service::Lambda, "lambda", None, Protocol::RestJson),
    row(Service::Logs, "logs", Some("Logs_20140328"), Protocol::Json11),
    row(Service::Nilas, "nilas", Some("Nilas"), Protocol::Json11),
    row(Service::S3, "s3", None, Protocol::RestXml),
    row(Service::SecretsManager, "secretsmanager", Some("secretsmanager"), Protocol::Json11),
    row(Service::Sns, "sns", None, query("http://sns.amazonaws.com/doc/2010-03-31/")),
    row(Service::Sqs, "sqs", Some("AmazonSQS"), Protocol::Json10),
    row(Service::Ssm, "ssm", Some("AmazonSSM"), Protocol::Json11),
    row(Service::Sts, "sts", None, query("https://sts.amazonaws.com/doc/2011-06-15/")),
];

impl Service {
    /// The service with this name in a credential scope.
    pub fn from_signing_name(name: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.signing_name == name).map(|row| row.service)
    }

    /// The service whose `X-Amz-Target` headers begin with `prefix`, a dot after it.
    pub fn from_target_prefix(prefix: &str) -> Option<Self> {
        ROWS.iter().find(|row| row.target_prefix == Some(prefix)).map(|row| row.service)
    }

    pub fn signing_name(self) -> &'static str {
        self.row().signing_name
    }

    /// None for services without `X-Amz-Target`.
    pub fn target_prefix(self) -> Option<&'static str> {
        self.row().target_prefix
    }

    pub fn protocol(self) -> Protocol {
        self.row().protocol
    }

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.service == self).expect("every service has a row")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_one_row() {
        for row in &ROWS {
            assert_eq!(Service::from_signing_name(row.signing_name), Some(row.service));
            assert_eq!(row.service.signing_name(), row.signing_name);
        }
    }
}
