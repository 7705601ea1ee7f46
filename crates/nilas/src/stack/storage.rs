//! Where deployments are kept: the bucket that the project names, or the one that the Serverless Framework made in the
//! stack, or one for all stacks of an account and region. In it a folder for each stack has its packages, named by content,
//! and the templates of the last deployments, to roll back to.

use bytes::Bytes;
use http::Method;
use nilas_model::{Clock, SystemClock};
use nilas_wire::percent;
use nilas_wire::xml::Element;
use serde_json::Value;

use crate::client::{Client, ClientError};

/// Deployments of a stack that can be rolled back to.
const DEPLOYMENTS_KEPT: usize = 10;

/// The folder of one stack.
#[derive(Debug)]
pub(crate) struct Storage<'a> {
    client: &'a Client,
    pub(crate) bucket: String,
    stack: String,
    owner: Owner,
}

/// Who makes the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Us,
    Stack,
    Person,
}

/// The logical id of the bucket that the Serverless Framework puts into its stacks.
const OWN_BUCKET: &str = "ServerlessDeploymentBucket";

/// A template that was deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredDeployment {
    key: String,
    /// When it was deployed, milliseconds since 1970; also its name.
    pub(crate) at_ms: u64,
}

impl<'a> Storage<'a> {
    /// The folder of `stack`; `named` is the bucket that the project names.
    pub(crate) async fn of(
        client: &'a Client,
        account: &str,
        stack: &str,
        named: Option<&str>,
    ) -> Result<Self, ClientError> {
        let (bucket, owner) = match named {
            Some(bucket) => (bucket.to_owned(), Owner::Person),
            None => match bucket_in(client, stack).await? {
                Some(bucket) => (bucket, Owner::Stack),
                None => (format!("nilas-deployments-{account}-{}", client.region()), Owner::Us),
            },
        };
        Ok(Self { client, bucket, stack: stack.to_owned(), owner })
    }

    /// Whether the stack itself makes the bucket.
    pub(crate) fn is_of_stack(&self) -> bool {
        self.owner == Owner::Stack
    }

