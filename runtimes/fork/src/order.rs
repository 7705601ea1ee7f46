//! What the spawner tells a zygote: the one definition of both ends.
//!
//! To a zygote, or to a template (a fork that has run a function's init, and is forked in turn): `Rules` once for each
//! kind of fork it makes, then one `ForkOrder` a sandbox, each one packet. To a fork, by a pipe of its own: one `Go`,
//! when it is known what the sandbox is for. Integers are little-endian, byte strings have a `u32` length before them.
//! Shared as a source file, for the zygote's end is built apart, without dependencies.
//!
//! Invariant: pure, and decoding allocates nothing.

const KIND_RULES: u8 = 1;
const KIND_FORK: u8 = 2;

/// What a fork is to be; the number stands in orders and rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A function's main process, forked from a zygote.
    Function,
    /// Likewise, and forked itself once its init is over.
    Template,
    /// Forked from a template.
    Restored,
}

/// The descriptor of a zygote's connection to the spawner, inherited over exec.
pub(crate) const CONTROL: i32 = 3;
/// Numbers below this are held by a zygote, so that nothing of its own is where a child needs a place.
pub(crate) const LOW_DESCRIPTORS: i32 = 16;
/// Largest packet to a zygote, and largest `Go`, bytes.
pub(crate) const PACKET_BYTES_MAX: usize = 128 * 1024;
/// The packet a zygote sends when it has booted.
pub(crate) const READY: &[u8] = b"ready";
/// Resource limits of one order.
pub(crate) const RESOURCES: usize = 6;
/// Bytes of one instruction of a system call filter.
pub(crate) const INSTRUCTION_BYTES: usize = 8;
/// Bytes of one report: two `i32`.
pub(crate) const REPORT_BYTES: usize = 8;

/// Report: the fork exists; the value is its pid, as its pid 1 sees it.
pub(crate) const REPORT_FORKED: i32 = 0;
/// Report: the fork is complete and goes on in its bootstrap.
pub(crate) const REPORT_RUNNING: i32 = 1;
/// Report: a step failed; the value is its errno. The step's number counts from here.
pub(crate) const REPORT_FAILED: i32 = 2;

/// The descriptors of an order, in this sequence; then, as far as they are announced, the cgroup, the doors, and the control
/// connection of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Place {
    User,
    Pid,
    Mount,
    Network,
    Ipc,
    Uts,
    Cgroup,
    Null,
    Output,
    Channel,
    Telemetry,
    Report,
    Go,
}

impl Place {
    /// The number that the channel has in a fork.
    pub(crate) const CHANNEL: i32 = 3;
}

/// Descriptors every order has.
pub(crate) const PLACES: usize = Place::Go as usize + 1;

/// Steps of a fork that can fail, for the report and for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Step {
    JoinUser,
    JoinPid,
    Clone,
    Fork,
    EnterCgroup,
    JoinMount,
    JoinNetwork,
    JoinIpc,
    JoinUts,
    JoinCgroup,
    Session,
    Descriptors,
    Ids,
    Capabilities,
    Privileges,
    Filter,
    Restore,
}

/// For a child that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForkOrder {
    pub(crate) kind: Kind,
    /// Whether ids have to be taken on, or are the right ones already.
    pub(crate) change_ids: bool,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// A descriptor of a v2 group follows the places. Without it pid 1 moves the child into the group.
    pub(crate) group: bool,
    /// `tasks` files of v1 groups, after that.
    pub(crate) doors: u8,
}

/// What a fork is for. It has waited for this, and goes on to be the function's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Go<'a> {
    /// Resource and value, soft and hard alike.
    pub(crate) limits: [(u32, u64); RESOURCES],
    /// Empty for a fork that stays where it was.
    pub(crate) directory: &'a [u8],
    /// `NAME=VALUE`, each with a zero byte after it.
    pub(crate) environment: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// System call filters of forks of a kind: instructions, one filter after the other, each with its length in bytes
    /// before it.
    Rules(Kind, &'a [u8]),
    Fork(ForkOrder),
}

impl Step {
    pub(crate) const ALL: [(Self, &'static str); 17] = [
        (Self::JoinUser, "join the user namespace"),
        (Self::JoinPid, "join the pid namespace"),
        (Self::Clone, "clone into the pid namespace"),
        (Self::Fork, "fork the zygote"),
        (Self::EnterCgroup, "enter cgroup"),
        (Self::JoinMount, "join the mount namespace"),
        (Self::JoinNetwork, "join the network namespace"),
        (Self::JoinIpc, "join the ipc namespace"),
        (Self::JoinUts, "join the uts namespace"),
        (Self::JoinCgroup, "join the cgroup namespace"),
        (Self::Session, "start session"),
        (Self::Descriptors, "place descriptor"),
        (Self::Ids, "become the function's user"),
        (Self::Capabilities, "drop capabilities"),
        (Self::Privileges, "set no_new_privs"),
        (Self::Filter, "filter the function"),
        (Self::Restore, "restore descriptors"),
    ];

    /// The name of the step that a report of `REPORT_FAILED + number` is about.
    pub(crate) fn name(number: i32) -> &'static str {
        let known = Self::ALL.iter().find(|(step, _)| *step as i32 == number);
        known.map_or("fork the zygote", |(_, name)| name)
    }
}

