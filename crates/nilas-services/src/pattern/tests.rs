//! Rows: pattern, event, whether it matches; and pattern, reason.

use serde_json::json;

use crate::pattern::Pattern;

/// A pattern for the field `f`, and events that match and do not, as values of `f`.
fn check(matchers: &str, matching: &[&str], others: &[&str]) {
    let pattern = Pattern::parse(&format!(r#"{{"f":[{matchers}]}}"#)).expect(matchers);
    let matches = |value: &str| {
        let event = match value {
            "" => "{}".to_owned(),
            value => format!(r#"{{"f":{value}}}"#),
        };
        pattern.matches(&serde_json::from_str(&event).expect(value))
    };
    for value in matching {
        assert!(matches(value), "{matchers} matches {value}");
    }
    for value in others {
        assert!(!matches(value), "{matchers} does not match {value}");
    }
}

#[test]
fn each_operator() {
    check(
        r#""a","b""#,
        &[r#""a""#, r#""b""#, r#"["x","b"]"#],
        &["", "null", r#""A""#, r#"{"a":1}"#, "[]"],
    );
    check("5", &["5", "5.0", "5e0", "[1,5]"], &[r#""5""#, "6"]);
    check("123456789012", &["123456789012"], &["123456789013"]);
    check(r#""a",{"exists":false}"#, &["", "[]", r#"["x","a"]"#], &[r#""x""#]);
    check("true,null", &["true", "null"], &["false", r#""true""#, ""]);
    check(r#""""#, &[r#""""#], &["null", r#"" ""#]);
    check(r#""::1""#, &[r#""0:0:0:0:0:0:0:1""#], &[r#""::2""#]);
    check(r#"{"prefix":"us-"}"#, &[r#""us-east-1""#], &[r#""US-east-1""#, r#""eu""#, "1"]);
    check(
        r#"{"prefix":{"equals-ignore-case":"US-"}}"#,
        &[r#""us-east-1""#, r#""Us-""#],
        &[r#""u""#],
    );
    check(r#"{"suffix":".png"}"#, &[r#""a.png""#], &[r#""a.PNG""#]);
    check(r#"{"suffix":{"equals-ignore-case":".png"}}"#, &[r#""a.PNG""#], &[r#""a.pn""#]);
    check(r#"{"equals-ignore-case":"Alice"}"#, &[r#""aLICE""#], &[r#""Alic""#]);
    check(
        r#"{"wildcard":"dir/*.png"}"#,
        &[r#""dir/a/b.png""#, r#""dir/.png""#],
        &[r#""dir/png""#, r#""xdir/a.png""#],
    );
    check(r#"{"wildcard":"a*a"}"#, &[r#""aa""#, r#""aba""#], &[r#""a""#]);
    check(r#"{"wildcard":"a\\*b*"}"#, &[r#""a*bc""#], &[r#""aXb""#]);
    check(r#"{"numeric":[">",0,"<=",5]}"#, &["5", "0.1"], &["0", "5.1", r#""3""#]);
    check(r#"{"numeric":["=",3.0]}"#, &["3"], &["4"]);
    check(r#"{"numeric":["<",10]}"#, &["-1"], &["10", "-6000000000"]);
    check(r#"{"cidr":"10.0.0.0/24"}"#, &[r#""10.0.0.255""#], &[r#""10.0.1.0""#, r#""x""#, "1"]);
    check(
        r#"{"cidr":"2001:db8::/32"}"#,
        &[r#""2001:db8::5""#],
        &[r#""2001:db9::""#, r#""10.0.0.1""#],
    );
    check(r#"{"exists":true}"#, &["1", "null", r#"["a"]"#], &["", r#"{"a":1}"#]);
    check(r#"{"exists":false}"#, &["", r#"{"a":1}"#, "[]"], &["1", "null"]);
}

#[test]
fn anything_but_what_is_listed() {
    check(
        r#"{"anything-but":"a"}"#,
        &[r#""b""#, "1", "null", r#"["a","b"]"#],
        &[r#""a""#, "", r#"["a"]"#],
    );
    check(r#"{"anything-but":["a","b"]}"#, &[r#""c""#], &[r#""b""#]);
    check(r#"{"anything-but":[1,2]}"#, &["3", r#""1""#], &["1.0"]);
    check(r#"{"anything-but":{"prefix":"us"}}"#, &[r#""eu""#, "1"], &[r#""us-east-1""#]);
    check(r#"{"anything-but":{"prefix":["us","eu"]}}"#, &[r#""ap""#], &[r#""eu-west-1""#]);
    check(r#"{"anything-but":{"suffix":".png"}}"#, &[r#""a.jpg""#], &[r#""a.png""#]);
    check(
        r#"{"anything-but":{"equals-ignore-case":["A","b"]}}"#,
        &[r#""c""#],
        &[r#""a""#, r#""B""#],
    );
    check(r#"{"anything-but":{"wildcard":"*/lib/*"}}"#, &[r#""/bin/x""#], &[r#""/lib/x""#]);
}

#[test]
fn fields_together() {
    let rows = [
        (r#"{"a":["1"],"b":{"c":[2]}}"#, json!({ "a": "1", "b": { "c": 2 } }), true),
        (r#"{"a":["1"],"b":{"c":[2]}}"#, json!({ "a": "1", "b": 2 }), false),
        (r#"{"a":["1"],"$or":[{"b":[1]},{"c":[1]}]}"#, json!({ "a": "1", "c": 1 }), true),
        (r#"{"a":["1"],"$or":[{"b":[1]},{"c":[1]}]}"#, json!({ "c": 1 }), false),
        (r#"{"$or":[{"a":[1]},{"a":[2]}],"b":[3]}"#, json!({ "a": 2, "b": 3 }), true),
        // A field said twice is what was said last.
        (r#"{"a":[1],"$or":[{"a":[2]},{"b":[3]}]}"#, json!({ "a": 2 }), true),
        (r#"{"a":[{"exists":false}],"b":{"c":[{"exists":false}]}}"#, json!({}), true),
        (r#"{"a.b":[1]}"#, json!({ "a.b": 1 }), true),
        // Of an array, one element must be all that is said.
        (r#"{"a":{"b":[1],"c":[2]}}"#, json!({ "a": [{ "b": 1, "c": 2 }] }), true),
        (r#"{"a":{"b":[1],"c":[2]}}"#, json!({ "a": [{ "b": 1 }, { "c": 2 }] }), false),
        (
            r#"{"a":{"b":[1],"c":[{"exists":false}]}}"#,
            json!({ "a": [{ "b": 1 }, { "c": 2 }] }),
            true,
        ),
        (r#"{"a":{"c":[{"exists":false}]}}"#, json!({ "a": [{ "b": 1 }, { "c": 2 }] }), false),
        (r#"{"a":{"b":[1]}}"#, json!({ "a": [[{ "b": [0, 1] }]] }), true),
    ];
    for (pattern, event, matches) in rows {
        let compiled = Pattern::parse(pattern).expect(pattern);
        assert_eq!(compiled.matches(&event), matches, "{pattern} on {event}");
    }
}

#[test]
fn what_is_wrong_and_where() {
    let rows = [
        (r#"{"source": ["aws.health"], "detail": {}}"#, "Empty objects are not allowed", 40),
        (
            r#"{"source":["test.event-pattern"],"detail":{"lenderId":"LenderA"}}"#,
            r#""lenderId" must be an object or an array"#,
            56,
        ),
        (r#""x""#, "Filter is not an object", 2),
        ("", "Filter is not an object", 1),
        (r#"{"a":[]}"#, "Empty arrays are not allowed", 8),
        (r#"{"a":[[1]]}"#, "Match value must be String, number, true, false, or null", 8),
        (r#"{"a":[{"foo":"x"}]}"#, "Unrecognized match type foo", 15),
        (r#"{"a":[{"prefix":1}]}"#, "prefix match pattern must be a string", 18),
        (r#"{"a":[{"suffix":["x"]}]}"#, "suffix match pattern must be a string", 18),
        (r#"{"a":[{"prefix":"b","suffix":"c"}]}"#, "Only one key allowed in match expression", 31),
        (
            r#"{"a":[{"anything-but":["b",1]}]}"#,
            "Inside anything but list, either all values are number or string, mixed type is not supported",
            30,
        ),
        (
            r#"{"a":[{"anything-but":null}]}"#,
            "Value of anything-but must be an array or single string/number value.",
            27,
        ),
        (
            r#"{"a":[{"anything-but":{"cidr":"10.0.0.0/8"}}]}"#,
            "Unsupported anything-but pattern: cidr",
            32,
        ),
        (r#"{"a":[{"numeric":["!",1]}]}"#, "Unrecognized numeric range operator: !", 24),
        (r#"{"a":[{"numeric":[">",5,"<",1]}]}"#, "Bottom must be less than top", 31),
        (r#"{"a":[{"numeric":[">","5"]}]}"#, "Value of > must be numeric", 24),
        (r#"{"a":[{"exists":"x"}]}"#, "exists match pattern must be either true or false.", 18),
        (r#"{"a":[{"wildcard":"a**"}]}"#, "Consecutive wildcard characters at pos 2", 24),
        (r#"{"$or":[{"a":[1]}]}"#, "There must have at least 2 Objects in $or relationship.", 19),
        (
            r#"{"a":[hello]}"#,
            "Unrecognized token 'hello': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')",
            12,
        ),
        (
            r#"{"a":["x" "y"]}"#,
            "Unexpected character ('\"' (code 34)): was expecting comma to separate Array entries",
            12,
        ),
        (
            "{a:1}",
            "Unexpected character ('a' (code 97)): was expecting double-quote to start field name",
            3,
        ),
    ];
    for (pattern, reason, column) in rows {
        let error = Pattern::parse(pattern).expect_err(pattern).to_string();
        let expected = format!(
            "Event pattern is not valid. Reason: {reason}\n at [Source: (String)\"{pattern}\"; line: 1, column: {column}]"
        );
        assert_eq!(error, expected);
    }
    let error =
        Pattern::parse(r#"{"a":[{"cidr":"10.0.0.0/33"}]}"#).expect_err("33 bits").to_string();
    assert_eq!(error, "Event pattern is not valid. Reason: IPv4 mask bits must be < 32");
}

#[test]
fn hostile_patterns_are_bounded() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(1_000), "}".repeat(1_000));
    assert!(Pattern::parse(&deep).is_err());
    let or = r#"{"$or":[{"a":[1]},{"b":[1]},{"c":[1]}]}"#;
    let wide: String = (0..12).map(|n| format!(r#""x{n}":{or},"#)).collect();
    assert!(Pattern::parse(&format!("{{{}}}", wide.trim_end_matches(','))).is_err());
    for text in [
        "{",
        "{\"",
        "{\"a\":",
        "{\"a\":[",
        "{\"a\":[\"\\",
        "[",
        "{\"a\":[1,",
        "-",
        "{\"a\":[-]}",
        "\u{1F600}",
    ] {
        assert!(Pattern::parse(text).is_err(), "{text}");
    }
}
