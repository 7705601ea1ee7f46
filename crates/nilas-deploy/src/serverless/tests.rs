//! Whole documents: what they ask, what they say, what they become.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{Answer, Answers, Artifact, Contents, Loaded, Question, Release, Service, load};

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

/// Loads with files at hand, and shows what came of it: the document's `custom` section, questions or the problem.
fn check(source: &str, files: &[(&str, &str)], expected: Expect) {
    let source = format!("service: s\nprovider: aws\n{source}");
    let mut answers = Answers {
        env: BTreeMap::from([("HOME".to_owned(), "/home".to_owned())]),
        options: BTreeMap::from([("stage".to_owned(), "test".to_owned())]),
        params: BTreeMap::from([("cli".to_owned(), "given".to_owned())]),
        ..Answers::default()
    };
    for (path, text) in files {
        let answer = Answer::Bytes(text.as_bytes().to_vec());
        answers.known.insert(Question::File((*path).to_owned()), answer);
    }
    let shown = match load("serverless.yml", &source, &answers) {
        Ok(Loaded::Service(service)) => {
            let mut shown = service.document["custom"].to_string();
            for notice in &service.warnings {
                let at = notice.at.map(|at| format!(" ({at})")).unwrap_or_default();
                shown += &format!("\n{}{at}", notice.message);
            }
            shown
        }
        Ok(Loaded::Asks(questions)) => {
            questions.iter().map(|question| format!("{question:?}")).collect::<Vec<_>>().join("\n")
        }
        Err(problem) => match &problem.hint {
            Some(hint) => format!("{problem}\nhint: {hint}"),
            None => problem.to_string(),
        },
    };
    expected.assert_eq(&shown);
}

#[test]
fn the_workshops_services_compile() {
    let hello = "service: 2_hello_world\n\nprovider:\n  name: aws\n  runtime: nodejs8.10\n\nfunctions:\n  hello:\n    \
                 handler: handler.hello\n";
    let api = "service: hello-world-api-3\n\nprovider:\n  name: aws\n  runtime: nodejs8.10\n\nfunctions:\n  hello:\n    \
               handler: handler.hello\n    events:\n      - http: GET hello\n";
    let uuid = "service: uuid-5\n\nprovider:\n  name: aws\n  runtime: nodejs8.10\n  timeout: 10\n\nfunctions:\n  \
                hello:\n    handler: handler.hello\n    events:\n      - http: GET hello\n";
    let first = service(hello);
    assert_eq!(first.stack_name, "service-2-hello-world-dev");
    assert_eq!(first.functions[0].name, "2_hello_world-dev-hello");
    assert_eq!(first.functions[0].handler_files(), ["handler.js", "handler.mjs", "handler.cjs"]);
    template(&first);
    for (source, timeout) in [(api, 6), (uuid, 10)] {
        let service = service(source);
        let endpoint = &service.endpoints[0];
        assert_eq!((endpoint.method.as_str(), endpoint.path.as_str()), ("GET", "/hello"));
        let resources = &template(&service)["Resources"];
        assert_eq!(resources["HelloLambdaFunction"]["Properties"]["Timeout"], timeout);
        assert_eq!(resources["HelloLambdaFunction"]["Properties"]["Runtime"], "nodejs8.10");
        assert_eq!(resources["ApiGatewayResourceHello"]["Properties"]["PathPart"], "hello");
        let method = &resources["ApiGatewayMethodHelloGet"]["Properties"];
        assert_eq!(method["Integration"]["Type"], "AWS_PROXY");
        assert!(resources["HelloLambdaPermissionApiGateway"].is_object());
        assert!(resources["ApiGatewayDeployment1"].is_object());
    }
}

#[test]
fn the_workshops_environment_is_asked_of_the_caller() {
    let source = "service: mongo-6\n\nprovider:\n  name: aws\n  runtime: nodejs8.10\n  timeout: 10\n\nfunctions:\n  \
                  hello:\n    handler: handler.hello\n    events:\n      - http: GET hello\n    environment:\n      \
                  MONGODB_URI: ${env:SLS_MONGO_URI}\n";
    let problem = load("serverless.yml", source, &Answers::default()).expect_err("not set");
    assert_eq!(
        problem.to_string(),
        "Cannot resolve serverless.yml: Variables resolution errored with:\n  - Cannot resolve variable at \
         \"functions.hello.environment.MONGODB_URI\": Value not found at \"env\" source (serverless.yml:14:20)"
    );
    let env = BTreeMap::from([("SLS_MONGO_URI".to_owned(), "mongodb://x".to_owned())]);
    let answers = Answers { env, ..Answers::default() };
    let Ok(Loaded::Service(service)) = load("serverless.yml", source, &answers) else {
        panic!("it is set");
    };
    let function = &template(&service)["Resources"]["HelloLambdaFunction"];
    assert_eq!(function["Properties"]["Environment"]["Variables"]["MONGODB_URI"], "mongodb://x");
}

