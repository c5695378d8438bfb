//! Which node of a cluster serves which key.

use crc::{CRC_16_XMODEM, Crc};
use redis::{Value, from_redis_value};
use session_core::Result;
use sha2::{Digest as _, Sha256};

use crate::source::Address;

pub(crate) const SLOTS: usize = 16384;
static CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of a key: of what stands in its first braces, if something does.
pub(crate) fn slot(key: &[u8]) -> usize {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key[open..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open..open + length])
    };
    usize::from(CRC.checksum(tag().unwrap_or(key))) % SLOTS
}

/// The answer to `CLUSTER SLOTS`.
#[derive(Debug, PartialEq)]
pub(crate) struct Layout {
    pub(crate) masters: Vec<Master>,
    pub(crate) replicas: Vec<Address>,
    /// Tells this distribution of slots over masters from any other.
    pub(crate) fingerprint: u64,
}

/// In the order of their names, which are the same wherever one asks.
#[derive(Debug, PartialEq)]
pub(crate) struct Master {
    name: String,
    pub(crate) address: Address,
    /// Both ends included.
    pub(crate) ranges: Vec<(usize, usize)>,
}

impl Layout {
    /// The layout that the node at `asked` has answered with; `None` if it is none.
    pub(crate) fn parse(reply: Value, asked: &Address) -> Option<Self> {
        let ranges: Vec<Vec<Value>> = from_redis_value(reply).ok()?;
        let (mut masters, mut replicas) = (Vec::<Master>::new(), Vec::new());
        for range in ranges {
            let mut parts = range.into_iter();
            let mut bound = || -> Option<usize> {
                from_redis_value(parts.next()?).ok().filter(|slot: &usize| *slot < SLOTS)
            };
            let (first, last) = (bound()?, bound()?);
            // A master whose address nobody knows yet is found by the next answer.
            let Some((name, address)) = node(parts.next()?, asked) else { continue };
            match masters.iter_mut().find(|master| master.name == name) {
                Some(master) => master.ranges.push((first, last)),
                None => masters.push(Master { name, address, ranges: vec![(first, last)] }),
            }
            replicas.extend(parts.filter_map(|part| node(part, asked)).map(|(_, address)| address));
        }
        masters.sort_by(|one, other| one.name.cmp(&other.name));
        masters.iter_mut().for_each(|master| master.ranges.sort_unstable());
        replicas.sort();
        replicas.dedup();
        let fingerprint = fingerprint(&masters);
        (!masters.is_empty()).then_some(Self { masters, replicas, fingerprint })
    }
}

fn fingerprint(masters: &[Master]) -> u64 {
    let mut hash = Sha256::new();
    for Master { name, address: _, ranges } in masters {
        hash.update(name.as_bytes());
        for (first, last) in ranges {
            hash.update(format!(" {first}-{last}"));
        }
        hash.update("\n");
    }
    hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Name and address of a node: `[host, port, name, ..]`, where no host is that of the node that was asked.
fn node(part: Value, asked: &Address) -> Option<(String, Address)> {
    let mut parts = from_redis_value::<Vec<Value>>(part).ok()?.into_iter();
    let host: Option<String> = from_redis_value(parts.next()?).ok()?;
    // The client cuts off what does not fit.
    let port = u16::try_from(from_redis_value::<i64>(parts.next()?).ok()?).ok()?;
    let name: String = from_redis_value(parts.next()?).ok()?;
    let host = match host.as_deref() {
        None | Some("") => &asked.host,
        Some("?") => return None,
        Some(host) => host,
    };
    Some((name, Address { host: host.to_owned(), port }))
}

/// The node that a redirection names, as `host:port`; no host is that of the node that sent it.
pub(crate) fn redirected(to: &str, from: &Address) -> Result<Address, ()> {
    let (host, port) = to.rsplit_once(':').ok_or(())?;
    let host = if host.is_empty() { &from.host } else { host.trim_matches(['[', ']']) };
    Ok(Address { host: host.to_owned(), port: port.parse().map_err(drop)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Address {
        Address { host: "asked".to_owned(), port: 7000 }
    }

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.to_owned(), port }
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(CRC.checksum(b"123456789"), 0x31c3);
        for (key, same) in
            [("{user1000}.following", "user1000"), ("foo{{bar}}zap", "{bar"), ("foo{bar}{zap}", "bar")]
        {
            assert_eq!(slot(key.as_bytes()), slot(same.as_bytes()), "{key}");
        }
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"foo{}{bar}"), usize::from(CRC.checksum(b"foo{}{bar}")) % SLOTS);
        assert_eq!(slot(b""), 0);
    }

    fn answer(ranges: &[&str]) -> Value {
        let text = format!("*{}\r\n{}", ranges.len(), ranges.concat());
        redis::parse_redis_value(text.as_bytes()).unwrap()
    }

    const FIRST: &str =
        "*4\r\n:0\r\n:99\r\n*3\r\n$1\r\nb\r\n:7001\r\n$2\r\nid\r\n*3\r\n$1\r\nc\r\n:7002\r\n$2\r\nix\r\n";
    const SECOND: &str = "*3\r\n:100\r\n:16383\r\n*3\r\n$-1\r\n:7000\r\n$2\r\nic\r\n";

    #[test]
    fn a_layout_is_the_same_whatever_the_order() {
        let layout = Layout::parse(answer(&[FIRST, SECOND]), &asked()).unwrap();
        let addresses: Vec<_> = layout.masters.iter().map(|master| master.address.clone()).collect();
        assert_eq!(addresses, [asked(), address("b", 7001)]);
        assert_eq!(layout.masters[1].ranges, [(0, 99)]);
        assert_eq!(layout.replicas, [address("c", 7002)]);
        assert_eq!(Layout::parse(answer(&[SECOND, FIRST]), &asked()).unwrap(), layout);
        let moved = FIRST.replace(":99", ":98");
        assert_ne!(
            Layout::parse(answer(&[&moved, SECOND]), &asked()).unwrap().fingerprint,
            layout.fingerprint
        );
    }

    #[test]
    fn what_is_no_layout_is_none() {
        assert_eq!(Layout::parse(answer(&[]), &asked()), None);
        assert_eq!(Layout::parse(Value::Nil, &asked()), None);
        for (from, to) in [(":99", ":16384"), (":0", ":-1"), (":7001", ":99999"), ("$1\r\nb", "$1\r\n?")] {
            assert_eq!(Layout::parse(answer(&[&FIRST.replace(from, to)]), &asked()), None, "{from} as {to}");
        }
    }

    #[test]
    fn a_redirection_may_leave_the_host_out() {
        assert_eq!(redirected("10.0.0.1:6380", &asked()), Ok(address("10.0.0.1", 6380)));
        assert_eq!(redirected("::1:6380", &asked()), Ok(address("::1", 6380)));
        assert_eq!(redirected("[::1]:6380", &asked()), Ok(address("::1", 6380)));
        assert_eq!(redirected(":6380", &asked()), Ok(address("asked", 6380)));
        for wrong in ["", "host", "host:", "host:x", "host:65536"] {
            assert_eq!(redirected(wrong, &asked()), Err(()), "{wrong}");
        }
    }
}
