//! What errors tell of the server's words, and what they keep to themselves.

use session_core::{ErrorKind, SessionBackend};

use crate::common::{create, id, now, principal, record, shown, with_table};

#[test]
fn errors_show_nothing_of_a_session() {
    with_table(async |table| {
        let backend = table.connect().await;
        table.execute("ALTER TABLE {t} ADD CHECK (data <> 'canary')").await.unwrap();
        let raise = "CREATE FUNCTION {t}_text() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN RAISE 'no % here', convert_from(NEW.data, 'UTF8'); END $$; \
                     CREATE TRIGGER t BEFORE UPDATE ON {t} EXECUTE FUNCTION {t}_text()";
        let secret = record("canary").with_meta(&b"canary"[..]).with_principal(principal("canary"));
        let mut errors = vec![backend.create(id(1), secret.clone(), now()).await.unwrap_err()];
        create(&backend, 1, record("x")).await;
        table.execute(&raise.replace("UPDATE ON {t}", "UPDATE ON {t} FOR EACH ROW")).await.unwrap();
        errors.push(backend.update(id(1), secret.revision, secret, now()).await.unwrap_err());
        table.execute("DROP FUNCTION {t}_text() CASCADE").await.unwrap();
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Internal);
            let shown = shown(&error);
            assert!(!shown.contains("canary") && shown.contains("SQLSTATE"), "{shown}");
        }
        assert!(!format!("{backend:?} {:?}", table.config).contains("password"));
    });
}
