//! Templates read, checked and evaluated: rows of data.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use serde_json::{Map, Value, json};

use super::{
    Evaluation, Given, Lookup, Pseudo, Template, TemplateError, apply_transforms,
    choose_parameters, declared_parameters, parameter_values, parse,
};

pub(super) fn pseudo() -> Pseudo {
    Pseudo {
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
        stack_name: "s".to_owned(),
        stack_id: "arn:stack".to_owned(),
        notification_arns: Vec::new(),
    }
}

/// Every resource's Ref is its id, every attribute `ID.ATTRIBUTE`.
struct Echo;

impl Lookup for Echo {
    fn resource(&self, id: &str) -> Option<Value> {
        Some(format!("<{id}>").into())
    }

    fn attribute(&self, id: &str, attribute: &str) -> Result<Value, TemplateError> {
        Ok(format!("<{id}.{attribute}>").into())
    }

    fn export(&self, name: &str) -> Option<String> {
        (name == "known").then(|| "exported".to_owned())
    }
}

fn read(
    text: &str,
    given: &[(&str, &str)],
) -> Result<(Template, BTreeMap<String, Value>), TemplateError> {
    let root = parse(text)?;
    let parameters = declared_parameters(&root)?;
    let given = given
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Given::Value((*value).to_owned())))
        .collect();
    let chosen = choose_parameters(&parameters, &given, &BTreeMap::new())?;
    let values = parameter_values(&parameters, &chosen, &BTreeMap::new());
    let root = apply_transforms(root, &values, &pseudo(), 0)?;
    Ok((Template::read(root)?, values))
}

fn properties(text: &str, given: &[(&str, &str)]) -> Result<Map<String, Value>, TemplateError> {
    let (template, parameters) = read(text, given)?;
    let pseudo = pseudo();
    let conditions = template.evaluate_conditions(&parameters, &pseudo)?;
    let evaluation = Evaluation {
        template: &template,
        parameters: &parameters,
        conditions: &conditions,
        pseudo: &pseudo,
        lookup: &Echo,
    };
    let mut all = Map::new();
    for declared in &template.resources {
        if declared.condition.as_ref().is_none_or(|name| conditions[name]) {
            all.insert(declared.id.clone(), evaluation.members(&declared.properties)?.into());
        }
    }
    Ok(all)
}

