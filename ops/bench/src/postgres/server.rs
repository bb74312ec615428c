//! One server of PostgreSQL with a data folder of its own.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::session::{Access, Session};
use crate::{
    certificates::PeerCertificates,
    peers::Postgres,
    server::{Server, free_ports, log_tail},
};

/// How long a server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const USER: &str = "bench";

/// What differs from the defaults. `fsync`, `synchronous_commit` and `full_page_writes` are on by default and named all the same.
const SETTINGS: [(&str, &str); 9] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("ssl", "on"),
    ("wal_level", "logical"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
];

/// See the module.
pub struct PostgresServer {
    access: Access,
    server: Server,
    place: ServerPlace,
}

/// What a server is started from.
struct ServerPlace {
    postgres: Postgres,
    name: String,
    dir: PathBuf,
    data: PathBuf,
    port: u16,
    certificates: PeerCertificates,
}

impl PostgresServer {
    /// Makes the data folder in `dir`, starts the server, and waits until it answers.
    ///
    /// # Errors
    /// When a program fails; the message holds what it said.
    pub async fn start(postgres: &Postgres, name: &str, dir: &Path, password: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        let certificates = PeerCertificates::make(dir)?;
        let password_file = dir.join("password");
        fs::write(&password_file, password)?;
        for path in [dir, &certificates.authority, &certificates.certificate, &certificates.key, &password_file] {
            hand_over(postgres, path)?;
        }
        let port = free_ports(1)?[0];
        let access = Access {
            psql: postgres.programs.join("psql"),
            port,
            user: USER.into(),
            password: password.into(),
            authority: certificates.authority.clone(),
            log: dir.join("psql.log"),
        };
        let data = make_data(postgres, dir, &password_file).await?;
        let place =
            ServerPlace { postgres: postgres.clone(), name: format!("PostgreSQL, {name}"), dir: dir.into(), data, port, certificates };
        let mut server = Self { access, server: place.run()?, place };
        server.wait_until_it_answers().await?;
        Ok(server)
    }

    /// Shuts the server down, which ends its sessions and writes everything out, and starts it again.
    ///
    /// # Errors
    /// When it does not end, or does not answer again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.server.end(Signal::INT).await?;
        self.server = self.place.run()?;
        self.wait_until_it_answers().await
    }

    /// A session at this server.
    ///
    /// # Errors
    /// When it can't be opened.
    pub async fn session(&self) -> anyhow::Result<Session> {
        Session::open(&self.access).await
    }

    /// How another server reaches this one.
    pub fn connection(&self) -> String {
        format!("{} password={}", self.access.target(), self.access.password)
    }

    async fn wait_until_it_answers(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            self.server.ensure_runs()?;
            match self.session().await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }
}

/// Gives a file or folder to the user that the servers run as, where that is another.
///
/// # Errors
/// When the system refuses.
pub fn hand_over(postgres: &Postgres, path: &Path) -> anyhow::Result<()> {
    let Some(ids) = postgres.user else { return Ok(()) };
    chown(path, Some(ids.user), Some(ids.group)).with_context(|| format!("{} can't be given to the user of PostgreSQL", path.display()))
}

/// As the user of PostgreSQL where that is another, and with nothing of the environment.
fn program(postgres: &Postgres, name: &str, dir: &Path) -> Command {
    let mut command = Command::new(postgres.programs.join(name));
    command.env_clear().current_dir(dir);
    if let Some(ids) = postgres.user {
        command.uid(ids.user).gid(ids.group);
    }
    command
}

async fn make_data(postgres: &Postgres, dir: &Path, password_file: &Path) -> anyhow::Result<PathBuf> {
    let (data, log) = (dir.join("data"), dir.join("initdb.log"));
    let mut command = program(postgres, "initdb", dir);
    command.arg("--pgdata").arg(&data).arg("--pwfile").arg(password_file).args([
        "--username",
        USER,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
    ]);
    let out = fs::File::create(&log)?;
    command.stdout(out.try_clone()?).stderr(out);
    let status = tokio::process::Command::from(command).kill_on_drop(true).status().await.context("initdb could not be started")?;
    ensure!(status.success(), "initdb ended with {status}:\n{}", log_tail(&log));
    Ok(data)
}

impl ServerPlace {
    fn run(&self) -> anyhow::Result<Server> {
        let mut command = program(&self.postgres, "postgres", &self.dir);
        command.arg("-D").arg(&self.data).arg("-p").arg(self.port.to_string());
        for (name, value) in SETTINGS {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, file) in [("ssl_cert_file", &self.certificates.certificate), ("ssl_key_file", &self.certificates.key)] {
            command.arg("-c").arg(format!("{name}={}", file.display()));
        }
        Server::start(self.name.clone(), command, &self.dir.join("postgres.log"), Signal::QUIT)
    }
}
