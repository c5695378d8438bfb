//! What errors tell of the server's words, and what they keep to themselves.

use session_core::{ErrorKind, SessionBackend};

use crate::common::{create, id, now, principal, record, shown, with_table};

#[test]
fn errors_show_nothing_of_a_session() {
    with_table(async |table| {
        let backend = table.connect().await;
        let secret = record("canary").with_meta(&b"canary"[..]).with_principal(principal("canary"));
        create(&backend, 1, record("x")).await;
        table.execute("ALTER TABLE {t} ADD CONSTRAINT no CHECK (data <> 'canary')").await.unwrap();
        let mut errors = vec![
            backend.create(id(2), secret.clone(), now()).await.unwrap_err(),
            backend.update(id(1), secret.revision, secret.clone(), now()).await.unwrap_err(),
        ];
        table.execute("ALTER TABLE {t} DROP CONSTRAINT no, ADD UNIQUE KEY u (principal)").await.unwrap();
        create(&backend, 2, secret.clone()).await;
        errors.push(backend.update(id(1), secret.revision, secret, now()).await.unwrap_err());
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Internal, "{error:?}");
            let shown = shown(&error);
            assert!(!shown.contains("canary") && shown.contains("error "), "{shown}");
        }
        assert!(!format!("{backend:?} {:?}", table.config).contains("password"));
    });
}
