//! What the spawner tells a zygote: the one definition of both ends.
//!
//! To a zygote: `Rules` once, then one `ForkOrder` a sandbox, each one packet. To a fork, by a pipe of its own: one `Go`,
//! when it is known what the sandbox is for. Integers are little-endian, byte strings have a `u32` length before them.
//! Shared as a source file, for the zygote's end is built apart, without dependencies.
//!
//! Invariant: pure, and decoding allocates nothing.

const KIND_RULES: u8 = 1;
const KIND_FORK: u8 = 2;

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

/// The descriptors of an order, in this sequence; then the cgroup, if there is one, and the doors.
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
}

/// For a child that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForkOrder {
    /// Whether ids have to be taken on, or are the right ones already.
    pub(crate) change_ids: bool,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// A descriptor of a v2 group follows the places.
    pub(crate) group: bool,
    /// `tasks` files of v1 groups, after that.
    pub(crate) doors: u8,
}

/// What a fork is for. It has waited for this, and goes on to be the function's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Go<'a> {
    /// Resource and value, soft and hard alike.
    pub(crate) limits: [(u32, u64); RESOURCES],
    pub(crate) directory: &'a [u8],
    /// `NAME=VALUE`, each with a zero byte after it.
    pub(crate) environment: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// System call filters: instructions, one filter after the other, each with its length in bytes before it.
    Rules(&'a [u8]),
    Fork(ForkOrder),
}

impl Step {
    pub(crate) const ALL: [(Self, &'static str); 16] = [
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
    ];

    /// The name of the step that a report of `REPORT_FAILED + number` is about.
    pub(crate) fn name(number: i32) -> &'static str {
        let known = Self::ALL.iter().find(|(step, _)| *step as i32 == number);
        known.map_or("fork the zygote", |(_, name)| name)
    }
}

/// Encodes the filters of a zygote's children.
pub(crate) fn encode_rules(filters: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![KIND_RULES];
    for filter in filters {
        put_bytes(&mut bytes, filter);
    }
    bytes
}

impl ForkOrder {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes =
            vec![KIND_FORK, u8::from(self.change_ids), u8::from(self.group), self.doors];
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
            KIND_RULES => Some(Self::Rules(rest)),
            KIND_FORK => {
                let mut reader = Reader(rest);
                let [change_ids, group, doors] = reader.take()?;
                let (uid, gid) = (reader.u32()?, reader.u32()?);
                let (change_ids, group) = (change_ids != 0, group != 0);
                Some(Self::Fork(ForkOrder { change_ids, uid, gid, group, doors }))
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

    const ORDER: ForkOrder =
        ForkOrder { change_ids: true, uid: 993, gid: 990, group: false, doors: 3 };
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
        let rules = encode_rules(&[vec![1; 16], vec![2; 8]]);
        let Some(Message::Rules(body)) = Message::decode(&rules) else { panic!("rules") };
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
