//! Blocks of addresses.

use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    first: IpAddr,
    last: IpAddr,
}

impl Block {
    /// `10.0.0.0/24`. The block begins at the address as it is written, as AWS's does. The error is AWS's reason.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let [address, mask] = parts.as_slice() else {
            return Err("Malformed CIDR, one '/' required".to_owned());
        };
        let bits: i32 =
            mask.parse().map_err(|_| "Malformed CIDR, mask bits must be an integer".to_owned())?;
        let bits = u32::try_from(bits)
            .map_err(|_| "Malformed CIDR, mask bits must not be negative".to_owned())?;
        let first: IpAddr =
            address.parse().map_err(|_| format!("Nonstandard IP address: {address}"))?;
        let last = match first {
            IpAddr::V4(_) if bits > 31 => return Err("IPv4 mask bits must be < 32".to_owned()),
            IpAddr::V6(_) if bits > 127 => return Err("IPv6 mask bits must be < 128".to_owned()),
            IpAddr::V4(address) => IpAddr::V4((u32::from(address) | u32::MAX >> bits).into()),
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) | u128::MAX >> bits).into()),
        };
        Ok(Self { first, last })
    }

    pub(super) fn contains(self, text: &str) -> bool {
        let is_within = |address: IpAddr| {
            address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
        };
        text.parse().is_ok_and(is_within)
    }
}
