//! Rows that need no AWS translator beside them; `tests/sam/compare.py` has it.

use expect_test::{Expect, expect};
use serde_json::json;

use super::core::print;
use super::core::value::{Map, Text, Val};
use super::{Settings, transform};

fn settings() -> Settings {
    Settings { region: "eu-central-1".to_owned(), parameters: serde_json::Map::new(), now_s: 0 }
}

fn check(resources: serde_json::Value, expected: Expect) {
    let template = json!({ "Transform": "AWS::Serverless-2016-10-31", "Resources": resources });
    match transform(&template, &settings()) {
        Ok(template) => expected.assert_eq(&format!("{:#}", template["Resources"])),
        Err(error) => expected.assert_eq(&error.to_string()),
    }
}

#[test]
fn makes_a_function_and_its_role() {
    check(
        json!({ "F": { "Type": "AWS::Serverless::Function", "Properties": {
            "Handler": "app.handler", "Runtime": "python3.13", "CodeUri": "s3://bucket/key"
        } } }),
        expect![[r#"
            {
              "F": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                  "Code": {
                    "S3Bucket": "bucket",
                    "S3Key": "key"
                  },
                  "Tags": [
                    {
                      "Key": "lambda:createdBy",
                      "Value": "SAM"
                    }
                  ],
                  "Handler": "app.handler",
                  "Runtime": "python3.13",
                  "Role": {
                    "Fn::GetAtt": [
                      "FRole",
                      "Arn"
                    ]
                  }
                }
              },
              "FRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                  "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                      {
                        "Action": [
                          "sts:AssumeRole"
                        ],
                        "Effect": "Allow",
                        "Principal": {
                          "Service": [
                            "lambda.amazonaws.com"
                          ]
                        }
                      }
                    ]
                  },
                  "ManagedPolicyArns": [
                    "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
                  ],
                  "Tags": [
                    {
                      "Key": "lambda:createdBy",
                      "Value": "SAM"
                    }
                  ]
                }
              }
            }"#]],
    );
}

#[test]
fn tells_all_faults_in_the_translators_words() {
    check(
        json!({
            "A": { "Type": "AWS::Serverless::Function", "Properties": { "Handler": "a", "Runtime": "r" } },
            "B": { "Type": "AWS::Serverless::Application", "Properties": {} },
        }),
        expect![
            "Invalid Serverless Application Specification document. Number of errors found: 2. Resource with id [A] is invalid. Only one of 'InlineCode' or 'CodeUri' can be set. Resource with id [B] is invalid. AWS::Serverless::Application is not supported: there is no Serverless Application Repository here."
        ],
    );
    check(
        json!({}),
        expect![
            "Invalid Serverless Application Specification document. Number of errors found: 1. Structure of the SAM template is invalid. 'Resources' section is required"
        ],
    );
}

#[test]
fn lists_keys_as_python_2_7_did() {
    // CPython 2.7: list(dict) after these insertions, and after copy.deepcopy.
    let mut map = Map::ordered();
    for key in ["in", "name", "schema", "required"] {
        map.insert(key, true);
    }
    let keys = |value: &Val| {
        let keys = value.as_map().map(Map::keys).unwrap_or_default();
        keys.iter().map(|key| key.as_str().to_owned()).collect::<Vec<_>>()
    };
    let map = Val::Map(map);
    assert_eq!(keys(&map), ["required", "schema", "name", "in"]);
    assert_eq!(keys(&map.deep_copy()), ["required", "in", "name", "schema"]);
    assert_eq!(keys(&map.deep_copy().deep_copy()), ["schema", "required", "name", "in"]);
}

#[test]
fn prints_as_python_does() {
    let rows: &[(Val, &str, &str)] = &[
        (1.into(), "1", "1"),
        (true.into(), "True", "true"),
        (Val::Null, "None", "null"),
        (Val::from_json(&json!(1.0)), "1.0", "1.0"),
        (Val::from_json(&json!(1e16)), "1e+16", "1e+16"),
        (Val::from_json(&json!(0.00001)), "1e-05", "1e-05"),
        ("it's".into(), r#""it's""#, r#""it's""#),
        ("ü\n".into(), r"'ü\n'", r#""\u00fc\n""#),
        (Text::new("ü😀", true).into(), r"u'\xfc\U0001f600'", r#""\u00fc\ud83d\ude00""#),
    ];
    for (value, repr, json) in rows {
        assert_eq!(print::repr(value), *repr);
        assert_eq!(print::json(value), *json);
    }
}
