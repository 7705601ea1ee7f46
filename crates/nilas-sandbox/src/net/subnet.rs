//! The block of private addresses sandboxes get theirs from.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A block of IPv4 addresses, such as `10.213.0.0/16`.
///
/// Invariant: `8 <= bits <= 29`, and the host bits of `base` are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    base: Ipv4Addr,
    bits: u8,
}

/// The text is no block of addresses that could hold sandboxes.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a subnet like 10.213.0.0/16 (from /8 to /29, host bits zero)")]
pub struct SubnetError {
    text: String,
}

/// The base, the gateway and the last address are nobody's.
const ADDRESSES_RESERVED: u32 = 3;

// === impl Subnet ===

impl Subnet {
    pub fn base(self) -> Ipv4Addr {
        self.base
    }

    pub fn bits(self) -> u8 {
        self.bits
    }

    /// How many sandboxes can have an address.
    pub fn slots(self) -> u32 {
        (1 << (32 - u32::from(self.bits))) - ADDRESSES_RESERVED
    }

    /// What sandboxes know as their gateway. No interface has it: the neighbour entry is all there is.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// The address of the sandbox in `slot`, if there are so many.
    pub fn address(self, slot: u32) -> Option<Ipv4Addr> {
        (slot < self.slots()).then(|| Ipv4Addr::from(u32::from(self.base) + 2 + slot))
    }

    /// Whether any address is in both.
    pub fn overlaps(self, base: Ipv4Addr, bits: u8) -> bool {
        let mask = mask(self.bits.min(bits));
        u32::from(self.base) & mask == u32::from(base) & mask
    }

    /// The first block that collides with none of `taken`, from those few others use.
    pub(super) fn free(taken: &[(Ipv4Addr, u8)]) -> Option<Self> {
        let in_ten = (213..=223).map(|second| Ipv4Addr::new(10, second, 0, 0));
        let in_carrier = (64..=127).rev().map(|second| Ipv4Addr::new(100, second, 0, 0));
        let in_172 = (16..=31).rev().map(|second| Ipv4Addr::new(172, second, 0, 0));
        in_ten
            .chain(in_172)
            .chain(in_carrier)
            .map(|base| Self { base, bits: 16 })
            .find(|subnet| !taken.iter().any(|(base, bits)| subnet.overlaps(*base, *bits)))
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let parsed = text.split_once('/').and_then(|(base, bits)| {
            let base: Ipv4Addr = base.parse().ok()?;
            let bits: u8 = bits.parse().ok().filter(|bits| (8..=29).contains(bits))?;
            (u32::from(base) & !mask(bits) == 0).then_some(Self { base, bits })
        });
        parsed.ok_or_else(|| SubnetError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Subnet {
    type Error = SubnetError;

    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

fn mask(bits: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_only_whole_blocks() {
        for good in ["10.213.0.0/16", "10.0.0.0/8", "192.168.1.8/29"] {
            assert_eq!(good.parse::<Subnet>().expect(good).to_string(), good);
        }
        for bad in [
            "",
            "10.213.0.0",
            "10.213.0.1/16",
            "10.0.0.0/7",
            "10.0.0.0/30",
            "10.0.0/16",
            "::/16",
            "10.0.0.0/-1",
        ] {
            bad.parse::<Subnet>().expect_err(bad);
        }
    }

    #[test]
    fn gives_each_slot_an_address_of_its_own() {
        let subnet: Subnet = "192.168.1.8/29".parse().expect("subnet");
        let addresses: Vec<String> =
            (0..8).map_while(|slot| subnet.address(slot)).map(|a| a.to_string()).collect();
        assert_eq!(
            addresses,
            ["192.168.1.10", "192.168.1.11", "192.168.1.12", "192.168.1.13", "192.168.1.14"]
        );
        assert_eq!(subnet.gateway().to_string(), "192.168.1.9");
    }

    #[test]
    fn steps_aside_for_taken_blocks() {
        let free = |taken: &[(&str, u8)]| {
            let taken: Vec<_> =
                taken.iter().map(|(base, bits)| (base.parse().expect("address"), *bits)).collect();
            Subnet::free(&taken).map(|subnet| subnet.to_string())
        };
        assert_eq!(free(&[]).as_deref(), Some("10.213.0.0/16"));
        assert_eq!(free(&[("10.213.7.0", 24)]).as_deref(), Some("10.214.0.0/16"));
        assert_eq!(free(&[("10.0.0.0", 8)]).as_deref(), Some("172.31.0.0/16"));
        assert_eq!(free(&[("10.0.0.0", 8), ("172.16.0.0", 12), ("100.64.0.0", 10)]), None);
    }
}
