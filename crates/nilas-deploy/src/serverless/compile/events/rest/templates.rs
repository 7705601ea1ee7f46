//! Request templates of the `lambda` integration: the event that such a function gets.
//!
//! The text is ours, the event is the Framework's: `body`, `method`, `principalId`, `stage`, `cognitoPoolClaims`,
//! `enhancedAuthContext`, `headers`, `query`, `path`, `identity`, `stageVariables`, `requestPath`.

/// For a body of JSON.
pub(super) fn json() -> String {
    event("#set($body = $input.json(\"$\"))\n")
}

/// For a form, `a=1&b=2`: the body is an object of its fields.
pub(super) fn form() -> String {
    let fields = "#set($body = \"{\")\n\
        #foreach($field in $input.path('$').split('&'))\n\
        #set($pair = $field.split('='))\n\
        #if($pair.size() >= 1)\n\
        #set($name = $util.escapeJavaScript($util.urlDecode($pair[0])))\n\
        #set($value = '')\n\
        #if($pair.size() >= 2)\n\
        #set($value = $util.escapeJavaScript($util.urlDecode($pair[1])).replaceAll(\"\\\\'\", \"'\"))\n\
        #end\n\
        #set($comma = '')\n\
        #if($foreach.hasNext)#set($comma = ',')#end\n\
        #set($body = \"$body\"\"$name\"\": \"\"$value\"\"$comma\")\n\
        #end\n\
        #end\n\
        #set($body = \"$body}\")\n";
    event(fields)
}

fn event(body: &str) -> String {
    let maps = [
        ("enhancedAuthContext", "$context.authorizer"),
        ("headers", "$input.params().header"),
        ("query", "$input.params().querystring"),
        ("path", "$input.params().path"),
        ("identity", "$context.identity"),
        ("stageVariables", "$stageVariables"),
    ];
    let maps: String = maps.iter().map(|(name, source)| map(name, source)).collect();
    format!(
        "{body}{{\n\
        \"body\": $body,\n\
        \"method\": \"$context.httpMethod\",\n\
        \"principalId\": \"$context.authorizer.principalId\",\n\
        \"stage\": \"$context.stage\",\n\
        \"cognitoPoolClaims\": {{extraCognitoPoolClaims\"sub\": \"$context.authorizer.claims.sub\"}},\n\
        {maps}\
        \"requestPath\": \"$context.resourcePath\"\n}}\n"
    )
}

/// A member that is an object of texts. An escaped apostrophe is no JSON, so it is taken back.
fn map(name: &str, source: &str) -> String {
    format!(
        "#set($map = {source})\n\"{name}\": {{#foreach($key in $map.keySet())\
        \"$util.escapeJavaScript($key)\": \
        \"$util.escapeJavaScript($map.get($key)).replaceAll(\"\\\\'\", \"'\")\"\
        #if($foreach.hasNext),#end#end}},\n"
    )
}
