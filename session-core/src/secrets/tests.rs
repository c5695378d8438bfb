//! Each rule about secrets by itself; together they are searched by the token model.

use super::*;

const GRACE: Duration = Duration::from_secs(30);

fn digest(byte: u8) -> SecretDigest {
    SecretDigest::from_bytes([byte; 32])
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000).unwrap()
}

fn secrets() -> Secrets {
    Secrets::new(digest(0), at(0))
}

fn rotated(by: Rotation, seconds: i64) -> Secrets {
    let mut secrets = secrets();
    secrets.rotate(by, digest(1), at(seconds));
    secrets
}

#[test]
fn privilege_kills_every_earlier_secret_at_once() {
    let mut secrets = rotated(Rotation::Periodic, 10);
    assert_eq!(secrets.classify(digest(0), at(10), GRACE), Presented::Replaced);
    secrets.rotate(Rotation::Privilege, digest(2), at(20));
    for old in [0, 1] {
        assert_eq!(secrets.classify(digest(old), at(20), GRACE), Presented::Superseded);
        assert_eq!(secrets.classify(digest(old), at(50), GRACE), Presented::Unknown);
        assert!(!secrets.may_write(digest(old)));
    }
    assert_eq!(secrets.classify(digest(2), at(20), GRACE), Presented::Current);
}

#[test]
fn privilege_revives_nothing_that_was_dead() {
    let mut secrets = rotated(Rotation::Periodic, 10);
    secrets.present(digest(1), at(20), GRACE);
    secrets.rotate(Rotation::Privilege, digest(2), at(70));
    assert_eq!(secrets.replaced[1].valid_until, Some(at(50)));
}

#[test]
fn a_periodically_replaced_secret_lives_until_grace_after_a_successor_was_seen() {
    let mut secrets = rotated(Rotation::Periodic, 10);
    assert_eq!(secrets.classify(digest(0), at(100_000), GRACE), Presented::Replaced);
    assert!(secrets.present(digest(1), at(20), GRACE));
    assert_eq!(secrets.classify(digest(0), at(49), GRACE), Presented::Replaced);
    assert_eq!(secrets.classify(digest(0), at(50), GRACE), Presented::Superseded);
    assert_eq!(secrets.classify(digest(0), at(80), GRACE), Presented::Replayed);
}

#[test]
fn presenting_again_or_presenting_the_old_one_extends_nothing() {
    let mut secrets = rotated(Rotation::Periodic, 10);
    assert!(!secrets.present(digest(0), at(15), GRACE));
    assert!(secrets.present(digest(1), at(20), GRACE));
    assert!(!secrets.present(digest(1), at(40), GRACE));
    assert!(!secrets.present(digest(0), at(40), GRACE));
    assert!(!secrets.present(digest(9), at(40), GRACE));
    assert_eq!(secrets.replaced[0].valid_until, Some(at(50)));
}

#[test]
fn a_replaced_secret_is_a_successor_of_those_before_it() {
    let mut secrets = rotated(Rotation::Periodic, 10);
    secrets.rotate(Rotation::Periodic, digest(2), at(50));
    assert!(secrets.present(digest(1), at(60), GRACE));
    assert_eq!(secrets.replaced[1].valid_until, Some(at(90)));
    assert_eq!(secrets.replaced[0].valid_until, None, "its own successor was not seen");
}

#[test]
fn a_rotation_is_put_off_while_it_would_forget_a_digest_that_means_something() {
    let mut secrets = secrets();
    for number in 1..=4 {
        assert!(secrets.has_room(at(number), GRACE));
        secrets.rotate(Rotation::Periodic, digest(number as u8), at(number));
    }
    assert!(!secrets.has_room(at(1_000), GRACE), "all four are valid");
    secrets.present(digest(4), at(1_000), GRACE);
    assert!(!secrets.has_room(at(1_059), GRACE), "dead for less than grace");
    assert!(secrets.has_room(at(1_060), GRACE));
}

#[test]
fn privilege_never_waits_and_forgets_the_oldest() {
    let mut secrets = secrets();
    for number in 1..=5 {
        secrets.rotate(Rotation::Privilege, digest(number), at(10));
    }
    assert_eq!(secrets.classify(digest(1), at(10), GRACE), Presented::Superseded);
    assert_eq!(secrets.classify(digest(0), at(10), GRACE), Presented::Unknown);
    assert!(!secrets.may_write(digest(0)));
}

#[test]
fn a_lost_answer_is_reissued_after_grace_and_not_once_it_has_arrived() {
    let mut secrets = rotated(Rotation::Periodic, 10);
    assert!(!secrets.is_reissue_due(digest(0), at(39), GRACE));
    assert!(secrets.is_reissue_due(digest(0), at(40), GRACE));
    assert!(!secrets.is_reissue_due(digest(1), at(40), GRACE), "the current one is nobody's loss");
    secrets.present(digest(1), at(40), GRACE);
    assert!(!secrets.is_reissue_due(digest(0), at(41), GRACE));
}

#[test]
fn privilege_waits_for_an_answer_under_way() {
    let mut secrets = rotated(Rotation::Periodic, 10);
    assert!(secrets.may_change_privilege(digest(1), at(10), GRACE));
    assert!(!secrets.may_change_privilege(digest(0), at(39), GRACE), "it may be under way");
    assert!(secrets.may_change_privilege(digest(0), at(40), GRACE), "it is taken as lost");
    secrets.present(digest(1), at(20), GRACE);
    assert!(secrets.may_change_privilege(digest(0), at(21), GRACE), "it has arrived");
    assert!(!secrets.may_change_privilege(digest(9), at(1_000), GRACE));
}
