//! Four servers, each of which subscribes to the one below it.

use std::path::Path;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use futures::future::try_join_all;
use kho_storage::{
    level::Level,
    schema::{ColumnKind, Table, population},
};
use rand::RngCore as _;

use super::{
    server::{PostgresServer, hand_over},
    session::Session,
};
use crate::{
    peers::Postgres,
    persons::{PersonBatch, TABLE},
    tree::tiers::{Entry, Sight, Tree},
};

/// From the bottom to the top.
const TIERS: [&str; 4] = ["district", "province", "region", "centre"];

/// See the module.
pub struct PostgresTree {
    servers: Vec<PostgresServer>,
}

/// A session at the district.
pub struct PostgresEntry(Session);

/// A session at the centre.
pub struct PostgresSight(Session);

impl PostgresTree {
    /// Starts the servers in `dir` and ties them together.
    ///
    /// # Errors
    /// When a server can't be started or refuses a statement.
    pub async fn start(postgres: &Postgres, dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        hand_over(postgres, dir)?;
        let password = new_password();
        let folders = TIERS.map(|tier| dir.join(tier));
        let servers =
            try_join_all(TIERS.iter().zip(&folders).map(|(tier, folder)| PostgresServer::start(postgres, tier, folder, &password))).await?;
        let mut below: Option<&PostgresServer> = None;
        for server in &servers {
            let mut session = server.session().await?;
            session.execute(create_table()?.as_bytes()).await?;
            session.execute(format!("CREATE PUBLICATION upward FOR TABLE {TABLE};\n").as_bytes()).await?;
            if let Some(below) = below {
                session.execute(subscribe_to(below).as_bytes()).await?;
            }
            below = Some(server);
        }
        Ok(Self { servers })
    }
}

fn new_password() -> String {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    HEXLOWER.encode(&bytes)
}

/// The columns and the key of Kho's table. Dates are text, because their day or month may be unknown.
fn create_table() -> anyhow::Result<String> {
    let table: &Table = population().table_named(TABLE).with_context(|| format!("the schema has no table {TABLE}"))?;
    let columns = table.columns.iter().filter(|column| column.id.level() == Level::FOUNDING).map(|column| {
        let kind = if matches!(column.kind, ColumnKind::Integer { .. }) { "bigint" } else { "text" };
        let rest = if column.required { " NOT NULL" } else { "" };
        format!("{} {kind}{rest}", column.name)
    });
    Ok(format!("CREATE TABLE {TABLE} ({}, PRIMARY KEY ({}));\n", columns.collect::<Vec<_>>().join(", "), table.key))
}

/// The tables are empty, so there is nothing to copy first.
fn subscribe_to(below: &PostgresServer) -> String {
    let connection = below.connection().replace('\'', "''");
    format!(
        "CREATE SUBSCRIPTION downward CONNECTION '{connection}' PUBLICATION upward WITH (synchronous_commit = 'on', copy_data = false);\n"
    )
}

impl Tree for PostgresTree {
    type Entry = PostgresEntry;
    type Sight = PostgresSight;

    async fn restart(&mut self) -> anyhow::Result<()> {
        try_join_all(self.servers.iter_mut().map(PostgresServer::restart)).await.map(drop)
    }

    async fn entry(&self) -> anyhow::Result<PostgresEntry> {
        Ok(PostgresEntry(self.servers[0].session().await?))
    }

    async fn sight(&self) -> anyhow::Result<PostgresSight> {
        Ok(PostgresSight(self.servers[TIERS.len() - 1].session().await?))
    }
}

impl Entry for PostgresEntry {
    async fn enter(&mut self, batch: &PersonBatch) -> anyhow::Result<()> {
        let begin = format!("BEGIN;\nCOPY {TABLE} ({}) FROM STDIN WITH (FORMAT csv);\n", batch.columns());
        // The end of the data has to end as its lines do.
        let transaction = [begin.as_bytes(), batch.csv_rows(), b"\\.\r\n", b"COMMIT;\n"].concat();
        self.0.execute(&transaction).await?;
        Ok(())
    }
}

impl Sight for PostgresSight {
    async fn holds(&mut self, key: &str) -> anyhow::Result<bool> {
        // A key is made of digits.
        Ok(self.0.number(&format!("SELECT count(*) FROM {TABLE} WHERE person_id = '{key}'")).await? > 0)
    }

    async fn rows(&mut self) -> anyhow::Result<u64> {
        self.0.number(&format!("SELECT count(*) FROM {TABLE}")).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persons::Persons;

    #[test]
    fn the_table_has_every_column_of_the_rows_and_their_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let persons = Persons::synthesise(&dir.path().join("population"), 10).expect("made");
        let table = create_table().expect("the schema has it");
        for column in persons.batch(0..1).columns().split(',') {
            assert!(
                table.contains(&format!("{column} text")) || table.contains(&format!("{column} bigint")),
                "{column} is missing in {table}"
            );
        }
        assert!(table.ends_with("PRIMARY KEY (person_id));\n"), "{table}");
    }
}
