//! Which function, and which version of it, a request is about.

use nilas_model::{AuthContext, FunctionArn, FunctionId, FunctionRef, Qualifier, Version};
use nilas_wire::{ApiRequest, percent};

use super::error::LambdaError;
use super::functions::Function;
use super::patterns;
use super::record::AliasRecord;
use super::validation::Violations;

/// A resolved `FunctionName` and `Qualifier`: this account's, this region's, and agreeing with each other.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub id: FunctionId,
    /// From either member; None when the caller gave none.
    pub qualifier: Option<Qualifier>,
}

/// V constraints of reads, Invoke and DeleteFunction. Well-formed names, the usual case, meet no pattern engine.
pub(crate) fn check_reference(v: &mut Violations, name: &str, qualifier: Option<&str>) {
    if qualifier.is_some_and(|qualifier| Qualifier::parse(qualifier).is_err()) {
        v.length("qualifier", qualifier, 1, 128);
        v.pattern("qualifier", qualifier, &patterns::QUALIFIER);
    }
    if FunctionRef::parse(name).is_err() {
        v.pattern("functionName", Some(name), &patterns::FUNCTION_REFERENCE);
    }
}

/// V constraints of operations that write.
pub(crate) fn check_name(v: &mut Violations, name: Option<&str>) {
    v.length("functionName", name, 1, 140);
    v.pattern("functionName", name, &patterns::FUNCTION_NAME);
}

/// V constraints of an alias's name.
pub(crate) fn check_alias_name(v: &mut Violations, name: Option<&str>) {
    v.length("name", name, 1, 128);
    v.pattern("name", name, &patterns::ALIAS);
}

/// The function, version or alias that `request` names by its path and its `Qualifier`, once all of its members have
/// been checked.
pub(crate) fn asked(
    mut v: Violations,
    auth: &AuthContext,
    operation: &'static str,
    request: &ApiRequest,
    name: &str,
) -> Result<Target, LambdaError> {
    let qualifier = percent::query_value(&request.query, "Qualifier");
    check_reference(&mut v, name, qualifier.as_deref());
    v.finish()?;
    resolve(auth, operation, name, qualifier.as_deref())
}

/// Region, account and agreement of the qualifiers, in AWS's order.
pub(crate) fn resolve(
    auth: &AuthContext,
    operation: &'static str,
    name: &str,
    qualifier: Option<&str>,
) -> Result<Target, LambdaError> {
    let reference = FunctionRef::parse(name).map_err(|_| {
        LambdaError::invalid(format!("The function name {name} could not be resolved."))
    })?;
    let other = reference.region.filter(|region| region != &auth.region);
    if let Some(region) = other {
        return Err(LambdaError::OtherRegion {
            requested: region.as_str().to_owned(),
            served: auth.region.as_str().to_owned(),
        });
    }
    if reference.account.is_some_and(|account| account != auth.account) {
        return Err(LambdaError::OtherAccount { operation, resource: name.to_owned() });
    }
    let specified = qualifier.map(Qualifier::parse).transpose();
    let specified =
        specified.map_err(|_| LambdaError::invalid("The qualifier could not be resolved."))?;
    if let (Some(derived), Some(specified)) = (&reference.qualifier, &specified)
        && derived != specified
    {
        return Err(LambdaError::QualifierMismatch);
    }
    let id = FunctionId {
        account: auth.account.clone(),
        region: auth.region.clone(),
        name: reference.name,
    };
    Ok(Target { id, qualifier: specified.or(reference.qualifier) })
}

impl Target {
    /// The ARN with the qualifier exactly when the caller gave one.
    pub(crate) fn arn(&self) -> FunctionArn {
        self.id.arn(self.qualifier.clone())
    }

    pub(crate) fn not_found(&self) -> LambdaError {
        LambdaError::FunctionNotFound(self.arn())
    }

    /// The version meant, if it exists; of an alias the one that it shows as its own.
    pub(crate) fn version(&self, function: &Function) -> Result<Version, LambdaError> {
        self.version_through(function, AliasRecord::version)
    }

    /// The version that runs an invocation; `draw`, uniform in 0..1, decides where an alias has two.
    pub(crate) fn routed(&self, function: &Function, draw: f64) -> Result<Version, LambdaError> {
        self.version_through(function, |alias| alias.route(draw))
    }

    fn version_through(
        &self,
        function: &Function,
        choose: impl Fn(&AliasRecord) -> Version,
    ) -> Result<Version, LambdaError> {
        match &self.qualifier {
            None | Some(Qualifier::Latest) => Ok(Version::Latest),
            Some(Qualifier::Version(number)) if function.published.contains_key(number) => {
                Ok(Version::Published(*number))
            }
            Some(Qualifier::Alias(name)) => {
                function.record.aliases.get(name).map(choose).ok_or_else(|| self.not_found())
            }
            Some(Qualifier::Version(_)) => Err(self.not_found()),
        }
    }
}
