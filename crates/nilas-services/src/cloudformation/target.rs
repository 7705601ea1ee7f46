//! A template with everything that its functions are evaluated with: what a deployment aims at.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::stack::{Deployment, Stack, TemplateTexts};
use super::template::{
    Declared, Evaluation, Lookup, Nothing, Pseudo, Template, TemplateError, check_rules,
    check_types, declared_parameters, parameter_values,
};

#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) template: Template,
    pub(super) tags: Vec<(String, String)>,
    parameters: BTreeMap<String, Value>,
    conditions: BTreeMap<String, bool>,
    pseudo: Pseudo,
}

impl Target {
    pub(super) fn new(
        stack: &Stack,
        texts: &TemplateTexts,
        deployment: &Deployment,
        notification_arns: &[String],
    ) -> Result<Self, TemplateError> {
        let template = Template::read(texts.processed.clone())?;
        let declared = declared_parameters(&template.root)?;
        let parameters = parameter_values(&declared, &deployment.parameters, &deployment.from_ssm);
        let pseudo = Pseudo {
            account: stack.account.clone(),
            region: stack.region.clone(),
            stack_name: stack.name.clone(),
            stack_id: stack.id.clone(),
            notification_arns: notification_arns.to_vec(),
        };
        let conditions = template.evaluate_conditions(&parameters, &pseudo)?;
        let tags = deployment.tags.clone();
        let target = Self { template, tags, parameters, conditions, pseudo };
        check_rules(&target.evaluation(&Nothing), &declared)?;
        check_types(target.resources())?;
        Ok(target)
    }

    pub(super) fn holds(&self, condition: Option<&String>) -> bool {
        condition.is_none_or(|name| self.conditions.get(name).copied().unwrap_or(false))
    }

    /// The resources whose conditions hold.
    pub(super) fn resources(&self) -> impl Iterator<Item = &Declared> {
        let declared = self.template.resources.iter();
        declared.filter(|declared| self.holds(declared.condition.as_ref()))
    }

    pub(super) fn evaluation<'a>(&'a self, lookup: &'a dyn Lookup) -> Evaluation<'a> {
        Evaluation {
            template: &self.template,
            parameters: &self.parameters,
            conditions: &self.conditions,
            pseudo: &self.pseudo,
            lookup,
        }
    }

    /// The properties of a resource, functions evaluated.
    pub(super) fn properties(
        &self,
        declared: &Declared,
        lookup: &dyn Lookup,
    ) -> Result<Map<String, Value>, TemplateError> {
        let whole = Value::Object(declared.properties.clone());
        match self.evaluation(lookup).resolve(&whole)? {
            Some(Value::Object(properties)) => Ok(properties),
            None => Ok(Map::new()),
            Some(_) => Err(TemplateError::format(format!(
                "[/Resources/{}/Properties] Every Properties member must be a JSON object.",
                declared.id
            ))),
        }
    }
}
