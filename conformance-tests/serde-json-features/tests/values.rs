//! Values are stored and read the same whatever features of serde_json another crate has switched on.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use session_core::{
    Codec, Committed, ErrorKind, ManualClock, Result, Session, SessionBackend, SessionManager, SessionToken,
    Timestamp,
};
use session_memory::MemoryBackend;

const GOLDEN_JSON: &[u8] = include_bytes!("../../golden/format-1/values.json");
const GOLDEN_BINCODE: &[u8] = include_bytes!("../../golden/format-1/values.bincode");

struct Site {
    backend: Arc<MemoryBackend>,
    manager: SessionManager,
}

impl Site {
    fn new(codec: Codec) -> Self {
        let backend = Arc::new(MemoryBackend::new());
        let clock = ManualClock::new(Timestamp::MIN);
        let manager = SessionManager::builder(backend.clone()).clock(clock).codec(codec).build().unwrap();
        Self { backend, manager }
    }

    /// Stores what `fill` puts into a new session; its token.
    async fn create(&self, fill: impl FnOnce(&Session) -> Result<()>) -> String {
        let session = self.manager.open(None).await.unwrap();
        fill(&session).unwrap();
        match session.commit().await.unwrap() {
            Committed::SetToken { token, .. } => token.expose(),
            other => panic!("{other:?}"),
        }
    }

    async fn open(&self, token: &str) -> Session {
        self.manager.open(Some(token)).await.unwrap()
    }

    async fn stored(&self, token: &str) -> Vec<u8> {
        let id = SessionToken::parse(token).unwrap().id();
        self.backend.load(id, Timestamp::MIN).await.unwrap().unwrap().data.to_vec()
    }
}

fn fill(session: &Session) -> Result<()> {
    session.flash("hello")?;
    session.insert("account.current_user_id", 42)?;
    session.insert("account.name", "Alice")?;
    session.insert("bools", (true, false, ()))?;
    session.insert("empty", "")?;
    session.insert("float", 0.1)?;
    session.insert("i64", i64::MIN)?;
    session.insert("list", (1, "two", BTreeMap::from([("three", [3])])))?;
    session.insert("n", 7)?;
    session.insert("text", "caf\u{e9} \u{1f980} \"quoted\" \0 \n")?;
    session.insert("u64", u64::MAX)?;
    session.insert("zero", -0.0)
}

