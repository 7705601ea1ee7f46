//! ListFunctions and ListVersionsByFunction.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::StatusCode;
use nilas_model::{AuthContext, Version, limits};
use nilas_wire::{ApiRequest, ApiResponse, percent};
use serde::Serialize;

use super::configuration::FunctionConfiguration;
use super::error::LambdaError;
use super::validation::Violations;
use super::{Lambda, body, patterns, target};

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListFunctionsOutput<'a> {
    functions: Vec<FunctionConfiguration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListVersionsOutput<'a> {
    versions: Vec<FunctionConfiguration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(crate) fn function_list(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
) -> Result<ApiResponse, LambdaError> {
    let master_region = percent::query_value(&request.query, "MasterRegion");
    let function_version = percent::query_value(&request.query, "FunctionVersion");
    let mut v = Violations::default();
    v.length("masterRegion", master_region.as_deref(), 1, 50);
    v.pattern("masterRegion", master_region.as_deref(), &patterns::MASTER_REGION);
    v.one_of("functionVersion", function_version.as_deref(), &["ALL"]);
    let page = Page::decode(&mut v, request)?;
    v.finish()?;
    // Replicas of Lambda@Edge functions do not exist here: a master in another region has none.
    let foreign =
        master_region.is_some_and(|region| region != "ALL" && region != auth.region.as_str());
    let functions =
        if foreign { Vec::new() } else { lambda.functions.of(&auth.account, &auth.region) };
    let every_version = function_version.is_some();
    let mut items = Vec::new();
    for function in &functions {
        for (version, record) in function.versions() {
            let id = &function.id;
            let arn = if every_version { id.version_arn(version) } else { id.arn(None) };
            // NUL sorts before every character of a name, as the shorter of two names does.
            let position = format!("{}\0{:020}", id.name.as_str(), number(version));
            items.push((position, (id, version, record, arn)));
            if !every_version {
                break;
            }
        }
    }
    let (page, next_marker) = page.of(items.into_iter())?;
    let configurations = page.iter().map(|(id, version, record, arn)| {
        FunctionConfiguration::new(id, *version, record, arn).in_list()
    });
    let functions = configurations.collect();
    body::answer(StatusCode::OK, &ListFunctionsOutput { functions, next_marker })
}

pub(crate) fn version_list(
    lambda: &Lambda,
    auth: &AuthContext,
    request: &ApiRequest,
    name: &str,
) -> Result<ApiResponse, LambdaError> {
    let mut v = Violations::default();
    target::check_reference(&mut v, name, None);
    let page = Page::decode(&mut v, request)?;
    v.finish()?;
    let target = target::resolve(auth, "ListVersionsByFunction", name, None)?;
    let function = lambda.functions.get(&target.id).ok_or_else(|| target.not_found())?;
    let items = function.versions().map(|(version, record)| {
        let arn = function.id.version_arn(version);
        let item = FunctionConfiguration::new(&function.id, version, record, &arn).in_list();
        (format!("{:020}", number(version)), item)
    });
    let (versions, next_marker) = page.of(items)?;
    body::answer(StatusCode::OK, &ListVersionsOutput { versions, next_marker })
}

/// `MaxItems` and `Marker`.
pub(crate) struct Page {
    items_max: usize,
    marker: Option<String>,
}

impl Page {
    pub(crate) fn decode(v: &mut Violations, request: &ApiRequest) -> Result<Self, LambdaError> {
        Self::decode_up_to(v, request, 10_000)
    }

    /// `most` is what the operation's model allows for `MaxItems`.
    pub(crate) fn decode_up_to(
        v: &mut Violations,
        request: &ApiRequest,
        most: u32,
    ) -> Result<Self, LambdaError> {
        let max_items = percent::query_value(&request.query, "MaxItems").map(|text| {
            let not_a_number = |_| {
                LambdaError::Serialization(format!("{text} can not be converted to an Integer"))
            };
            text.parse::<i64>().map_err(not_a_number)
        });
        let max_items = max_items.transpose()?;
        v.range("maxItems", max_items, 1, most);
        let items_max = max_items
            .and_then(|items| usize::try_from(items).ok())
            .unwrap_or(limits::LIST_ITEMS_MAX);
        let marker =
            percent::query_value(&request.query, "Marker").filter(|marker| !marker.is_empty());
        Ok(Self {
            items_max: items_max.min(limits::LIST_ITEMS_MAX),
            marker: marker.map(|marker| marker.into_owned()),
        })
    }

    /// This page of `items`, which are in the order of their positions, and the marker of the next one.
    pub(crate) fn of<T>(
        &self,
        items: impl Iterator<Item = (String, T)>,
    ) -> Result<(Vec<T>, Option<String>), LambdaError> {
        let after = self.after()?;
        let rest =
            items.filter(|(position, _)| after.as_ref().is_none_or(|after| position > after));
        let mut items: Vec<(String, T)> = rest.collect();
        let more = items.len() > self.items_max;
        items.truncate(self.items_max);
        let marker = items.last().filter(|_| more).map(|(position, _)| BASE64.encode(position));
        Ok((items.into_iter().map(|(_, item)| item).collect(), marker))
    }

    /// The position of the last item of the page before.
    fn after(&self) -> Result<Option<String>, LambdaError> {
        let Some(marker) = &self.marker else { return Ok(None) };
        let position = BASE64.decode(marker).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        position.map(Some).ok_or_else(|| LambdaError::invalid("The pagination token is invalid."))
    }
}

fn number(version: Version) -> u64 {
    match version {
        Version::Latest => 0,
        Version::Published(number) => number,
    }
}
