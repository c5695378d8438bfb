//! The forms of a token and what its digest is made of.

use super::*;

fn token() -> SessionToken {
    SessionToken::from_parts(SessionId::from_bytes([1; 16]), [2; 32])
}

#[test]
fn text_roundtrips() {
    let text = token().expose();
    assert_eq!(text, "AQEBAQEBAQEBAQEBAQEBAQ.AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI");
    let parsed = SessionToken::parse(&text).unwrap();
    assert_eq!(parsed.id(), token().id());
    assert_eq!(parsed.digest(), token().digest());
}

#[test]
fn malformed_text_is_no_token() {
    let good = token().expose();
    let longer = format!("{good}A");
    let wrong_separator = good.replace('.', "-");
    let spare_bits = format!("{}J", &good[..65]);
    let not_ascii = format!("{}é", &good[..64]);
    let cut_inside_a_character = format!("{}é{}", &good[..21], &good[23..]);
    let huge = "A".repeat(1 << 20);
    let hexadecimal = "0123456789abcdef".repeat(8);
    assert!(SessionToken::parse(&hexadecimal).is_some());
    let upper = hexadecimal.to_uppercase();
    let not_hexadecimal = hexadecimal.replace('f', "g");
    let wide = format!("{}é", &hexadecimal[..126]);
    for text in [
        &hexadecimal[1..],
        &upper,
        &not_hexadecimal,
        &wide,
        "",
        ".",
        &good[1..],
        &good[..65],
        &longer,
        &wrong_separator,
        &spare_bits,
        &not_ascii,
        &cut_inside_a_character,
        &huge,
    ] {
        assert!(SessionToken::parse(text).is_none(), "{:.80}", text);
    }
}

#[test]
fn digest_depends_on_id_and_secret() {
    let other_id = token().with_id(SessionId::from_bytes([3; 16]));
    let other_secret = SessionToken::from_parts(token().id(), [3; 32]);
    assert_ne!(token().digest(), other_id.digest());
    assert_ne!(token().digest(), other_secret.digest());
}

#[test]
fn digest_is_the_documented_one() {
    let mut input = b"skit.v1".to_vec();
    input.extend([1; 16]);
    input.extend([2; 32]);
    assert_eq!(token().digest().as_bytes().as_slice(), Sha256::digest(&input).as_slice());
}

#[test]
fn debug_hides_the_secret() {
    let debug = format!("{:?} {:?}", token(), token().digest());
    assert_eq!(debug, "SessionToken { id: SessionId(AQEBAQEB..), .. } SecretDigest(..)");
}
