//! Elastic Container Registry (JSON 1.1): repositories as records, always without images.
//!
//! CDK's bootstrap makes a repository, and deploy tools look for theirs when they remove a service. There is no
//! registry behind them: whatever asks for images to be sent or fetched is refused.

use std::sync::Arc;

use nilas_model::limits::{ECR_REPOSITORIES_MAX, ECR_TEXT_BYTES_MAX, RESOURCE_TAGS_MAX};
use nilas_model::{AuthContext, Clock};
use nilas_store::Records;
use nilas_wire::{ApiRequest, ApiResponse, Fault, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::json_api::{self, Tag, add_tags, decode, seconds, tag_list};
use crate::shelf::Shelf;

/// The repositories of all accounts and regions.
#[derive(Debug)]
pub(crate) struct Ecr {
    shelf: Shelf,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Repository {
    name: String,
    created_epoch_ms: u64,
    tag_mutability: String,
    scan_on_push: bool,
    tags: Vec<(String, String)>,
    policy: Option<String>,
    lifecycle_policy: Option<String>,
}

/// All members that the operations here have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Input {
    repository_name: Option<String>,
    repository_names: Vec<String>,
    image_tag_mutability: Option<String>,
    image_scanning_configuration: Option<Value>,
    tags: Vec<Tag>,
    policy_text: Option<String>,
    lifecycle_policy_text: Option<String>,
    resource_arn: Option<String>,
}

impl Ecr {
    pub(crate) fn new(records: Records, clock: Arc<dyn Clock>) -> Self {
        Self { shelf: Shelf::new(records, "ecr"), clock }
    }

    /// Answers one request, errors included.
    pub(crate) async fn handle(&self, auth: &AuthContext, request: &ApiRequest) -> ApiResponse {
        let operation = json_api::operation(Service::Ecr, request);
        let result = self.run(auth, operation, &request.body).await;
        json_api::answer(Service::Ecr, request, result)
    }

    async fn run(&self, auth: &AuthContext, operation: &str, body: &[u8]) -> Result<Value, Fault> {
        match operation {
            "CreateRepository" => self.create(auth, decode(body)?).await,
            "DescribeRepositories" => self.describe(auth, decode(body)?).await,
            "DeleteRepository" => self.delete(auth, decode(body)?).await,
            "SetRepositoryPolicy" => self.set_policy(auth, decode(body)?).await,
            "GetRepositoryPolicy" => self.policy(auth, decode(body)?).await,
            "PutLifecyclePolicy" => self.put_lifecycle(auth, decode(body)?).await,
            "ListTagsForResource" => self.tags(auth, decode(body)?).await,
            "ListImages" => self.no_images(auth, decode(body)?, "imageIds").await,
            "DescribeImages" => self.no_images(auth, decode(body)?, "imageDetails").await,
            operation => Err(json_api::unknown_operation(Service::Ecr, operation)),
        }
    }

    async fn create(&self, auth: &AuthContext, input: Input) -> Result<Value, Fault> {
        let name = name(&input)?;
        check_name(name)?;
        let _writing = self.shelf.writing().await;
        if self.find(auth, name).await?.is_some() {
            let account = auth.account.as_str();
            let message = format!(
                "The repository with name '{name}' already exists in the registry with id '{account}'"
            );
            return Err(Fault::plain("RepositoryAlreadyExistsException", 400, message));
        }
        let scope = json_api::scope(auth);
        if self.shelf.list::<Repository>(&scope, ECR_REPOSITORIES_MAX).await?.len()
            >= ECR_REPOSITORIES_MAX
        {
            let message = format!("The registry has {ECR_REPOSITORIES_MAX} repositories already.");
            return Err(Fault::plain("LimitExceededException", 400, message));
        }
        let scan = input.image_scanning_configuration.as_ref();
        let mut tags = Vec::new();
        add_tags(&mut tags, input.tags.clone());
        if tags.len() > RESOURCE_TAGS_MAX {
            let message = format!("A repository has {RESOURCE_TAGS_MAX} tags at most.");
            return Err(Fault::plain("TooManyTagsException", 400, message));
        }
        let new = Repository {
            name: name.to_owned(),
            created_epoch_ms: self.clock.epoch_ms(),
            tag_mutability: mutability(input.image_tag_mutability.as_deref())?,
            scan_on_push: scan.and_then(|scan| scan["scanOnPush"].as_bool()).unwrap_or_default(),
            tags,
            policy: None,
            lifecycle_policy: None,
        };
        self.store(auth, &new).await?;
        Ok(json!({ "repository": shown(auth, &new) }))
    }

    async fn describe(&self, auth: &AuthContext, input: Input) -> Result<Value, Fault> {
        let mut found = Vec::new();
        if input.repository_names.is_empty() {
            let scope = json_api::scope(auth);
            let all = self.shelf.list::<Repository>(&scope, ECR_REPOSITORIES_MAX).await?;
            found.extend(all.iter().map(|(_, repository)| shown(auth, repository)));
        }
        for name in &input.repository_names {
            found.push(shown(auth, &self.repository(auth, name).await?));
        }
        Ok(json!({ "repositories": found }))
    }

    async fn delete(&self, auth: &AuthContext, input: Input) -> Result<Value, Fault> {
        let _writing = self.shelf.writing().await;
        let repository = self.repository(auth, name(&input)?).await?;
        self.shelf.delete(&key(auth, &repository.name)).await?;
        Ok(json!({ "repository": shown(auth, &repository) }))
    }

    async fn set_policy(&self, auth: &AuthContext, input: Input) -> Result<Value, Fault> {
        let policy = text("policyText", input.policy_text.as_deref())?;
        let _writing = self.shelf.writing().await;
        let mut repository = self.repository(auth, name(&input)?).await?;
        repository.policy = Some(policy.to_owned());
        self.store(auth, &repository).await?;
        Ok(policy_of(auth, &repository.name, policy))
    }

    async fn policy(&self, auth: &AuthContext, input: Input) -> Result<Value, Fault> {
        let repository = self.repository(auth, name(&input)?).await?;
        let Some(policy) = &repository.policy else {
            let message = format!(
                "Repository policy does not exist for the repository with name '{}' in the registry with id '{}'",
                repository.name,
                auth.account.as_str()
            );
            return Err(Fault::plain("RepositoryPolicyNotFoundException", 400, message));
        };
        Ok(policy_of(auth, &repository.name, policy))
    }

    async fn put_lifecycle(&self, auth: &AuthContext, input: Input) -> Result<Value, Fault> {
        let policy = text("lifecyclePolicyText", input.lifecycle_policy_text.as_deref())?;
        let _writing = self.shelf.writing().await;
        let mut repository = self.repository(auth, name(&input)?).await?;
        repository.lifecycle_policy = Some(policy.to_owned());
        self.store(auth, &repository).await?;
        Ok(json!({
            "registryId": auth.account.as_str(),
            "repositoryName": repository.name,
            "lifecyclePolicyText": policy,
        }))
    }

    async fn tags(&self, auth: &AuthContext, input: Input) -> Result<Value, Fault> {
        let arn = input.resource_arn.unwrap_or_default();
        let name = arn.split_once(":repository/").map_or("", |(_, name)| name);
        Ok(json!({ "tags": tag_list(&self.repository(auth, name).await?.tags) }))
    }

    async fn no_images(
        &self,
        auth: &AuthContext,
        input: Input,
        member: &str,
    ) -> Result<Value, Fault> {
        self.repository(auth, name(&input)?).await?;
        Ok(json!({ member: [] }))
    }

    async fn find(&self, auth: &AuthContext, name: &str) -> Result<Option<Repository>, Fault> {
        self.shelf.get(&key(auth, name)).await
    }

    async fn repository(&self, auth: &AuthContext, name: &str) -> Result<Repository, Fault> {
        self.find(auth, name).await?.ok_or_else(|| {
            let account = auth.account.as_str();
            let message = format!(
                "The repository with name '{name}' does not exist in the registry with id '{account}'"
            );
            Fault::plain("RepositoryNotFoundException", 400, message)
        })
    }

    async fn store(&self, auth: &AuthContext, repository: &Repository) -> Result<(), Fault> {
        self.shelf.put(&key(auth, &repository.name), repository).await
    }
}

fn key(auth: &AuthContext, name: &str) -> String {
    json_api::scope(auth) + name
}

fn shown(auth: &AuthContext, repository: &Repository) -> Value {
    let (account, region) = (auth.account.as_str(), auth.region.as_str());
    let name = &repository.name;
    json!({
        "repositoryArn": json_api::arn(auth, Service::Ecr, &format!("repository/{name}")),
        "registryId": account,
        "repositoryName": name,
        "repositoryUri": format!("{account}.dkr.ecr.{region}.amazonaws.com/{name}"),
        "createdAt": seconds(repository.created_epoch_ms),
        "imageTagMutability": repository.tag_mutability,
        "imageScanningConfiguration": { "scanOnPush": repository.scan_on_push },
        "encryptionConfiguration": { "encryptionType": "AES256" },
    })
}

fn policy_of(auth: &AuthContext, name: &str, policy: &str) -> Value {
    json!({ "registryId": auth.account.as_str(), "repositoryName": name, "policyText": policy })
}

// === members ===

fn name(input: &Input) -> Result<&str, Fault> {
    input.repository_name.as_deref().ok_or_else(|| missing("repositoryName"))
}

fn missing(member: &str) -> Fault {
    invalid(format!(
        "Invalid parameter at '{member}' failed to satisfy constraint: 'must not be null'"
    ))
}

fn invalid(message: String) -> Fault {
    Fault::plain("InvalidParameterException", 400, message)
}

fn check_name(name: &str) -> Result<(), Fault> {
    let is_part = |part: &str| {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let edge = |c: char| c.is_ascii_alphanumeric();
        part.starts_with(edge) && part.ends_with(edge) && part.chars().all(legal)
    };
    if (2..=256).contains(&name.len()) && name.split('/').all(is_part) {
        return Ok(());
    }
    Err(invalid(
        "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*''"
            .to_owned(),
    ))
}

fn mutability(asked: Option<&str>) -> Result<String, Fault> {
    match asked {
        None => Ok("MUTABLE".to_owned()),
        Some(known @ ("MUTABLE" | "IMMUTABLE")) => Ok(known.to_owned()),
        Some(other) => Err(invalid(format!(
            "Invalid parameter at 'imageTagMutability' failed to satisfy constraint: 'Member must satisfy enum value set: [IMMUTABLE, MUTABLE]', not {other}"
        ))),
    }
}

/// A JSON document.
fn text<'a>(member: &str, value: Option<&'a str>) -> Result<&'a str, Fault> {
    let value = value.ok_or_else(|| missing(member))?;
    let is_document = serde_json::from_str::<serde_json::Map<_, _>>(value).is_ok();
    if !is_document || value.len() > ECR_TEXT_BYTES_MAX {
        return Err(invalid(format!(
            "Invalid parameter at '{member}' failed to satisfy constraint: 'Invalid JSON document'"
        )));
    }
    Ok(value)
}
