//! Golden bytes of format 1, and what is refused. The files are in people's stores: they never change.

use super::*;

const ID: SessionId = SessionId::from_bytes(*b"0123456789abcdef");

const FULL: &[u8] = include_bytes!("../../tests/golden/format-1/full.record");

const BARE: &[u8] = include_bytes!("../../tests/golden/format-1/bare.record");

const NAMELESS: &[u8] = include_bytes!("../../tests/golden/format-1/nameless.record");

/// `FULL` after a touch.
const TOUCHED: &[u8] = include_bytes!("../../tests/golden/format-1/touched.record");

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn full() -> Record {
    let revision = Revision::from_i64(5 << 32 | 0x9abc_def0).unwrap();
    Record::new(revision, at(0x018b_cfe5_6be8), at(0x018b_cfe5_7000), at(0x018c_0db2_5c00))
        .with_principal(Some(Principal::new("élise").unwrap()))
        .with_meta(&b"\x01\x00\xff"[..])
        .with_data("{\"views\":7}")
}

fn touched() -> Record {
    let mut touched = full();
    touched.touch(at(0x018b_cfe5_8000), at(0x018b_cfe5_6fff));
    touched
}

fn golden() -> [(Record, &'static [u8]); 4] {
    let bare = Record::new(Revision::first(0), Timestamp::MIN, Timestamp::MIN, Timestamp::MAX);
    let nameless = bare.clone().with_principal(Some(Principal::new("").unwrap()));
    [(full(), FULL), (bare, BARE), (nameless, NAMELESS), (touched(), TOUCHED)]
}

fn decode(bytes: &[u8]) -> Result<Record> {
    Head::decode(ID, bytes)?.record(&Bytes::copy_from_slice(bytes))
}

fn touch(bytes: &[u8], expires_at: Timestamp, now: Timestamp) -> Vec<u8> {
    let (place, slot, _) = Head::decode(ID, bytes).unwrap().touched(expires_at, now);
    let mut bytes = bytes.to_vec();
    bytes[place as usize..][..SLOT].copy_from_slice(&slot);
    bytes
}

#[test]
fn format_1_is_read() {
    for (record, bytes) in golden() {
        assert_eq!(decode(bytes).unwrap(), record);
    }
}

#[test]
fn format_1_is_written() {
    for (record, bytes) in golden().into_iter().take(3) {
        assert_eq!(encode(ID, &record).unwrap(), bytes);
        assert_eq!(Head::decode(ID, bytes).unwrap().file_length(), bytes.len());
    }
    assert_eq!(touch(FULL, at(0x018b_cfe5_8000), at(0x018b_cfe5_6fff)), TOUCHED);
}

#[test]
fn touches_write_the_slots_in_turn_and_nothing_else() {
    let (mut bytes, mut record) = (FULL.to_vec(), full());
    for round in 0..5 {
        // Also ones that would bring it back, or past its deadline.
        let (until, now) = (at(0x018b_cfe5_9000 - round), at(0x018b_cfe5_6000 + (round << 32)));
        let next = touch(&bytes, until, now);
        let changed: Vec<_> = (0..bytes.len()).filter(|place| bytes[*place] != next[*place]).collect();
        let slot = SLOTS[if round % 2 == 0 { 1 } else { 0 }];
        assert!(changed.iter().all(|place| (slot..slot + SLOT).contains(place)), "{changed:?}");
        record.touch(until, now);
        bytes = next;
        assert_eq!(decode(&bytes).unwrap(), record);
    }
    let far = touch(&bytes, Timestamp::MAX, Timestamp::MIN);
    assert_eq!(decode(&far).unwrap().expires_at, full().deadline);
}

#[test]
fn a_torn_touch_leaves_the_times_of_before() {
    for written in 0..SLOT {
        let mut torn = FULL.to_vec();
        let place = SLOTS[1];
        torn[place..place + written].copy_from_slice(&TOUCHED[place..place + written]);
        let head = Head::decode(ID, &torn).unwrap();
        assert_eq!(head.has_damaged_slot, torn != FULL && torn != TOUCHED, "{written}");
        let expected = if torn == TOUCHED { touched() } else { full() };
        assert_eq!(decode(&torn).unwrap(), expected, "{written}");
        // The next one repairs it.
        let again = touch(&torn, at(0x018b_cfe5_8000), at(0x018b_cfe5_6fff));
        assert_eq!(decode(&again).unwrap(), touched());
        assert!(!Head::decode(ID, &again).unwrap().has_damaged_slot);
    }
}

#[test]
fn truncated_or_longer_is_corrupt() {
    for (_, bytes) in golden() {
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]).unwrap_err().kind(), ErrorKind::Corrupt, "{len} bytes");
        }
        assert_eq!(decode(&[bytes, b"x"].concat()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn no_flipped_bit_makes_wrong_data() {
    for (record, bytes) in golden() {
        for place in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[place / 8] ^= 1 << (place % 8);
            match decode(&flipped) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {place}"),
                // One slot is left, perhaps that of before the last touch.
                Ok(found) => {
                    assert!((PROLOGUE..FIXED).contains(&(place / 8)), "bit {place}");
                    assert!(Head::decode(ID, &flipped).unwrap().has_damaged_slot, "bit {place}");
                    assert!(found == record || (bytes == TOUCHED && found == full()), "bit {place}");
                }
            }
        }
    }
}

#[test]
fn a_record_under_another_name_is_corrupt() {
    let other = SessionId::from_bytes(*b"0123456789abcdeg");
    assert_eq!(Head::decode(other, FULL).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn later_formats_are_unknown_and_other_bytes_corrupt() {
    for format in 0..=u8::MAX {
        let mut bytes = FULL[..PROLOGUE].to_vec();
        bytes[3] = format;
        let checksum = crc32fast::hash(&bytes[..4]).to_be_bytes();
        bytes[4..].copy_from_slice(&checksum);
        // What follows may look like anything.
        bytes.extend([0xee; 3]);
        let expected = if format < 2 { ErrorKind::Corrupt } else { ErrorKind::UnknownFormat };
        assert_eq!(Head::decode(ID, &bytes).unwrap_err().kind(), expected, "{format}");
    }
}

/// The checksum holds, and still this is not what the library writes.
#[test]
fn impossible_fields_are_corrupt() {
    // The revision's sign and sequence, the deadline, the principal's length and those of `meta` and `data`.
    for (place, byte) in [(64, 0x80), (67, 0), (72, 0xff), (80, 0xff), (82, 0xff), (86, 0xff)] {
        let mut bytes = FULL.to_vec();
        bytes[place] = byte;
        if place == 67 {
            bytes[64..72].fill(0);
        }
        let checksum = fixed_checksum(ID, &bytes[FIXED..HEAD - 4]).to_be_bytes();
        bytes[HEAD - 4..HEAD].copy_from_slice(&checksum);
        let error = decode(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {place}");
        assert!(!format!("{error:?}").contains("views"));
    }
}
