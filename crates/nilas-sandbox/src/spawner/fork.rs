//! What a zygote or template needs to fork into a shell, and the order for it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::SendFlags;

use crate::init::Stdio;
use crate::jail::{INSIDE_GID, INSIDE_UID};
use crate::order::{ForkOrder, Kind};
use crate::protocol::{self, Failure};

#[derive(Debug)]
pub(super) struct ForkTools {
    /// Of pid 1: all seven, in the order of `order::Place`. None before the shell is prepared.
    pub(super) namespaces: Vec<OwnedFd>,
    pub(super) stdio: Stdio,
    pub(super) report: OwnedFd,
    pub(super) go: OwnedFd,
    /// The v2 group, for who may choose where to be born: a template may not.
    pub(super) group: Option<OwnedFd>,
    pub(super) doors: Vec<File>,
    /// Whether it is a template that will fork.
    pub(super) below: bool,
    /// For a fork that is to be a template: where it will hear its orders.
    pub(super) control: Option<OwnedFd>,
}

impl ForkTools {
    /// Orders a fork by `control`. What goes wrong in it is told to its pid 1.
    pub(super) fn order(&self, control: &OwnedFd, privileged: bool) -> Result<(), Failure> {
        let Self { namespaces, stdio, report, go, group, doors, control: handed, .. } = self;
        let kind = match (handed, self.below) {
            (Some(_), _) => Kind::Template,
            (None, true) => Kind::Restored,
            (None, false) => Kind::Function,
        };
        let order = ForkOrder {
            kind,
            change_ids: privileged,
            uid: INSIDE_UID,
            gid: INSIDE_GID,
            group: group.is_some(),
            doors: u8::try_from(doors.len()).unwrap_or(u8::MAX),
        };
        let mut descriptors: Vec<BorrowedFd<'_>> = namespaces.iter().map(AsFd::as_fd).collect();
        descriptors.extend(
            [&stdio.null, &stdio.output, &stdio.channel, &stdio.telemetry, report, go]
                .map(AsFd::as_fd),
        );
        descriptors.extend(group.iter().map(AsFd::as_fd));
        descriptors.extend(doors.iter().map(AsFd::as_fd));
        descriptors.extend(handed.iter().map(AsFd::as_fd));
        let flags = SendFlags::DONTWAIT;
        protocol::send_bytes(control, &order.encode(), &descriptors, flags).map_err(failed)
    }
}

/// Whoever was to fork cannot be asked.
pub(super) fn failed(reason: impl ToString) -> Failure {
    Failure::Fork { step: "ask for a fork".to_owned(), reason: reason.to_string() }
}
