//! The statements of README.md give every user what it needs and nothing more.

use std::collections::BTreeMap;

use fluxo_core::TopicId;
use fluxo_store::{
    Error, Store,
    offsets::{StoredOffset, StoredOffsets},
};
use sea_orm::ConnectionTrait;

use crate::empty::{ALL, Empty, WAIT, open};

/// The SQL of README.md, with the database of the test and users of its own.
struct Rights {
    database: Empty,
    parts: Vec<String>,
    suffix: String,
}

impl Rights {
    async fn new() -> Self {
        let database = Empty::mysql().await;
        let name = database.query("SELECT DATABASE()", 1).await.concat().concat();
        let suffix = name.chars().rev().take(12).collect::<String>();
        let readme = include_str!("../../README.md");
        let parts = readme.split("```sql\n").skip(1).map(|part| part.split("```").next().unwrap());
        let parts = parts.map(|part| part.replace("ON fluxo.", &format!("ON {name}.")));
        let parts: Vec<_> = parts.map(|part| part.replace("'@'%'", &format!("_{suffix}'@'%'"))).collect();
        assert_eq!(parts.len(), 2);
        Self { database, parts, suffix }
    }

    async fn grant(&self, part: usize) {
        for statement in self.parts[part].split(';').filter(|statement| !statement.trim().is_empty()) {
            self.database.run(statement).await;
        }
    }

    /// The database, as one of the users sees it.
    async fn login(&self, user: &str) -> Store {
        let (_, server) = self.database.url.split_once('@').unwrap();
        open(&format!("mysql://fluxo_{user}_{}@{server}", self.suffix)).await
    }

    async fn drop_users(&self) {
        for user in ["migrations", "listener", "api"] {
            self.database.run(&format!("DROP USER 'fluxo_{user}_{}'@'%'", self.suffix)).await;
        }
    }
}

const INSERT: &str = "INSERT INTO transactions (id, account, currency, account_seq, kind, amount, scale, balance_after, \
                      occurred_at, accepted_at, recorded_at, client, content_hash, topic_id, `partition`, `offset`) \
                      VALUES (UUID_TO_BIN(UUID()), 'ana', 'BRL', 1, 'entrada', 1, 2, 1, NOW(), NOW(), NOW(), 'erp', \
                      REPEAT('x', 32), 't', 0, 0)";
const QUARANTINE: &str = "INSERT INTO quarantine (topic_id, `partition`, `offset`, topic, reason, headers, recorded_at) \
                          VALUES ('i', 0, 0, 't', 'not_ours', '', NOW()) ON DUPLICATE KEY UPDATE \
                          forwarded_at = forwarded_at";

/// What nobody but the owner of the schema may do.
const FORBIDDEN: [&str; 11] = [
    "UPDATE transactions SET amount = 2",
    "UPDATE transactions SET description = 'x' WHERE account = 'ana'",
    "DELETE FROM transactions",
    "TRUNCATE TABLE transactions",
    "REPLACE INTO transactions SELECT * FROM transactions",
    "DROP TABLE transactions",
    "ALTER TABLE transactions DROP INDEX id",
    "DELETE FROM quarantine",
    "DELETE FROM offsets",
    "UPDATE owner SET pipeline = 'other/other'",
    "DELETE FROM owner",
];

async fn allowed(store: &Store, sql: &str) {
    let ran = store.connection().execute_unprepared(sql).await;
    assert!(ran.is_ok(), "{sql}: {ran:?}");
}

async fn refused(store: &Store, sql: &str) {
    let error = store.connection().execute_unprepared(sql).await.map_err(Error::from);
    assert!(matches!(error, Err(Error::Misconfigured(_))), "{sql}: {error:?}");
}

#[tokio::test]
async fn every_user_may_do_what_it_needs_and_nothing_more() {
    let rights = Rights::new().await;
    rights.grant(0).await;
    let owner = rights.login("migrations").await;
    fluxo_migrations::up_for("bank/payments", owner.connection(), WAIT).await.unwrap();
    rights.grant(1).await;
    listener_may_write(&rights.login("listener").await).await;
    api_may_read(&rights.login("api").await).await;
    assert_eq!(rights.database.query("SELECT CAST(COUNT(*) AS CHAR) FROM transactions", 1).await, [["1"]]);
    fluxo_migrations::down(owner.connection(), ALL, WAIT).await.unwrap();
    rights.drop_users().await;
}

async fn listener_may_write(listener: &Store) {
    listener.ping().await.unwrap();
    let stored = |next_offset| {
        let topic_id = TopicId::parse("i").unwrap();
        StoredOffsets::from(BTreeMap::from([(
            0,
            StoredOffset { cluster_id: "c".into(), topic_id, next_offset },
        )]))
    };
    // The second time there is a row that must be kept.
    listener.begin_offsets("t", &stored(1)).await.unwrap();
    listener.begin_offsets("t", &stored(2)).await.unwrap();
    assert_eq!(listener.offsets("t").await.unwrap(), stored(1));
    listener.adopt_offsets("t", &stored(3)).await.unwrap();
    for sql in [
        INSERT,
        "UPDATE offsets SET next_offset = 4 WHERE topic = 't' AND `partition` = 0 AND topic_id = 'i' AND next_offset = 3",
        QUARANTINE,
        QUARANTINE,
        "SELECT topic_id, `partition`, `offset` FROM quarantine WHERE forwarded_at IS NULL FOR UPDATE SKIP LOCKED",
        "UPDATE quarantine SET forwarded_at = NOW() WHERE topic_id = 'i' AND `partition` = 0 AND `offset` = 0",
        "SELECT * FROM transactions",
        "SELECT * FROM owner",
        "DO GET_LOCK('fluxo.test', 0)",
    ] {
        allowed(listener, sql).await;
    }
    for sql in FORBIDDEN.into_iter().chain([
        "UPDATE quarantine SET value = ''",
        "UPDATE quarantine SET reason = 'other'",
        "SELECT * FROM seaql_migrations",
    ]) {
        refused(listener, sql).await;
    }
}

async fn api_may_read(api: &Store) {
    api.ping().await.unwrap();
    for table in ["transactions", "quarantine", "offsets", "owner"] {
        allowed(api, &format!("SELECT * FROM {table}")).await;
    }
    for sql in FORBIDDEN.into_iter().chain([
        INSERT,
        QUARANTINE,
        "UPDATE offsets SET next_offset = 0",
        "UPDATE quarantine SET forwarded_at = NULL",
        "SELECT * FROM seaql_migrations",
    ]) {
        refused(api, sql).await;
    }
}
