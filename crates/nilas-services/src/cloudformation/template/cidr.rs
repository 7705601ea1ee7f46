//! `Fn::Cidr`: blocks of addresses out of a larger one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const COUNT_MAX: u32 = 256;

/// The first `count` blocks with `bits` bits for hosts in `block`; None if they do not fit, or something is malformed.
pub(super) fn blocks(block: &str, count: u32, bits: u32) -> Option<Vec<String>> {
    let (address, prefix) = block.split_once('/')?;
    let prefix: u32 = prefix.parse().ok()?;
    let (base, width) = match address.parse().ok()? {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32_u32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let room = width.checked_sub(prefix)?;
    if !(1..=COUNT_MAX).contains(&count) || bits == 0 || bits > room {
        return None;
    }
    // As many blocks as the bits between prefix and hosts can number.
    if room - bits < u32::BITS && u64::from(count) > 1_u64 << (room - bits) {
        return None;
    }
    let base = if room == 128 { 0 } else { base >> room << room };
    let step = if bits == 128 { 0 } else { 1_u128 << bits };
    let blocks = (0..u128::from(count)).map(|n| {
        let address = base + n * step;
        let address = match width {
            32 => IpAddr::V4(Ipv4Addr::from(u32::try_from(address).unwrap_or(u32::MAX))),
            _ => IpAddr::V6(Ipv6Addr::from(address)),
        };
        format!("{address}/{}", width - bits)
    });
    Some(blocks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_numbered_from_the_first() {
        assert_eq!(
            blocks("192.168.0.0/24", 6, 5).unwrap().join(" "),
            "192.168.0.0/27 192.168.0.32/27 192.168.0.64/27 192.168.0.96/27 192.168.0.128/27 192.168.0.160/27"
        );
        assert_eq!(blocks("10.0.0.0/16", 2, 8).unwrap(), ["10.0.0.0/24", "10.0.1.0/24"]);
        assert_eq!(blocks("2001:db8::/56", 2, 64).unwrap(), ["2001:db8::/64", "2001:db8:0:1::/64"]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (block, count, bits) in [
            ("10.0.0.0/24", 2, 8),
            ("10.0.0.0/24", 0, 4),
            ("10.0.0.0/24", 257, 1),
            ("10.0.0.0/33", 1, 1),
            ("10.0.0.0", 1, 1),
            ("x/8", 1, 1),
            ("10.0.0.0/24", 1, 9),
        ] {
            assert_eq!(blocks(block, count, bits), None, "{block} {count} {bits}");
        }
    }
}
