//! ListExports, ListImports.

use nilas_wire::{ApiResponse, Fault};

use super::Cx;
use super::list::{page, token};
use crate::cloudformation::fault;

pub(super) fn list(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let mut exports = Vec::new();
    for state in cx.stacks().iter().filter(|state| state.stack.deleted_ms.is_none()) {
        for output in &state.stack.outputs {
            if let Some(name) = &output.export {
                exports.push((name.clone(), state.stack.id.clone(), output.value.clone()));
            }
        }
    }
    exports.sort();
    let (exports, next) = page(exports, cx)?;
    Ok(cx.answer(|xml| {
        xml.members("Exports", exports, |xml, (name, stack, value)| {
            xml.text("ExportingStackId", &stack);
            xml.text("Name", &name);
            xml.text("Value", &value);
        });
        token(xml, next);
    }))
}

pub(super) fn imports(cx: &Cx<'_>) -> Result<ApiResponse, Fault> {
    let name = cx.required("ExportName")?;
    let stacks = cx.stacks();
    let there = stacks.iter().filter(|state| state.stack.deleted_ms.is_none());
    let users: Vec<String> = there
        .filter(|state| state.stack.imports.contains(name))
        .map(|state| state.stack.name.clone())
        .collect();
    if users.is_empty() {
        return Err(fault::validation(format!("Export '{name}' is not imported by any stack.")));
    }
    let (users, next) = page(users, cx)?;
    Ok(cx.answer(|xml| {
        xml.open("Imports");
        users.iter().for_each(|user| xml.text("member", user));
        xml.close("Imports");
        token(xml, next);
    }))
}
