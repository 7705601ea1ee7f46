//! Source text in a template (`Code.ZipFile`) as a deployment package, with the module for custom resources' answers.
//!
//! See "AWS::Lambda::Function Code", `ZipFile`, and "cfn-response module".

use std::io::{Cursor, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nilas_model::limits::INLINE_CODE_BYTES_MAX;
use zip::write::SimpleFileOptions;
use zip::{DateTime, ZipWriter};

use crate::cloudformation::failure::Failure;

/// `require('cfn-response')`; `NODE_PATH` has the package's own directory.
const NODE_MODULE: (&str, &str) = ("cfn-response.js", include_str!("inline_code/cfn-response.js"));
/// `import cfnresponse`
const PYTHON_MODULE: (&str, &str) = ("cfnresponse.py", include_str!("inline_code/cfnresponse.py"));

/// The archive in base64: the same for the same source, so that its hash is.
pub(super) fn archive(runtime: &str, source: &str) -> Result<String, Failure> {
    if source.len() > INLINE_CODE_BYTES_MAX {
        return Err(Failure::invalid(format!(
            "ZipFile has {} bytes, more than {INLINE_CODE_BYTES_MAX}.",
            source.len()
        )));
    }
    let (file, (module, text)) = if runtime.starts_with("nodejs") {
        ("index.js", NODE_MODULE)
    } else if runtime.starts_with("python") {
        ("index.py", PYTHON_MODULE)
    } else {
        return Err(Failure::invalid(
            "ZipFile can only be used when Runtime is set to a Node.js or Python runtime.",
        ));
    };
    let name = module.split('.').next().unwrap_or(module);
    let module = source.contains(name).then_some((module, text));
    let files: Vec<(&str, &str)> = std::iter::once((file, source)).chain(module).collect();
    pack(&files).map_err(|error| Failure::invalid(format!("ZipFile cannot be packed: {error}")))
}

fn pack(files: &[(&str, &str)]) -> Result<String, zip::result::ZipError> {
    let options = SimpleFileOptions::default()
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        zip.start_file(*name, options)?;
        zip.write_all(content.as_bytes())?;
    }
    Ok(BASE64.encode(zip.finish()?.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(runtime: &str, source: &str) -> Vec<String> {
        let zip = BASE64.decode(archive(runtime, source).unwrap()).unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        let count = zip.len();
        let name = |n| zip.by_index_raw(n).unwrap().name_raw().to_vec();
        (0..count).map(name).map(|name| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn the_module_is_there_for_code_that_loads_it() {
        assert_eq!(names("nodejs20.x", "exports.handler = 1"), ["index.js"]);
        assert_eq!(names("python3.12", "import json"), ["index.py"]);
        let node = "const cfn = require('cfn-response')";
        assert_eq!(names("nodejs20.x", node), ["index.js", "cfn-response.js"]);
        assert_eq!(names("python3.12", "import cfnresponse"), ["index.py", "cfnresponse.py"]);
        assert_eq!(archive("nodejs20.x", node).unwrap(), archive("nodejs20.x", node).unwrap());
        assert!(archive("java21", "class X {}").is_err());
    }
}
