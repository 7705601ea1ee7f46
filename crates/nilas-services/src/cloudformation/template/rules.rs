//! The Rules section: assertions about parameters, checked before anything is made.
//!
//! Its functions are its own: they know neither resources nor conditions. See "Rule-specific intrinsic functions".

use serde_json::{Map, Value};

use super::error::TemplateError;
use super::evaluate::{Evaluation, comparable};
use super::parameters::Parameter;

/// Functions in functions; a rule that needs more is hardly one that a person wrote.
const DEPTH_MAX: usize = 16;

/// Fails with the description of the first assertion that does not hold.
pub(crate) fn check(
    evaluation: &Evaluation<'_>,
    parameters: &[Parameter],
) -> Result<(), TemplateError> {
    let rules = Rules { evaluation, parameters };
    let section = evaluation.template.root.get("Rules").and_then(Value::as_object);
    for (name, rule) in section.into_iter().flatten() {
        rules.check(name, rule)?;
    }
    Ok(())
}

struct Rules<'a> {
    evaluation: &'a Evaluation<'a>,
    parameters: &'a [Parameter],
}

impl Rules<'_> {
    fn check(&self, name: &str, rule: &Value) -> Result<(), TemplateError> {
        let malformed = |what: &str| TemplateError::format(format!("[/Rules/{name}] {what}"));
        let rule =
            rule.as_object().ok_or_else(|| malformed("Every Rules member must be an object."))?;
        if let Some(unknown) =
            rule.keys().find(|key| !["RuleCondition", "Assertions"].contains(&key.as_str()))
        {
            return Err(malformed(&format!("Invalid template rule property '{unknown}'")));
        }
        let assertions = rule.get("Assertions").and_then(Value::as_array);
        let assertions =
            assertions.ok_or_else(|| malformed("Every rule must have a list of Assertions."))?;
        if let Some(condition) = rule.get("RuleCondition")
            && !self.holds(condition, 0)?
        {
            return Ok(());
        }
        for assertion in assertions {
            let assert = assertion
                .get("Assert")
                .ok_or_else(|| malformed("Every assertion must have an Assert member."))?;
            if !self.holds(assert, 0)? {
                let described = assertion.get("AssertDescription").and_then(Value::as_str);
                let described = described.unwrap_or("An assertion does not hold.");
                return Err(TemplateError::of(format!("Rule {name} failed: {described}")));
            }
        }
        Ok(())
    }

    fn holds(&self, value: &Value, depth: usize) -> Result<bool, TemplateError> {
        let Some((name, argument)) = only_member(value).filter(|_| depth < DEPTH_MAX) else {
            return Err(TemplateError::of(
                "Rules can only be made of boolean functions of parameters.",
            ));
        };
        let arguments = argument.as_array().map_or(&[] as &[Value], Vec::as_slice);
        let mut parts = arguments.iter().map(|part| self.holds(part, depth + 1));
        match (name, arguments) {
            ("Fn::And", [_, _, ..]) => parts.try_fold(true, |all, part| Ok(part? && all)),
            ("Fn::Or", [_, _, ..]) => parts.try_fold(false, |any, part| Ok(part? || any)),
            ("Fn::Not", [inner]) => Ok(!self.holds(inner, depth + 1)?),
            ("Fn::Equals", [left, right]) => Ok(self.text(left)? == self.text(right)?),
            ("Fn::Contains", [list, value]) => Ok(self.texts(list)?.contains(&self.text(value)?)),
            ("Fn::EachMemberEquals", [list, value]) => {
                let value = self.text(value)?;
                Ok(self.texts(list)?.iter().all(|member| *member == value))
            }
            ("Fn::EachMemberIn", [list, allowed]) => {
                let allowed = self.texts(allowed)?;
                Ok(self.texts(list)?.iter().all(|member| allowed.contains(member)))
            }
            _ => Err(TemplateError::of(format!("Rules cannot use {name} like this."))),
        }
    }

    /// A text, or what a parameter has.
    fn text(&self, value: &Value) -> Result<String, TemplateError> {
        match only_member(value) {
            Some(("Ref", _)) => {
                let found = self.evaluation.resolve(value)?;
                Ok(found.as_ref().map(comparable).unwrap_or_default())
            }
            None if !value.is_object() && !value.is_array() => Ok(comparable(value)),
            Some((name, _)) => {
                Err(TemplateError::of(format!("{name} is not supported by nilas in Rules.")))
            }
            None => Err(TemplateError::of("Rules can only compare texts.")),
        }
    }

    fn texts(&self, value: &Value) -> Result<Vec<String>, TemplateError> {
        match (value, only_member(value)) {
            (Value::Array(items), _) => items.iter().map(|item| self.text(item)).collect(),
            (_, Some(("Ref", _))) => match self.evaluation.resolve(value)? {
                Some(Value::Array(items)) => Ok(items.iter().map(comparable).collect()),
                found => Ok(found.as_ref().map(comparable).into_iter().collect()),
            },
            (_, Some(("Fn::RefAll", kind))) => {
                let named = self
                    .parameters
                    .iter()
                    .filter(|known| Some(known.kind.as_str()) == kind.as_str());
                let values = named.filter_map(|known| self.evaluation.parameters.get(&known.name));
                Ok(values.map(comparable).collect())
            }
            _ => Ok(vec![self.text(value)?]),
        }
    }
}

fn only_member(value: &Value) -> Option<(&str, &Value)> {
    let members: &Map<String, Value> = value.as_object()?;
    let (name, argument) = members.iter().next().filter(|_| members.len() == 1)?;
    Some((name, argument))
}
