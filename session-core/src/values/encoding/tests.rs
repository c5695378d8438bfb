//! What can be a value, and what a value of another type says.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serializer};

use super::super::Document;
use super::super::path::ToPath;
use super::*;

fn at() -> Path {
    "a.b".to_path().unwrap()
}

/// Through a stored document and back, as a session does it.
fn store<T: Serialize + DeserializeOwned>(value: &T) -> Result<T> {
    let mut document = Document::empty();
    document.insert(&at(), encode(value, &at())?)?;
    let stored = Document::from_json(document.to_json());
    decode(&stored.lookup(&at())?.expect("it was put in"), &at())
}

proptest! {
    #[test]
    fn every_finite_float_survives(value in any::<u64>().prop_map(f64::from_bits)) {
        prop_assume!(value.is_finite());
        prop_assert_eq!(store(&value).unwrap().to_bits(), value.to_bits());
        let narrow = value as f32;
        if narrow.is_finite() {
            prop_assert_eq!(store(&narrow).unwrap().to_bits(), narrow.to_bits());
        }
    }

    #[test]
    fn every_text_survives(value in any::<String>()) {
        prop_assert_eq!(&store(&value).unwrap(), &value);
    }
}

#[test]
fn limits_of_numbers_survive() {
    assert_eq!(store(&u64::MAX).unwrap(), u64::MAX);
    assert_eq!(store(&i64::MIN).unwrap(), i64::MIN);
    assert_eq!(store(&u128::MAX).unwrap(), u128::MAX);
    assert_eq!(store(&-0.0_f64).unwrap().to_bits(), (-0.0_f64).to_bits());
    assert_eq!(store(&f64::MIN_POSITIVE).unwrap(), f64::MIN_POSITIVE);
    assert_eq!(store(&0.1_f64).unwrap(), 0.1);
}

#[test]
fn magic_keys_of_serde_json_are_keys() {
    for key in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let map = HashMap::from([(key.to_owned(), "[1]".to_owned())]);
        assert_eq!(store(&map).unwrap(), map);
        let map = HashMap::from([(key.to_owned(), BTreeMap::from([(key.to_owned(), 7)]))]);
        assert_eq!(store(&map).unwrap(), map);
    }
}

#[test]
fn null_is_a_value() {
    assert_eq!(store(&Some(None::<u8>)).unwrap(), None);
    assert_eq!(decode::<Option<u8>>(b"null", &at()).unwrap(), None);
    assert_eq!(decode::<u8>(b"null", &at()).unwrap_err().kind(), ErrorKind::Decode);
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only decoded")]
struct User {
    name: String,
}

#[derive(Debug, Deserialize)]
enum Role {
    Editor,
}

#[test]
fn another_type_is_a_decode_error_without_the_value() {
    fn refused<T: DeserializeOwned>(text: &'static str) {
        let path = ["prefs", "alice@example.org"].to_path().unwrap();
        let error = decode::<T>(text.as_bytes(), &path).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{text} {}", type_name::<T>());
        let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(shown.contains(type_name::<T>()), "{shown}");
        for secret in ["hunter", "alice", "4711", "password"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    refused::<u64>(r#""hunter2""#);
    refused::<String>("4711");
    refused::<u8>("4711");
    refused::<u64>("-4711");
    refused::<f64>("4711e4711");
    refused::<Vec<u8>>(r#"{"hunter2":4711}"#);
    refused::<(u16, u16)>("[4711,4711,4711]");
    refused::<User>(r#"{"password":"hunter2"}"#);
    refused::<User>(r#"{"name":4711}"#);
    refused::<Role>(r#""hunter2""#);
    refused::<Role>("4711");
    refused::<Role>(r#"{"Editor":null,"hunter2":null}"#);
    refused::<HashMap<u64, u8>>(r#"{"hunter2":1}"#);
    refused::<HashMap<String, bool>>(r#"{"password":"hunter2"}"#);
    assert!(matches!(decode::<Role>(br#""Editor""#, &at()).unwrap(), Role::Editor));
}

#[test]
fn text_that_is_not_json_is_corrupt_whatever_is_asked_for() {
    fn corrupt<T: DeserializeOwned>(text: &[u8]) {
        let error = decode::<T>(text, &at()).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{:?}", text.escape_ascii().to_string());
    }
    for text in [b"".as_slice(), b"tru", b"01", b"\"a", b"[1", b"{\"a\":}", b"\"\xff\"", b"1 2", b"\"\n\""] {
        corrupt::<bool>(text);
        corrupt::<String>(text);
        corrupt::<Vec<u8>>(text);
        corrupt::<User>(text);
    }
    corrupt::<HashMap<String, u8>>(br#"{"a":1,"\u0061":2}"#);
    corrupt::<Vec<HashMap<String, u8>>>(br#"[{"a":1,"b":2,"a":2}]"#);
}

struct Pairs(&'static [(&'static str, u8)]);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

struct Failing;

impl Serialize for Failing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("hunter2"))
    }
}

#[test]
fn what_json_cannot_hold_is_an_encode_error_without_the_value() {
    let keyed_by_list = HashMap::from([(vec!["hunter2"], 1)]);
    for error in [
        encode(&Failing, &at()).unwrap_err(),
        encode(&keyed_by_list, &at()).unwrap_err(),
        encode(&Pairs(&[("hunter2", 1), ("b", 2), ("hunter2", 3)]), &at()).unwrap_err(),
        encode(&[Some(Pairs(&[("", 1), ("", 2)]))], &at()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    assert_eq!(encode(&Pairs(&[("a", 1), ("b", 2)]), &at()).unwrap(), r#"{"a":1,"b":2}"#);
}

#[test]
fn path_and_value_together_are_at_most_32_deep() {
    /// Lists in lists.
    struct Nested(usize);

    impl Serialize for Nested {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                0 => serializer.serialize_u8(0),
                more => [Self(more - 1)].serialize(serializer),
            }
        }
    }

    assert!(encode(&Nested(30), &at()).is_ok());
    for levels in [31, 32, 127, 128, 500] {
        assert_eq!(encode(&Nested(levels), &at()).unwrap_err().kind(), ErrorKind::TooLarge, "{levels}");
    }
}