#[test]
fn the_features_are_on() {
    // `arbitrary_precision` and `preserve_order`; `raw_value` and `unbounded_depth` would not compile.
    let value: Value = serde_json::from_str(r#"{"b":1.00,"a":1e400}"#).unwrap();
    assert_eq!(value.to_string(), r#"{"b":1.00,"a":1e+400}"#);
    assert_eq!(RawValue::from_string("1.00".into()).unwrap().get(), "1.00");
    serde_json::Deserializer::from_str("1").disable_recursion_limit();
}

#[tokio::test]
async fn the_same_bytes_are_written_and_read() {
    for (codec, golden) in [(Codec::Json, GOLDEN_JSON), (Codec::Bincode, GOLDEN_BINCODE)] {
        let site = Site::new(codec);
        let token = site.create(fill).await;
        assert_eq!(site.stored(&token).await.escape_ascii().to_string(), golden.escape_ascii().to_string());
        let session = site.open(&token).await;
        assert_eq!(session.get("account.current_user_id").unwrap(), Some(42));
        assert_eq!(session.get("bools").unwrap(), Some((true, false, ())));
        assert_eq!(session.get("float").unwrap(), Some(0.1));
        assert_eq!(session.get("i64").unwrap(), Some(i64::MIN));
        assert_eq!(session.get("list.2").unwrap(), Some(BTreeMap::from([("three".to_owned(), [3])])));
        assert_eq!(session.get("u64").unwrap(), Some(u64::MAX));
        assert_eq!(session.get::<f64>("zero").unwrap().map(f64::to_bits), Some((-0.0_f64).to_bits()));
        assert_eq!(session.get::<String>("n").unwrap_err().kind(), ErrorKind::Decode);
        // Rewriting changes what it is told to, and nothing else.
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
        session.update("float", |float: Option<f64>| float.unwrap_or(0.0) * 3.0).unwrap();
        drop(session.commit().await.unwrap());
        let session = site.open(&token).await;
        assert_eq!((session.get("n").unwrap(), session.get("float").unwrap()), (Some(8), Some(0.1 * 3.0)));
        session.insert("n", 7).unwrap();
        session.insert("float", 0.1).unwrap();
        drop(session.commit().await.unwrap());
        assert_eq!(site.stored(&token).await, golden);
    }
}

#[tokio::test]
async fn random_doubles_come_back_as_the_same_bits() {
    let site = Site::new(Codec::Json);
    let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
    let mut doubles = Vec::new();
    while doubles.len() < 2000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        doubles.extend(Some(f64::from_bits(bits)).filter(|double| double.is_finite()));
    }
    let token = site.create(|session| session.insert("doubles", &doubles)).await;
    let read = site.open(&token).await.get::<Vec<f64>>("doubles").unwrap().unwrap();
    assert!(read.iter().zip(&doubles).all(|(read, written)| read.to_bits() == written.to_bits()));
}

#[tokio::test]
async fn magic_keys_are_keys() {
    for key in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
        for codec in [Codec::Json, Codec::Bincode] {
            let site = Site::new(codec);
            let inner = BTreeMap::from([(key.to_owned(), "[1,{\"admin\":true}]".to_owned())]);
            let token = site
                .create(|session| {
                    session.insert("map", &inner)?;
                    session.insert([key], "1")
                })
                .await;
            let before = site.stored(&token).await;
            let session = site.open(&token).await;
            assert_eq!(session.get("map").unwrap(), Some(inner));
            assert_eq!(session.get([key]).unwrap(), Some("1".to_owned()));
            assert_eq!(session.keys("map").unwrap(), [key]);
            assert!(!session.contains("map.1").unwrap() && !session.contains("map.admin").unwrap());
            session.insert("beside", 1).unwrap();
            session.remove("beside").unwrap();
            session.insert("map.beside", 1).unwrap();
            session.remove("map.beside").unwrap();
            session.insert("n", 1).unwrap();
            drop(session.commit().await.unwrap());
            let session = site.open(&token).await;
            session.remove("n").unwrap();
            drop(session.commit().await.unwrap());
            assert_eq!(site.stored(&token).await, before);
        }
    }
}

#[tokio::test]
async fn values_of_serde_json_itself_come_back() {
    let site = Site::new(Codec::Json);
    let value: Value = serde_json::from_str(r#"{"b":1.00,"a":[12345678901234567890123, -0.0]}"#).unwrap();
    let raw = RawValue::from_string(r#"{"b" : 1.00}"#.into()).unwrap();
    let token = site
        .create(|session| {
            session.insert("value", &value)?;
            session.insert("raw", &raw)
        })
        .await;
    let session = site.open(&token).await;
    assert_eq!(session.get("value").unwrap(), Some(value));
    assert_eq!(session.get("raw.b").unwrap(), Some(1.0));
    assert_eq!(
        session.get("raw").unwrap(),
        Some(json!({"b": serde_json::from_str::<Value>("1.00").unwrap()}))
    );
}

#[tokio::test]
async fn depth_is_bounded_all_the_same() {
    let site = Site::new(Codec::Json);
    let session = site.manager.open(None).await.unwrap();
    let nested = |levels| (0..levels).fold(json!(1), |value, _| json!([value]));
    session.insert("deep", nested(31)).unwrap();
    assert_eq!(session.insert("deep", nested(32)).unwrap_err().kind(), ErrorKind::TooLarge);
    // Stored by somebody else.
    let token = site.create(|session| session.insert("n", 1)).await;
    let id = SessionToken::parse(&token).unwrap().id();
    let record = site.backend.load(id, Timestamp::MIN).await.unwrap().unwrap();
    let mut planted = record.clone().with_data(format!("{{\"n\":{}", "[".repeat(200_000)));
    planted.revision = record.revision.next(1);
    drop(site.backend.update(id, record.revision, planted, Timestamp::MIN).await.unwrap());
    let read = site.open(&token).await.get::<Value>("n");
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt);
}
