//! `schema.sql` is what a real server has.

use crate::empty::Empty;

#[tokio::test]
async fn the_generated_schema_is_the_one_that_was_kept() {
    let database = &Empty::mysql().await;
    // Whatever the defaults of the server are.
    let name = database.query("SELECT DATABASE()", 1).await.concat().concat();
    database.run(&format!("ALTER DATABASE {name} CHARACTER SET latin1 COLLATE latin1_german1_ci")).await;
    database.up().await;
    let mut schema = String::from(
        "-- What MySQL has after all migrations. A test writes it from a real server; see README.md.\n",
    );
    for table in ["transactions", "offsets", "quarantine", "owner"] {
        let create = &database.query(&format!("SHOW CREATE TABLE {table}"), 2).await[0][1];
        schema.extend(["\n", create, ";\n"]);
    }
    let create = &database.query("SHOW CREATE VIEW ledger", 2).await[0][1];
    // Its owner is whoever ran the migrations, and is asked for nothing.
    let (_, view) = create.split_once("SQL SECURITY").unwrap();
    let view =
        view.replace(&format!("`{name}`."), "").replace(",`", ",\n  `").replace(",cast(", ",\n  cast(");
    let view = view.replace(",bin_to_uuid(", ",\n  bin_to_uuid(").replace(" from `", "\nfrom `");
    schema.extend(["\nCREATE SQL SECURITY", &view.replace("select ", "select\n  "), ";\n"]);
    fluxo_golden::check(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.sql"), &schema);
}