/// Evaluates one value, as the property `Analytics` of a resource.
fn check(value: Value, expected: Expect) {
    let template = json!({
        "Transform": "AWS::LanguageExtensions",
        "Parameters": {
            "P": { "Type": "String", "Default": "p" },
            "L": { "Type": "CommaDelimitedList", "Default": "a, b,c" },
            "N": { "Type": "Number", "Default": 5 }
        },
        "Mappings": { "M": { "p": { "x": "mapped", "list": ["1", "2"] } } },
        "Conditions": {
            "Yes": { "Fn::Equals": [{ "Ref": "P" }, "p"] },
            "No": { "Fn::Not": [{ "Condition": "Yes" }] },
            "Both": { "Fn::And": [{ "Condition": "Yes" }, { "Fn::Equals": ["5", { "Ref": "N" }] }] },
            "Either": { "Fn::Or": [{ "Condition": "No" }, { "Condition": "Both" }] }
        },
        "Resources": {
            "A": { "Type": "AWS::CDK::Metadata", "Properties": { "Analytics": value } },
            "G": { "Type": "AWS::Logs::LogGroup" }
        }
    });
    let shown = match properties(&template.to_string(), &[]) {
        Ok(all) => all["A"].get("Analytics").unwrap_or(&Value::Null).to_string(),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn functions_are_evaluated() {
    check(json!({ "Ref": "P" }), expect![[r#""p""#]]);
    check(json!({ "Ref": "L" }), expect![[r#"["a","b","c"]"#]]);
    check(json!({ "Ref": "AWS::NoValue" }), expect!["null"]);
    check(json!(["x", { "Ref": "AWS::NoValue" }]), expect![[r#"["x"]"#]]);
    check(json!({ "Fn::GetAtt": ["G", "Arn"] }), expect![[r#""<G.Arn>""#]]);
    check(
        json!({ "Fn::Sub": "${P}-${G}-${G.Arn}-${AWS::Region}-${!P}" }),
        expect![[r#""p-<G>-<G.Arn>-us-east-1-${P}""#]],
    );
    check(json!({ "Fn::Sub": ["${P}${Q}", { "Q": { "Ref": "N" } }] }), expect![[r#""p5""#]]);
    check(json!({ "Fn::Join": ["-", ["a", { "Ref": "G" }, 1]] }), expect![[r#""a-<G>-1""#]]);
    check(json!({ "Fn::Join": [",", { "Ref": "L" }] }), expect![[r#""a,b,c""#]]);
    check(json!({ "Fn::Select": ["1", { "Fn::Split": ["|", "x|y"] }] }), expect![[r#""y""#]]);
    check(
        json!({ "Fn::Select": [3, { "Ref": "L" }] }),
        expect!["Template error: Fn::Select cannot select nonexistent value at index 3"],
    );
    check(json!({ "Fn::If": ["Yes", 1, 2] }), expect!["1"]);
    check(json!({ "Fn::If": ["No", 1, { "Ref": "AWS::NoValue" }] }), expect!["null"]);
    check(json!({ "Fn::If": ["Either", { "a": { "Ref": "P" } }, 2] }), expect![[r#"{"a":"p"}"#]]);
    check(json!({ "Fn::FindInMap": ["M", { "Ref": "P" }, "x"] }), expect![[r#""mapped""#]]);
    check(
        json!({ "Fn::FindInMap": ["M", "q", "x"] }),
        expect!["Template error: Unable to get mapping for M::q::x"],
    );
    check(
        json!({ "Fn::FindInMap": ["M", "q", "x", { "DefaultValue": "d" }] }),
        expect![[r#""d""#]],
    );
    check(
        json!({ "Fn::FindInMap": ["Q", "q", "x"] }),
        expect![
            "Template format error: Mapping named 'Q' is not present in the 'Mappings' section of template."
        ],
    );
    check(json!({ "Fn::ImportValue": "known" }), expect![[r#""exported""#]]);
    check(
        json!({ "Fn::ImportValue": { "Fn::Sub": "un${P}" } }),
        expect!["No export named unp found."],
    );
    check(json!({ "Fn::Base64": "hello" }), expect![[r#""aGVsbG8=""#]]);
    check(
        json!({ "Fn::Select": [1, { "Fn::Cidr": ["10.0.0.0/16", 2, 8] }] }),
        expect![[r#""10.0.1.0/24""#]],
    );
    check(json!({ "Fn::GetAZs": "" }), expect![[r#"["us-east-1a","us-east-1b","us-east-1c"]"#]]);
    check(json!({ "Fn::Length": { "Ref": "L" } }), expect!["3"]);
    check(
        json!({ "Fn::ToJsonString": { "a": [{ "Ref": "N" }] } }),
        expect![[r#""{\"a\":[\"5\"]}""#]],
    );
    check(json!({ "Version": 1, "Condition": "x" }), expect![[r#"{"Version":1,"Condition":"x"}"#]]);
}

#[test]
fn what_is_malformed_is_told() {
    check(
        json!({ "Fn::Dance": 1 }),
        expect![
            "Template error: Encountered unsupported function: Fn::Dance Supported functions are: [Fn::And, Fn::Base64, Fn::Cidr, Condition, Fn::Equals, Fn::FindInMap, Fn::GetAtt, Fn::GetAZs, Fn::If, Fn::ImportValue, Fn::Join, Fn::Length, Fn::Not, Fn::Or, Ref, Fn::Select, Fn::Split, Fn::Sub, Fn::ToJsonString]"
        ],
    );
    check(
        json!({ "Ref": "X" }),
        expect![
            "Template format error: Unresolved resource dependencies [X] in the Resources block of the template"
        ],
    );
    check(
        json!({ "Fn::GetAtt": ["X", "Arn"] }),
        expect!["Template error: instance of Fn::GetAtt references undefined resource X"],
    );
    check(
        json!({ "Fn::GetAtt": ["G", "Name"] }),
        expect!["Template error: resource G does not support attribute type Name in Fn::GetAtt"],
    );
    check(
        json!({ "Fn::GetAtt": "G" }),
        expect![
            "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute"
        ],
    );
    check(
        json!({ "Fn::Sub": "${A.B C}" }),
        expect![
            "Template error: variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, and colons"
        ],
    );
    check(
        json!({ "Ref": ["G"] }),
        expect!["Template format error: Every Ref object must have a single String value."],
    );
    check(
        json!({ "Fn::If": ["Absent", 1, 2] }),
        expect![
            "Template format error: Unresolved condition dependency Absent in the Resources block of the template"
        ],
    );
    check(json!({ "Ref": "A" }), expect!["Circular dependency between resources: [A]"]);
}

#[test]
fn templates_are_refused_before_anything_is_made() {
    let check = |text: &str, expected: Expect| {
        let error = read(text, &[]).err().map(|error| error.to_string());
        expected.assert_eq(&error.unwrap_or_default());
    };
    check("{", expect!["Template format error: JSON not well-formed. (line 1, column 1)"]);
    check("a: [", expect!["Template format error: YAML not well-formed. (line 2, column 1)"]);
    check("- a", expect!["Template format error: unsupported structure."]);
    check(
        "Resources: {}",
        expect!["Template format error: At least one Resources member must be defined."],
    );
    check("Foo: 1", expect!["Invalid template property or properties [Foo]"]);
    check(
        "AWSTemplateFormatVersion: 2010-09-10",
        expect![
            "Template format error: 2010-09-10 is not a supported value for AWSTemplateFormatVersion."
        ],
    );
    check(
        "Resources: { A: { Type: 'AWS::No::Such' }, B: { Type: 'AWS::EC2::Instance' } }",
        expect![
            "Template format error: Unrecognized resource types: [AWS::EC2::Instance, AWS::No::Such]"
        ],
    );
    // Whether it is made depends on parameters.
    check(
        "Conditions: { Never: { 'Fn::Equals': [a, b] } }\nResources: { A: { Type: 'AWS::No::Such', Condition: Never } }",
        expect![""],
    );
    check(
        "Resources: { a-b: { Type: 'AWS::Logs::LogGroup' } }",
        expect!["Template format error: Resource name a-b is non alphanumeric."],
    );
    check(
        "Resources: { A: { Type: 'AWS::Logs::LogGroup', Foo: 1 } }",
        expect!["Invalid template resource property 'Foo'"],
    );
    check(
        "Resources: { A: { Properties: {} } }",
        expect![
            "Template format error: [/Resources/A] Every Resources object must contain a Type member."
        ],
    );
    check(
        "Resources: { A: { Type: 'AWS::Logs::LogGroup', DependsOn: B }, B: { Type: 'AWS::Logs::LogGroup', DependsOn: [A] } }",
        expect!["Circular dependency between resources: [A, B]"],
    );
    check(
        "Resources: { A: { Type: 'AWS::Logs::LogGroup', DeletionPolicy: Snapshot } }",
        expect![
            "Template error: resource type AWS::Logs::LogGroup does not support deletion policy Snapshot"
        ],
    );
    check(
        "{ Transform: Mine, Resources: { A: { Type: 'AWS::Logs::LogGroup' } } }\n",
        expect![[r#"Template format error: JSON not well-formed. (line 1, column 3)"#]],
    );
    check(
        "Transform: Mine\nResources: { A: { Type: 'AWS::Logs::LogGroup' } }",
        expect!["No transform named Mine found."],
    );
    check(
        "Resources: { A: { Type: 'AWS::Logs::LogGroup' } }\nOutputs: { O: { Value: !Ref B } }",
        expect![
            "Template format error: Unresolved resource dependencies [B] in the Outputs block of the template"
        ],
    );
}

#[test]
fn parameters_are_checked() {
    let check = |declared: &str, given: Option<&str>, expected: Expect| {
        let text = format!(
            "Parameters: {{ P: {declared} }}\nResources: {{ A: {{ Type: 'AWS::CDK::Metadata', Properties: {{ Analytics: !Ref P }} }} }}"
        );
        let given: Vec<(&str, &str)> = given.map(|value| ("P", value)).into_iter().collect();
        let shown = match properties(&text, &given) {
            Ok(all) => all["A"]["Analytics"].to_string(),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&shown);
    };
    check("{ Type: String }", None, expect!["Parameters: [P] must have values"]);
    check("{ Type: String }", Some(""), expect![[r#""""#]]);
    check(
        "{ Type: Strung }",
        Some("x"),
        expect!["Template format error: Unrecognized parameter type: Strung"],
    );
    check(
        "{ Type: String, AllowedValues: [a, b] }",
        Some("c"),
        expect!["Parameter 'P' must be one of AllowedValues"],
    );
    check(
        "{ Type: String, AllowedPattern: '[a-z]+' }",
        Some("a1"),
        expect!["Parameter 'P' must match pattern [a-z]+"],
    );
    check(
        "{ Type: String, AllowedPattern: '[a-z]+', ConstraintDescription: letters only }",
        Some("a1"),
        expect!["Parameter 'P' failed to satisfy constraint: letters only"],
    );
    check(
        "{ Type: String, MinLength: 2 }",
        Some("a"),
        expect!["Parameter 'P' must contain at least 2 characters"],
    );
    check(
        "{ Type: Number, MaxValue: 2 }",
        Some("3"),
        expect!["Parameter 'P' must be a number not greater than 2"],
    );
    check("{ Type: Number }", Some("x"), expect!["Parameter 'P' must be a number"]);
    check("{ Type: 'List<Number>' }", Some("1, 2"), expect![[r#"["1","2"]"#]]);
    check("{ Type: 'AWS::EC2::KeyPair::KeyName', Default: k }", None, expect![[r#""k""#]]);
    check(
        "{ Type: 'AWS::SSM::Parameter::Value<List<String>>', Default: /a }",
        None,
        expect![[r#"["/a"]"#]],
    );
    let error =
        read("Resources: { A: { Type: 'AWS::CDK::Metadata' } }", &[("Q", "1")]).unwrap_err();
    assert_eq!(error.to_string(), "Parameters: [Q] do not exist in the template");
}

#[test]
fn loops_are_written_out() {
    let text = r#"
Transform: AWS::LanguageExtensions
Parameters: { Names: { Type: CommaDelimitedList, Default: "a.x,b" } }
Resources:
  Fn::ForEach::Outer:
    - Name
    - !Ref Names
    - Fn::ForEach::Inner:
        - N
        - ["1", "2"]
        - "G&{Name}${N}":
            Type: AWS::Logs::LogGroup
            DeletionPolicy: !Select [0, [Retain]]
            Properties: { LogGroupName: !Sub "/${Name}/${N}/${AWS::StackName}", LogGroupClass: !Ref Name }
"#;
    let all = properties(text, &[]).unwrap();
    expect![[r#"{"Gax1":{"LogGroupName":"/a.x/1/s","LogGroupClass":"a.x"},"Gax2":{"LogGroupName":"/a.x/2/s","LogGroupClass":"a.x"},"Gb1":{"LogGroupName":"/b/1/s","LogGroupClass":"b"},"Gb2":{"LogGroupName":"/b/2/s","LogGroupClass":"b"}}"#]]
        .assert_eq(&Value::Object(all).to_string());
}
