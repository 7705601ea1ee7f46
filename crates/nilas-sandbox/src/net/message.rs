//! The bytes of rtnetlink messages: headers, attributes, and what is read out of dumps.

use std::mem::size_of;
use std::net::Ipv4Addr;

/// Length, type, flags, sequence number and port.
pub(super) const NETLINK_HEADER_BYTES: usize = 16;

/// What a dump says of a link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mtu: u32,
}

/// What a dump says of an IPv4 route.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) destination: Ipv4Addr,
    pub(super) bits: u8,
    pub(super) kind: u8,
    pub(super) protocol: u8,
    pub(super) table: u8,
    pub(super) metric: u32,
    pub(super) link: u32,
}

// === encoding ===

pub(super) fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

pub(super) fn address_header(bits: u8, scope: u8, link: u32) -> [u8; 8] {
    let [a, b, c, d] = link.to_ne_bytes();
    [libc::AF_INET as u8, bits, 0, scope, a, b, c, d]
}

pub(super) fn route_header(bits: u8, kind: u8, scope: u8, flags: u32, protocol: u8) -> [u8; 12] {
    let [a, b, c, d] = flags.to_ne_bytes();
    [libc::AF_INET as u8, bits, 0, 0, libc::RT_TABLE_MAIN, protocol, scope, kind, a, b, c, d]
}

pub(super) fn put(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(value);
    pad(message);
}

pub(super) fn put_text(message: &mut Vec<u8>, kind: u16, text: &str) {
    let mut value = text.as_bytes().to_vec();
    value.push(0);
    put(message, kind, &value);
}

pub(super) fn nest(message: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = message.len();
    message.extend_from_slice(&[0; 2]);
    message.extend_from_slice(&kind.to_ne_bytes());
    fill(message);
    let length = (message.len() - start) as u16;
    message[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

/// Messages and attributes start at multiples of four; every message here starts at one of the whole buffer.
pub(super) fn pad(message: &mut Vec<u8>) {
    message.resize(message.len().next_multiple_of(4), 0);
}

// === decoding ===

/// Splits a datagram into (type, sequence, body); stops at the first that does not fit.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let length = read_u32(datagram, 0)? as usize;
        let body = datagram.get(NETLINK_HEADER_BYTES..length)?;
        let kind = read_u16(datagram, 4)?;
        let sequence = read_u32(datagram, 8)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, sequence, body))
    })
}

/// Splits attributes into (type, value); stops at the first that does not fit.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = read_u16(bytes, 0)? as usize;
        let kind = read_u16(bytes, 2)?;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(super) fn decode_link(body: &[u8]) -> Option<Link> {
    let mut link = Link { index: read_u32(body, 4)?, name: String::new(), mtu: 0 };
    for (kind, value) in attributes(body.get(16..)?) {
        if kind == libc::IFLA_IFNAME {
            let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
            link.name = String::from_utf8_lossy(name).into_owned();
        } else if kind == libc::IFLA_MTU {
            link.mtu = read_u32(value, 0)?;
        }
    }
    Some(link)
}

pub(super) fn decode_route(body: &[u8]) -> Option<Route> {
    let header = body.get(..12)?;
    if header[0] != libc::AF_INET as u8 {
        return None;
    }
    let mut route = Route {
        destination: Ipv4Addr::UNSPECIFIED,
        bits: header[1],
        table: header[4],
        protocol: header[5],
        kind: header[7],
        metric: 0,
        link: 0,
    };
    for (kind, value) in attributes(&body[12..]) {
        match kind {
            libc::RTA_DST => route.destination = read_ipv4(value)?,
            libc::RTA_PRIORITY => route.metric = read_u32(value, 0)?,
            libc::RTA_OIF => route.link = read_u32(value, 0)?,
            _ => {}
        }
    }
    Some(route)
}

pub(super) fn decode_address(body: &[u8]) -> Option<(Ipv4Addr, u8)> {
    let header = body.get(..8)?;
    if header[0] != libc::AF_INET as u8 {
        return None;
    }
    let local = attributes(&body[8..]).find(|(kind, _)| *kind == libc::IFA_LOCAL);
    local.and_then(|(_, value)| read_ipv4(value)).map(|address| (address, header[1]))
}

pub(super) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at + size_of::<u16>())?;
    Some(u16::from_ne_bytes(field.try_into().ok()?))
}

pub(super) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at + size_of::<u32>())?;
    Some(u32::from_ne_bytes(field.try_into().ok()?))
}

pub(super) fn read_ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.try_into().ok()?;
    Some(Ipv4Addr::from(octets))
}