impl Kind {
    pub(crate) const COUNT: usize = 3;

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Function, Self::Template, Self::Restored]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Encodes the filters of forks of a kind.
pub(crate) fn encode_rules(kind: Kind, filters: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![KIND_RULES, kind as u8];
    for filter in filters {
        put_bytes(&mut bytes, filter);
    }
    bytes
}

impl ForkOrder {
    /// How many descriptors come with it.
    pub(crate) fn descriptors(&self) -> usize {
        let control = usize::from(self.kind == Kind::Template);
        self.first_door() + usize::from(self.doors) + control
    }

    /// Where the doors are among them.
    pub(crate) fn first_door(&self) -> usize {
        PLACES + usize::from(self.group)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let [change_ids, group] = [self.change_ids, self.group].map(u8::from);
        let mut bytes = vec![KIND_FORK, self.kind as u8, change_ids, group, self.doors];
        bytes.extend_from_slice(&self.uid.to_le_bytes());
        bytes.extend_from_slice(&self.gid.to_le_bytes());
        bytes
    }
}

impl<'a> Go<'a> {
    /// With its own length before it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (resource, value) in self.limits {
            body.extend_from_slice(&resource.to_le_bytes());
            body.extend_from_slice(&value.to_le_bytes());
        }
        put_bytes(&mut body, self.directory);
        put_bytes(&mut body, self.environment);
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, &body);
        bytes
    }

    /// Of the body alone.
    pub(crate) fn decode(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(body);
        let mut limits = [(0, 0); RESOURCES];
        for limit in &mut limits {
            *limit = (reader.u32()?, u64::from_le_bytes(reader.take()?));
        }
        Some(Self { limits, directory: reader.bytes()?, environment: reader.bytes()? })
    }
}

impl<'a> Message<'a> {
    /// None for what no spawner of ours sends.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            KIND_RULES => {
                let (kind, body) = rest.split_first()?;
                Some(Self::Rules(Kind::from_byte(*kind)?, body))
            }
            KIND_FORK => {
                let mut reader = Reader(rest);
                let [kind, change_ids, group, doors] = reader.take()?;
                let kind = Kind::from_byte(kind)?;
                let (uid, gid) = (reader.u32()?, reader.u32()?);
                let (change_ids, group) = (change_ids != 0, group != 0);
                Some(Self::Fork(ForkOrder { kind, change_ids, uid, gid, group, doors }))
            }
            _ => None,
        }
    }
}

/// Takes the filters out of the body of `Message::Rules`.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("a packet is far smaller");
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: ForkOrder = ForkOrder {
        kind: Kind::Template,
        change_ids: true,
        uid: 993,
        gid: 990,
        group: false,
        doors: 3,
    };
    const GO: Go<'_> = Go {
        limits: [(7, 1_024), (6, 2), (4, 1), (11, 4), (8, 5), (3, u64::MAX)],
        directory: b"/var/task",
        environment: b"A=1\0B=2\0",
    };

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(Message::decode(&ORDER.encode()), Some(Message::Fork(ORDER)));
        let bytes = GO.encode();
        assert_eq!(Reader(&bytes).bytes().and_then(Go::decode), Some(GO));
        let rules = encode_rules(Kind::Restored, &[vec![1; 16], vec![2; 8]]);
        let Some(Message::Rules(Kind::Restored, body)) = Message::decode(&rules) else {
            panic!("rules")
        };
        let mut reader = Reader(body);
        assert_eq!(reader.bytes(), Some(&[1; 16][..]));
        assert_eq!(reader.bytes(), Some(&[2; 8][..]));
        assert_eq!(reader.bytes(), None);
    }

    #[test]
    fn what_is_cut_is_none() {
        let bytes = ORDER.encode();
        for length in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes[..length]), None, "{length} bytes");
        }
        let bytes = GO.encode();
        for length in 4..bytes.len() {
            assert_eq!(Go::decode(&bytes[4..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn every_step_has_its_own_name() {
        for (place, (step, name)) in Step::ALL.iter().enumerate() {
            assert_eq!(*step as usize, place);
            assert_eq!(Step::name(*step as i32), *name);
        }
    }
}
