//! Stores that keep something else than they were given: the marks of a column of the wrong type.

use bytes::Bytes;
use session_core::{Principal, Record, Revision, Timestamp};

use super::store::LIMIT;

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    PrincipalLost,
    PrincipalFolded,
    PrincipalCut,
    PrincipalUnescaped,
    PrincipalPercentDecoded,
    EmptyPrincipalIsNobody,
    DataCutAtNul,
    DataTrimmed,
    DataAsText,
    DataCutAt64KiB,
    DataCutAtTheLimit,
    MetaCutAtNul,
    MetaCutAt1KiB,
    EmptyMetaIsNull,
    SecondsDown,
    SecondsUp,
    Seconds32Bits,
    TouchedAtLost,
    RevisionAsDouble,
}

pub(super) const FAULTS: &[(Fault, &str, &str)] = &[
    (Fault::PrincipalLost, "stored_principal_lost", "the principal is stored as given"),
    (Fault::PrincipalFolded, "stored_principal_folded", "the principal is stored byte by byte"),
    (Fault::PrincipalCut, "stored_principal_cut", "a principal may have 255 bytes"),
    (Fault::PrincipalUnescaped, "stored_principal_unescaped", "a backslash in a principal is a backslash"),
    (
        Fault::PrincipalPercentDecoded,
        "stored_principal_percent_decoded",
        "a percent sign in a principal is a percent sign",
    ),
    (
        Fault::EmptyPrincipalIsNobody,
        "stored_empty_principal_is_nobody",
        "`Some(\"\")` is a principal, not `None`",
    ),
    (Fault::DataCutAtNul, "stored_data_cut_at_nul", "data holds any bytes, NUL included"),
    (Fault::DataTrimmed, "stored_data_trimmed", "data holds any bytes, spaces at the end included"),
    (Fault::DataAsText, "stored_data_as_text", "data holds any bytes, UTF-8 or not"),
    (Fault::DataCutAt64KiB, "stored_data_cut_at_64_kib", "data up to 1 MiB comes back whole"),
    (
        Fault::DataCutAtTheLimit,
        "stored_data_cut_at_the_limit",
        "data over the limit is `TooLarge`, never cut off",
    ),
    (Fault::MetaCutAt1KiB, "stored_meta_cut_at_1_kib", "meta up to 64 KiB comes back whole"),
    (Fault::MetaCutAtNul, "stored_meta_cut_at_nul", "meta holds any bytes, NUL included"),
    (Fault::EmptyMetaIsNull, "stored_empty_meta_is_null", "empty meta is stored as such"),
    (Fault::SecondsDown, "stored_seconds_down", "times are kept to the millisecond: no life ends early"),
    (Fault::SecondsUp, "stored_seconds_up", "times are kept to the millisecond: no life ends late"),
    (Fault::Seconds32Bits, "stored_seconds_32_bits", "every timestamp from 1970 to 9999 is kept"),
    (Fault::TouchedAtLost, "stored_touched_at_lost", "`touched_at` is stored as given"),
    (Fault::RevisionAsDouble, "stored_revision_as_double", "the revision is stored as given"),
];

pub(super) fn stored(fault: Fault, mut record: Record) -> Record {
    let rename = |record: &Record, change: fn(&str) -> String| {
        let principal = record.principal.as_ref()?;
        Principal::new(change(principal.as_str())).ok()
    };
    let at = |millis: i64| Timestamp::from_millis(millis).unwrap_or(Timestamp::MAX);
    let expires_at = record.expires_at.as_millis();
    match fault {
        Fault::PrincipalLost => record.principal = None,
        Fault::PrincipalFolded => record.principal = rename(&record, str::to_lowercase),
        Fault::PrincipalCut => {
            record.principal = rename(&record, |name| name.chars().take(64).collect());
        }
        Fault::PrincipalUnescaped => record.principal = rename(&record, |name| name.replace('\\', "")),
        Fault::PrincipalPercentDecoded => {
            record.principal = rename(&record, |name| name.replace("%00", "\0").replace("%2e", "."));
        }
        Fault::EmptyPrincipalIsNobody => {
            record.principal = record.principal.filter(|p| !p.as_str().is_empty())
        }
        Fault::DataCutAtNul => record.data = until_nul(&record.data),
        Fault::DataTrimmed => record.data = Bytes::copy_from_slice(record.data.trim_ascii_end()),
        Fault::DataAsText => record.data = String::from_utf8_lossy(&record.data).into_owned().into(),
        Fault::DataCutAt64KiB => record.data.truncate(0xffff),
        Fault::DataCutAtTheLimit => record.data.truncate(LIMIT),
        Fault::MetaCutAt1KiB => record.meta.truncate(1 << 10),
        Fault::MetaCutAtNul => record.meta = until_nul(&record.meta),
        Fault::EmptyMetaIsNull if record.meta.is_empty() => record.meta = Bytes::from_static(b"null"),
        Fault::EmptyMetaIsNull => {}
        Fault::SecondsDown => record.expires_at = at(expires_at / 1000 * 1000),
        Fault::SecondsUp => record.expires_at = at((expires_at + 999) / 1000 * 1000),
        Fault::Seconds32Bits => record.expires_at = at(expires_at.min(i64::from(u32::MAX) * 1000)),
        Fault::TouchedAtLost => record.touched_at = Timestamp::MIN,
        Fault::RevisionAsDouble => {
            let rounded = record.revision.as_i64() as f64 as i64;
            record.revision = Revision::from_i64(rounded).unwrap_or(record.revision);
        }
    }
    record
}

fn until_nul(bytes: &Bytes) -> Bytes {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.slice(..end)
}
