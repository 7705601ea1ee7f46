//! What the tests of CloudFormation share.

use std::sync::Arc;

use nilas_model::{AccountId, AuthContext, Origin, Principal, Region, SimClock};

use super::resource::Cx;
use crate::calls::Calls;

pub(crate) fn auth() -> AuthContext {
    AuthContext {
        account: AccountId::parse("000000000000").unwrap(),
        region: Region::parse("us-east-1").unwrap(),
        principal: Principal::Root,
        access_key_id: "test".to_owned(),
        origin: Origin::Loopback,
    }
}

/// The resource `R` of the stack `s`.
pub(crate) fn cx() -> Cx {
    Cx {
        calls: Calls::default(),
        auth: auth(),
        clock: Arc::new(SimClock::at_epoch_ms(1_800_000_000_000)),
        base_url: "http://127.0.0.1:4566".to_owned(),
        stack_name: "s".to_owned(),
        stack_id: "arn:aws:cloudformation:us-east-1:000000000000:stack/s/1".to_owned(),
        stack_tags: Vec::new(),
        logical_id: "R".to_owned(),
        token: "ABCDEFGHIJKL".to_owned(),
        resumed: false,
    }
}
