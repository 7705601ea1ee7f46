//! Templates and what they render, by row.

use expect_test::{Expect, expect};
use serde_json::json;

use super::{Input, render};

fn input() -> Input {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Input {
        body: r#"{"name":"Ada","tags":["a","b"],"address":{"city":"London","zip":12},"none":null,"x-y":1.5}"#.to_owned(),
        path: vec![pair("id", "7")],
        querystring: vec![pair("q", "a b"), pair("Both", "query")],
        header: vec![pair("X-Api", "k"), pair("Both", "header")],
        stage_variables: vec![pair("env", "dev")],
        context: json!({"requestId": "r1", "identity": {"sourceIp": "127.0.0.1"}, "authorizer": {}}),
    }
}

#[track_caller]
fn check(template: &str, expected: Expect) {
    let shown = match render(template, &input()) {
        Ok(rendered) => rendered.text,
        Err(err) => format!("error: {err}"),
    };
    expected.assert_eq(&shown);
}

#[test]
fn input_is_read_by_json_path() {
    check("$input.json('$.address')", expect![[r#"{"city":"London","zip":12}"#]]);
    check(
        "$input.json('$')",
        expect![[
            r#"{"name":"Ada","tags":["a","b"],"address":{"city":"London","zip":12},"none":null,"x-y":1.5}"#
        ]],
    );
    check("$input.json('$.nothing') $input.json('$.name')", expect![[r#""" "Ada""#]]);
    check(
        "$input.path('$.address.city') $input.path('$.tags[1]') $input.path('$.x-y')",
        expect!["London b 1.5"],
    );
    check(
        "$input.path('$.address') $input.path('$.tags')",
        expect!["{city=London, zip=12} [a, b]"],
    );
    check(
        "$input.path('$').address.zip $input.path('$..city') [$input.path('$.no')]",
        expect!["12 [London] []"],
    );
    check(
        "#set($root = $input.path('$'))$root.name is ${root.address.city}'s",
        expect!["Ada is London's"],
    );
    check("$input.path('$.tags').size() $input.path('$.tags.length()')", expect!["2 2"]);
}

#[test]
fn parameters_are_looked_for_in_path_query_and_headers() {
    check(
        "$input.params('id') $input.params('q') $input.params('x-api') [$input.params('no')] $input.params('Both')",
        expect!["7 a b k [] query"],
    );
    check("$input.params().path.id $input.params().header.get('X-Api')", expect!["7 k"]);
    check(
        "#foreach($p in $input.params().querystring.keySet())$p=$util.urlEncode($input.params().querystring.get($p))#if($foreach.hasNext)&#end#end",
        expect!["q=a+b&Both=query"],
    );
}

#[test]
fn the_documented_pass_through_template_renders() {
    let template = r##"#set($allParams = $input.params())
{
"body-json" : $input.json('$'),
"params" : {
#foreach($type in $allParams.keySet())
    #set($params = $allParams.get($type))
"$type" : {
    #foreach($paramName in $params.keySet())
    "$paramName" : "$util.escapeJavaScript($params.get($paramName))"
        #if($foreach.hasNext),#end
    #end
}
    #if($foreach.hasNext),#end
#end
},
"stage-variables" : {
#foreach($key in $stageVariables.keySet())
"$key" : "$util.escapeJavaScript($stageVariables.get($key))"
    #if($foreach.hasNext),#end
#end
},
"context" : {
    "source-ip" : "$context.identity.sourceIp",
    "user" : "$context.identity.user",
    "request-id" : "$context.requestId"
    }
}
"##;
    let rendered = render(template, &input()).unwrap().text;
    let json: serde_json::Value = serde_json::from_str(&rendered).unwrap();
    assert_eq!(json["params"]["path"]["id"], "7");
    assert_eq!(json["params"]["header"]["X-Api"], "k");
    assert_eq!(json["stage-variables"]["env"], "dev");
    assert_eq!(json["context"], json!({"source-ip": "127.0.0.1", "user": "", "request-id": "r1"}));
    assert_eq!(json["body-json"]["name"], "Ada");
}

#[test]
fn what_is_not_there_is_rendered_as_written_unless_quiet() {
    check(
        "$foo ${foo} $foo.bar() $!foo|$!{foo.x}| costs 5$ or $5 a@b.c #hash #1",
        expect!["$foo ${foo} $foo.bar() || costs 5$ or $5 a@b.c #hash #1"],
    );
    check(
        "$context.authorizer.principalId|$stageVariables.no|$context.nothing.deeper",
        expect!["||"],
    );
    check(r"\$foo \#set #[[$raw #if]]#", expect!["$foo #set $raw #if"]);
}

#[test]
fn directives_run() {
    check("#set($x = 3)#if($x > 2 && !false)big#elseif($x == 2)two#else small#end", expect!["big"]);
    check("#if($nothing)a#{else}b#end", expect!["b"]);
    check("#foreach($i in [1..4])#if($i == 3)#break#end$i,#end$!i", expect!["1,2,"]);
    check(
        "#foreach($e in {'a': 1, 'b': [true, null]}.entrySet())$e.key:$e.value;#end",
        expect!["error: the template is malformed at line 1, column 43: expected `)`"],
    );
    check(
        "#set($m = {'a': 1, 'b': [true, 2]})#foreach($e in $m.entrySet())$e.key:$e.value $foreach.index;#end",
        expect!["a:1 0;b:[true, 2] 1;"],
    );
    check("## comment\na #* b *# c", expect!["a  c"]);
    check(
        "#macro(hello $name)Hi $name!#end#hello('Bob')#hello(\"$util.base64Encode('x')\")",
        expect!["Hi Bob!Hi eA==!"],
    );
    check("#define($block)<$x>#end#set($x = 1)$block$block", expect!["<1><1>"]);
    check("a#stop b", expect!["a"]);
    check("  #set($a = 1)  \nb", expect!["  b"]);
}

#[test]
fn expressions_are_those_of_velocity() {
    check(
        "#set($a = 7 / 2)#set($b = 7 % 4 * 2)#set($c = 1.5 + 1)#set($d = 'x' + 1)$a $b $c $d",
        expect!["3 6 2.5 x1"],
    );
    check("#set($s = \"v=$stageVariables.env\")$s #set($t = 'no $x')$t", expect!["v=dev no $x"]);
    check("#if('a' == 'a' and 1 != 2 or false)y#end#if(not (1 ge 2))n#end", expect!["yn"]);
    check(
        "#set($l = [])$l.add('a')#set($r = $l.add(\"b\"))$l #set($l[0] = 'z')$l $l[0] $l.get(1)",
        expect!["true[a, b] [z, b] z b"],
    );
    check(
        "#set($m = {})#set($m.k = 'v')#set($m['w'] = 2)$m $m.w #if($m.containsKey('k'))has#end",
        expect!["{k=v, w=2} 2 has"],
    );
    check("#set($v = 1)#set($v = $nothing)$v", expect!["1"]);
}

#[test]
fn texts_have_javas_methods() {
    check(
        "#set($s = 'Hello, World')$s.length() $s.toUpperCase() $s.substring(7) $s.indexOf('W') $s.replace('l', 'L')",
        expect!["12 HELLO, WORLD World 7 HeLLo, WorLd"],
    );
    check(
        "#set($s = 'a,b,,')$s.split(',') $s.split(',').size() $s.replaceAll('[ab]', 'x') $s.matches('a.*') $s.substring(99)",
        expect!["[a, b] 2 x,x,, true $s.substring(99)"],
    );
    check(
        "$util.escapeJavaScript(\"it's \"\"q\"\" /é\n\")",
        expect![[r#"it\'s \"q\" \/\u00E9\n"#]],
    );
    check(
        "$util.parseJson('{\"a\":[1,{\"b\":2}]}').a[1].b $util.urlDecode('a+b%21') $util.base64Decode('aGk=')",
        expect!["2 a b! hi"],
    );
    check("$util.parseJson('{')", expect!["error: parseJson: the text is no JSON"]);
}

#[test]
fn overrides_are_told() {
    let template = "#set($context.responseOverride.status = 201)#set($context.responseOverride.header.Location = \"/x\")#set($context.requestOverride.path.id = 'y')ok";
    let rendered = render(template, &input()).unwrap();
    assert_eq!(rendered.text, "ok");
    assert_eq!(rendered.response.status, Some(201));
    assert_eq!(rendered.response.header, [("Location".to_owned(), "/x".to_owned())]);
    assert_eq!(rendered.request.path, [("id".to_owned(), "y".to_owned())]);
}

#[test]
fn malformed_templates_say_where() {
    check(
        "a\n#if($x)b",
        expect!["error: the template is malformed at line 2, column 9: `#if` without `#end`"],
    );
    check(
        "#set($x = )",
        expect!["error: the template is malformed at line 1, column 11: expected a value"],
    );
    check(
        "#end",
        expect![
            "error: the template is malformed at line 1, column 5: a directive that ends a block has none to end"
        ],
    );
    check(
        "#set($x = 'a)",
        expect![
            "error: the template is malformed at line 1, column 11: a text without its closing quote"
        ],
    );
}

#[test]
fn hostile_templates_end() {
    check("#macro(m)#m()#end#m()", expect!["error: the template is nested too deeply"]);
    check(
        &format!("#set($x = {})", "(".repeat(100_000)),
        expect!["error: the template is nested too deeply"],
    );
    check(
        &format!("#set($x = {}1)", "!".repeat(100_000)),
        expect!["error: the template is nested too deeply"],
    );
    check(
        &format!("$a{}", "[$a".repeat(100_000)),
        expect!["error: the template is nested too deeply"],
    );
    check(&"#if(true)".repeat(100_000), expect!["error: the template is nested too deeply"]);
    check(
        "#set($s = 'x')#foreach($i in [1..1000])#set($s = $s + $s)#end#if($s.length() > 1000000)large#end",
        expect!["large"],
    );
    check(
        "#foreach($i in [1..1000])#foreach($j in [1..1000])#foreach($k in [1..1000])x#end#end#end",
        expect!["error: the template takes too many steps"],
    );
    check(
        "#foreach($i in [1..2000])x#end",
        expect!["error: a loop of the template has more than 1000 rounds"],
    );
    check(
        "#set($l = [])#set($r = $l.add($l))$l.size() $l.isEmpty() #if($l == $l)same#end",
        expect!["1 false same"],
    );
}