    /// Makes the bucket if there is none and it is ours to make.
    pub(crate) async fn prepare(&self) -> Result<(), ClientError> {
        let target = format!("/{}", self.bucket);
        match self.client.s3(Method::HEAD, target.clone(), Bytes::new()).await {
            Ok(_) => return Ok(()),
            Err(ClientError::Refused { .. }) if self.owner == Owner::Us => {}
            Err(error) => return Err(error),
        }
        let body = match self.client.region() {
            "us-east-1" => Bytes::new(),
            region => Bytes::from(format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )),
        };
        match self.client.s3(Method::PUT, target, body).await {
            Err(ClientError::Refused { code, .. })
                if code == "BucketAlreadyOwnedByYou" || code == "BucketAlreadyExists" =>
            {
                Ok(())
            }
            done => done.map(drop),
        }
    }

    pub(crate) fn artifact_key(&self, sha256: &str) -> String {
        format!("{}/packages/{sha256}.zip", self.stack)
    }

    /// Stores a package unless it is there; answers whether it had to.
    pub(crate) async fn put_artifact(&self, sha256: &str, zip: Bytes) -> Result<bool, ClientError> {
        let target = self.target(&self.artifact_key(sha256));
        if self.client.s3(Method::HEAD, target.clone(), Bytes::new()).await.is_ok() {
            return Ok(false);
        }
        self.client.s3(Method::PUT, target, zip).await.map(|_| true)
    }

    /// Stores the template under the present time; answers its address for `TemplateURL`.
    pub(crate) async fn put_template(&self, template: &Value) -> Result<String, ClientError> {
        let at_ms = SystemClock::new().epoch_ms();
        let target = self.target(&format!("{}/deployments/{at_ms}.json", self.stack));
        self.client.s3(Method::PUT, target.clone(), template.to_string().into()).await?;
        Ok(format!("{}{target}", self.client.endpoint()))
    }

    /// The deployments that are kept, newest first.
    pub(crate) async fn deployments(&self) -> Result<Vec<StoredDeployment>, ClientError> {
        let keys = self.keys(&format!("{}/deployments/", self.stack)).await?;
        let stored = |key: String| {
            let at_ms = key.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()?;
            Some(StoredDeployment { key, at_ms })
        };
        let mut found: Vec<StoredDeployment> = keys.into_iter().filter_map(stored).collect();
        found.sort_by_key(|deployment| std::cmp::Reverse(deployment.at_ms));
        Ok(found)
    }

    pub(crate) async fn template(
        &self,
        deployment: &StoredDeployment,
    ) -> Result<Bytes, ClientError> {
        let target = self.target(&deployment.key);
        Ok(self.client.s3(Method::GET, target, Bytes::new()).await?.body)
    }

    pub(crate) fn url(&self, deployment: &StoredDeployment) -> String {
        format!("{}{}", self.client.endpoint(), self.target(&deployment.key))
    }

    /// Removes what no deployment that is kept needs.
    pub(crate) async fn tidy(&self) -> Result<(), ClientError> {
        let deployments = self.deployments().await?;
        if deployments.len() <= DEPLOYMENTS_KEPT {
            return Ok(());
        }
        let (kept, old) = deployments.split_at(DEPLOYMENTS_KEPT);
        let mut needed = String::new();
        for deployment in kept {
            needed += &String::from_utf8_lossy(&self.template(deployment).await?);
        }
        for deployment in old {
            self.delete(&deployment.key).await?;
        }
        for key in self.keys(&format!("{}/packages/", self.stack)).await? {
            if !needed.contains(&key) {
                self.delete(&key).await?;
            }
        }
        Ok(())
    }

    /// Removes everything of the stack, and all else from a bucket that is to go with it.
    pub(crate) async fn clear(&self) -> Result<(), ClientError> {
        let prefix = if self.is_of_stack() { String::new() } else { format!("{}/", self.stack) };
        let keys = match self.keys(&prefix).await {
            Err(ClientError::Refused { code, .. }) if code == "NoSuchBucket" => return Ok(()),
            keys => keys?,
        };
        for key in keys {
            self.delete(&key).await?;
        }
        Ok(())
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, ClientError> {
        let mut keys = Vec::new();
        let mut token = String::new();
        loop {
            let target =
                format!("/{}?list-type=2&prefix={}{token}", self.bucket, percent::encode(prefix));
            let answer = self.client.s3(Method::GET, target, Bytes::new()).await?;
            let root = std::str::from_utf8(&answer.body).ok().and_then(Element::parse);
            let root = root.ok_or(ClientError::Xml)?;
            let contents = root.children.iter().filter(|child| child.name == "Contents");
            keys.extend(contents.filter_map(|child| child.text_at(&["Key"]).map(str::to_owned)));
            match root.text_at(&["NextContinuationToken"]) {
                Some(next) => token = format!("&continuation-token={}", percent::encode(next)),
                None => return Ok(keys),
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<(), ClientError> {
        self.client.s3(Method::DELETE, self.target(key), Bytes::new()).await.map(drop)
    }

    fn target(&self, key: &str) -> String {
        format!("/{}/{}", self.bucket, percent::encode_path(key))
    }
}

/// The bucket that the Serverless Framework made in the stack, if it was deployed with it.
async fn bucket_in(client: &Client, stack: &str) -> Result<Option<String>, ClientError> {
    let members = [("StackName", stack), ("LogicalResourceId", OWN_BUCKET)];
    match client.query("cloudformation", "DescribeStackResource", &members).await {
        Ok(result) => {
            let id = result.text_at(&["StackResourceDetail", "PhysicalResourceId"]);
            Ok(id.filter(|id| !id.is_empty()).map(str::to_owned))
        }
        Err(ClientError::Refused { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
