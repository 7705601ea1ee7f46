//! Whole documents: what they ask, what they say, what they become.

use serde_json::{Value, json};

use super::{Answers, Artifact, Loaded, Release, Service, load};

fn service(source: &str) -> Service {
    match load("serverless.yml", source, &Answers::default()) {
        Ok(Loaded::Service(service)) => *service,
        Ok(Loaded::Asks(questions)) => panic!("asks {questions:?}"),
        Err(problem) => panic!("{problem}"),
    }
}

fn template(service: &Service) -> Value {
    let artifact = |name: &str| Artifact {
        key: format!("serverless/{}/{}/1-x/{name}", service.name, service.stage),
        sha256: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".to_owned(),
    };
    let artifacts = service.packages.iter().map(|p| (p.name.clone(), artifact(&p.name))).collect();
    let release = Release { id: "1".to_owned(), artifacts };
    service.template(&release).expect("a service that compiles").template
}

#[test]
fn a_function_has_a_log_group_a_role_and_a_version() {
    let service = service(
        "service: hi\nprovider:\n  name: aws\n  runtime: nodejs8.10\nfunctions:\n  hello:\n    handler: h.hello\n",
    );
    assert_eq!((service.stack_name.as_str(), service.region.as_str()), ("hi-dev", "us-east-1"));
    let template = template(&service);
    let function = &template["Resources"]["HelloLambdaFunction"];
    assert_eq!(
        *function,
        json!({
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Code": {
                    "S3Bucket": {"Ref": "ServerlessDeploymentBucket"},
                    "S3Key": "serverless/hi/dev/1-x/hi.zip",
                },
                "Handler": "h.hello",
                "Runtime": "nodejs8.10",
                "FunctionName": "hi-dev-hello",
                "MemorySize": 1024,
                "Timeout": 6,
                "Role": {"Fn::GetAtt": ["IamRoleLambdaExecution", "Arn"]},
            },
            "DependsOn": ["HelloLogGroup"],
        })
    );
    assert_eq!(
        template["Resources"]["HelloLogGroup"]["Properties"]["LogGroupName"],
        "/aws/lambda/hi-dev-hello"
    );
    assert!(template["Outputs"]["HelloLambdaFunctionQualifiedArn"].is_object());
}
