//! Columns and tables that mean the same on both databases, whatever the defaults of the server are.

use sea_orm_migration::{
    SchemaManager,
    sea_orm::DbBackend,
    sea_query::{ColumnDef, Table, TableCreateStatement},
};

/// How one of the databases spells a type.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    mysql: bool,
}

impl Dialect {
    /// That of the database that is changed.
    pub(super) fn of(manager: &SchemaManager<'_>) -> Self {
        Self { mysql: manager.get_database_backend() == DbBackend::MySql }
    }

    /// Whether it is MySQL's.
    pub(super) const fn is_mysql(self) -> bool {
        self.mysql
    }

    /// A new table, unless it is there.
    pub(super) fn table(self, name: &'static str) -> TableCreateStatement {
        let mut table = Table::create();
        table.table(name).if_not_exists();
        if self.mysql {
            table.engine("InnoDB").character_set("utf8mb4").collate("utf8mb4_0900_ai_ci");
        }
        table
    }

    /// An identifier: up to `length` characters of ASCII, equal only when every byte is. SQLite compares so by itself.
    pub(super) fn ascii(self, name: &'static str, length: u32) -> ColumnDef {
        self.custom(
            name,
            &format!("VARCHAR({length}) CHARACTER SET ascii COLLATE ascii_bin"),
            &format!("varchar({length})"),
        )
    }

    /// An identifier of always three characters.
    pub(super) fn currency(self, name: &'static str) -> ColumnDef {
        self.custom(name, "CHAR(3) CHARACTER SET ascii COLLATE ascii_bin", "char(3)")
    }

    /// One of a few words. A word is added at the end: MySQL then changes no row.
    pub(super) fn word(self, name: &'static str, words: &[&str]) -> ColumnDef {
        let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
        let mysql = format!("ENUM({}) CHARACTER SET ascii COLLATE ascii_bin", words.join(","));
        self.custom(name, &mysql, &format!("text CHECK ({name} IN ({}))", words.join(",")))
    }

    /// A moment of UTC, to the microsecond.
    pub(super) fn moment(self, name: &'static str) -> ColumnDef {
        self.custom(name, "DATETIME(6)", "datetime_text")
    }

    /// Bytes of any number.
    pub(super) fn bytes(self, name: &'static str) -> ColumnDef {
        self.custom(name, "LONGBLOB", "blob")
    }

    fn custom(self, name: &'static str, mysql: &str, sqlite: &str) -> ColumnDef {
        let mut column = ColumnDef::new(name);
        column.custom(if self.mysql { mysql.to_owned() } else { sqlite.to_owned() });
        column
    }
}
