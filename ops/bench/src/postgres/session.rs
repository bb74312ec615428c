//! A session at a server: one `psql` over TLS that reads its statements from a pipe, and says when each is done.

use std::{fs::File, path::PathBuf, process::Stdio};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::server::log_tail;

/// What `psql` says after the answer to a statement.
const DONE: &str = "kho-bench-done";

/// How a server is reached.
#[derive(Debug, Clone)]
pub struct Access {
    pub psql: PathBuf,
    pub port: u16,
    pub user: String,
    pub password: String,
    /// Certificate of the authority that the server's must come from.
    pub authority: PathBuf,
    /// What `psql` complains about goes here.
    pub log: PathBuf,
}

impl Access {
    /// Connection parameters without the password.
    pub fn target(&self) -> String {
        // A path may hold what has a meaning between parameters.
        let authority = self.authority.display().to_string().replace('\\', "\\\\").replace('\'', "\\'");
        format!("host=127.0.0.1 port={} user={} dbname=postgres sslmode=require sslrootcert='{authority}'", self.port, self.user)
    }
}

/// See the module. Dropping it ends the process.
pub struct Session {
    child: Child,
    statements: ChildStdin,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// When the server does not let it in.
    pub async fn open(access: &Access) -> anyhow::Result<Self> {
        let complaints = File::options().create(true).append(true).open(&access.log)?;
        let mut command = Command::new(&access.psql);
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]).arg(access.target());
        command.env_clear().env("PGPASSWORD", &access.password);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints).kill_on_drop(true);
        let mut child = command.spawn().context("psql could not be started")?;
        let statements = child.stdin.take().context("psql has a standard input")?;
        let answers = BufReader::new(child.stdout.take().context("psql has a standard output")?);
        let mut session = Self { child, statements, answers, log: access.log.clone() };
        session.execute("SELECT 1;\n".as_bytes()).await?;
        Ok(session)
    }

    /// Carries out statements, each ending with a semicolon and a line end; gives the lines they answered with.
    ///
    /// # Errors
    /// When one is refused; the session has ended then.
    pub async fn execute(&mut self, statements: &[u8]) -> anyhow::Result<Vec<String>> {
        let script = [statements, format!("\\echo {DONE}\n").as_bytes()].concat();
        // A psql that ended can't be written to; why it ended is reported below.
        let _ = self.statements.write_all(&script).await;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line).await? == 0 {
                let status = self.child.wait().await?;
                bail!("psql ended with {status}:\n{}", log_tail(&self.log));
            }
            match line.trim_end() {
                DONE => return Ok(lines),
                line => lines.push(line.to_owned()),
            }
        }
    }

    /// The one number that a query answers with.
    ///
    /// # Errors
    /// As [`Self::execute`], or when the answer is none.
    pub async fn number(&mut self, query: &str) -> anyhow::Result<u64> {
        let lines = self.execute(format!("{query};\n").as_bytes()).await?;
        let line = lines.first().with_context(|| format!("`{query}` has no answer"))?;
        line.parse().with_context(|| format!("`{query}` is answered by `{line}`, which is not a number"))
    }
}