#[test]
fn variables_are_resolved_whatever_their_order() {
    check(
        "custom:\n  a: ${self:custom.b}-${self:provider.stage}\n  b: ${self:custom.c.0}\n  c: [x, '${opt:none, 3}']\n  \
         d: ${self:custom.c}\n  e: ${param:cli} ${param:own, 'none'}\n  f: \\${self:x} ${AWS::Region}",
        &[],
        expect![[
            r#"{"a":"x-test","b":"x","c":["x",3],"d":["x",3],"e":"given none","f":"${self:x} ${AWS::Region}"}"#
        ]],
    );
    check(
        "custom: ${file(./c/${sls:stage}.yml):part}",
        &[(
            "c/test.yml",
            "part: {a: !Sub '${AWS::Region}', b: '${env:HOME}', c: '${self:custom.b}'}",
        )],
        expect![[r#"{"a":{"Fn::Sub":"${AWS::Region}"},"b":"/home","c":"/home"}"#]],
    );
}

#[test]
fn what_is_outside_is_asked() {
    check(
        "custom: ['${cf(eu-west-1):stack.Out, 1}', '${ssm:/a/b}', '${s3:b/k/l}', '${file(x.json)}', '${aws:accountId}', \
         '${ssm(noDecrypt, us-east-2):c}']",
        &[],
        expect![[r#"
            File("x.json")
            StackOutput { stack: "stack", output: "Out", region: Some("eu-west-1") }
            SsmParameter { name: "/a/b", region: None, decrypt: true }
            SsmParameter { name: "c", region: Some("us-east-2"), decrypt: false }
            S3Object { bucket: "b", key: "k/l" }
            AccountId"#]],
    );
    check(
        "useDotenv: true\ncustom: ${env:A}",
        &[],
        expect![[r#"
        File(".env.test")
        File(".env")"#]],
    );
    check(
        "useDotenv: true\ncustom: ${env:A}",
        &[(".env.test", "A=from file")],
        expect![[r#""from file""#]],
    );
}

#[test]
fn problems_say_what_and_where() {
    check(
        "custom: {a: '${self:custom.b}', b: '${self:custom.a}'}",
        &[],
        expect![[r#"
        Cannot resolve serverless.yml: Variables resolution errored with:
          - Cannot resolve variable at "custom.b": Circular reference among "custom.b" and "custom.a" properties
          - Cannot resolve variable at "custom.a": Circular reference among "custom.a" and "custom.b" properties (serverless.yml:3:13)"#]],
    );
    check(
        "custom: {a: '${self:custom}'}",
        &[],
        expect![[r#"
        Cannot resolve serverless.yml: Variables resolution errored with:
          - Cannot resolve variable at "custom.a": Circular reference among "custom.a" and "custom.a" properties (serverless.yml:3:13)"#]],
    );
    check(
        "custom:\n  a: ${file(x.js):y}\n  b: ${nothing:x}",
        &[],
        expect![[r#"
        Cannot resolve serverless.yml: Variables resolution errored with:
          - Cannot resolve variable at "custom.a": "x.js" is a program, which is not run here
          - Cannot resolve variable at "custom.b": Unrecognized configuration variable sources: "nothing" (serverless.yml:4:6)
        hint: write what it computes as JSON or YAML, or deploy with osls and AWS_ENDPOINT_URL set to nilas"#]],
    );
    check("custom: 'a ${self:provider}'", &[], expect![[r#""a aws""#]]);
    check(
        "functions:\n  hello:\n    timeout: 3",
        &[],
        expect![[
            r#"Either "handler" or "image" property needs to be set on function "hello" (serverless.yml:5:5)"#
        ]],
    );
    check(
        "plugins: [serverless-offline, serverless-webpack]",
        &[],
        expect![[r#"
        The plugin "serverless-webpack" does not run here (serverless.yml:3:31)
        hint: if the service works without it, take it out of `plugins`; else deploy with osls, with AWS_ENDPOINT_URL set to nilas: it runs every plugin"#]],
    );
    check(
        "functions:\n  hello:\n    handler: a.b\n    memorysize: 3\n    events: [{http: {path: a, method: get, core: 1}}]\nother: 1",
        &[],
        expect![[r#"
            null
            at 'functions.hello': unrecognized property 'memorysize' (6:5)
            at 'functions.hello.events.0.http': unrecognized property 'core' (7:44)
            at root: unrecognized property 'other' (8:1)"#]],
    );
    check(
        "configValidationMode: error\nother: 1",
        &[],
        expect!["Configuration error at root: unrecognized property 'other' (serverless.yml:4:1)"],
    );
    check(
        "custom: [1",
        &[],
        expect![[
            r#"Cannot parse "serverless.yml": while parsing a flow sequence, expected ',' or ']' (serverless.yml:4:1)"#
        ]],
    );
}

#[test]
fn functions_share_an_archive_unless_they_want_their_own() {
    let service = service(
        "service: s\nprovider: aws\npackage: {patterns: ['!docs/**']}\nlayers: {l: {path: lay}}\nfunctions:\n  a: \
         {handler: a.b}\n  b: {handler: a.b}\n  c: {handler: a.b, package: {individually: true, patterns: ['!x']}}\n  d: \
         {handler: a.b, package: {artifact: out/d.zip}}\n",
    );
    let shown: Vec<String> = service
        .packages
        .iter()
        .map(|package| {
            let contents = match &package.contents {
                Contents::Archive(path) => format!("archive {path}"),
                Contents::Files { directory, rules } => {
                    format!("files of \"{directory}\" by {}", rules.patterns.join(" "))
                }
            };
            format!("{} for [{}]: {contents}", package.name, package.functions.join(", "))
        })
        .collect();
    expect![[r#"
        s.zip for [a, b]: files of "" by !.git/** !.gitignore !.DS_Store !npm-debug.log !yarn-*.log !.serverless/** !.serverless_plugins/** !serverless.yml !lay/** !docs/**
        c.zip for [c]: files of "" by !.git/** !.gitignore !.DS_Store !npm-debug.log !yarn-*.log !.serverless/** !.serverless_plugins/** !serverless.yml !lay/** !docs/** !x
        d.zip for [d]: archive out/d.zip
        l.zip for []: files of "lay" by !.git/** !.gitignore !.DS_Store !npm-debug.log !yarn-*.log !.serverless/** !.serverless_plugins/** !serverless.yml !docs/**"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn hostile_references_are_bounded() {
    let chain = |n: usize, value: &dyn Fn(usize) -> String| {
        let lines: String = (1..n).map(|n| format!("  a{n}: {}\n", value(n))).collect();
        format!("custom:\n  a0: x\n{lines}")
    };
    check(
        &chain(300, &|n| format!("{{x: '${{self:custom.a{}}}'}}", n - 1)),
        &[],
        expect![[r#"
            Cannot resolve serverless.yml: Variables resolution errored with:
              - the document is nested too deeply with its variables resolved
              - Cannot resolve variable at "custom.a192.x": the document is nested too deeply with its variables resolved
              - Cannot resolve variable at "custom.a193.x": the document is nested too deeply with its variables resolved
              - Cannot resolve variable at "custom.a194.x": the document is nested too deeply with its variables resolved
              - Cannot resolve variable at "custom.a195.x": the document is nested too deeply with its variables resolved
              - Cannot resolve variable at "custom.a196.x": the document is nested too deeply with its variables resolved
              - Cannot resolve variable at "custom.a197.x": the document is nested too deeply with its variables resolved
              - Cannot resolve variable at "custom.a198.x": the document is nested too deeply with its variables resolved
              - Cannot resolve variable at "custom.a199.x": the document is nested too deeply with its variables resolved
              - Cannot resolve variable at "custom.a200.x": the document is nested too deeply with its variables resolved
              and 51 more"#]],
    );
    check(
        &chain(40, &|n| format!("'${{self:custom.a{0}}}${{self:custom.a{0}}}'", n - 1)),
        &[],
        expect![[r#"
            Cannot resolve serverless.yml: Variables resolution errored with:
              - the texts of the document are too long
              - Cannot resolve variable at "custom.a26": the texts of the document are too long (serverless.yml:29:8)"#]],
    );
    check(
        &chain(24, &|n| format!("['${{self:custom.a{0}}}', '${{self:custom.a{0}}}']", n - 1)),
        &[],
        expect![[r#"
            Cannot resolve serverless.yml: Variables resolution errored with:
              - Cannot resolve variable at "custom.a15.1": the document is too large with its variables resolved
              - the document is too large with its variables resolved (serverless.yml:19:31)"#]],
    );
    check(
        &format!("custom: '{}x{}'", "${self:".repeat(40), "}".repeat(40)),
        &[],
        expect![[r#"
            Cannot resolve serverless.yml: Variables resolution errored with:
              - Cannot resolve variable at "custom": Invalid variable nesting at index 224 in "${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:${self:x}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}" (serverless.yml:3:9)"#]],
    );
}
