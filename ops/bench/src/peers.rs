//! Which peers are installed on this machine, and as which user they may run.
//!
//! Only programs are searched: a server that runs already, as a distribution starts one, is never spoken to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where Debian keeps the programs of each version of PostgreSQL.
const POSTGRES_FOLDER: &str = "/usr/lib/postgresql";
/// PostgreSQL refuses to run as root; its package makes this user.
const POSTGRES_USER: &str = "postgres";

/// An etcd that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etcd {
    pub program: PathBuf,
    pub version: String,
}

/// A PostgreSQL that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// Folder of `initdb`, `postgres` and `psql`.
    pub programs: PathBuf,
    pub version: String,
    /// Whom its processes run as, where that is another.
    pub user: Option<UserIds>,
}

/// Numbers of a user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserIds {
    pub user: u32,
    pub group: u32,
}

impl Etcd {
    /// # Errors
    /// Why it can't be measured, with what to do about it.
    pub fn find() -> Result<Self, String> {
        let missing = || "etcd is not installed, so Kho is measured alone; on Debian: apt-get install etcd-server".to_string();
        let program = on_path("etcd").ok_or_else(missing)?;
        let version =
            version_of(&program).ok_or_else(|| format!("{} does not report its version, so Kho is measured alone", program.display()))?;
        Ok(Self { program, version })
    }
}

impl Postgres {
    /// # Errors
    /// Why it can't be measured, with what to do about it.
    pub fn find() -> Result<Self, String> {
        let missing = || "PostgreSQL is not installed, so Kho is measured alone; on Debian: apt-get install postgresql".to_string();
        let has_all = |folder: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|program| folder.join(program).is_file());
        let beside_postgres = on_path("postgres").and_then(|program| program.parent().map(Path::to_owned));
        let programs = beside_postgres.into_iter().chain(newest_version_folder()).find(has_all).ok_or_else(missing)?;
        let version = version_of(&programs.join("postgres")).ok_or_else(missing)?;
        let user = if rustix::process::geteuid().is_root() {
            let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let user = ids_of(&users, POSTGRES_USER);
            Some(user.ok_or_else(|| format!("PostgreSQL refuses to run as root and there is no user {POSTGRES_USER}, so Kho is measured alone; give the command as another user"))?)
        } else {
            None
        };
        Ok(Self { programs, version, user })
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn newest_version_folder() -> Option<PathBuf> {
    let folders = fs::read_dir(POSTGRES_FOLDER).ok()?.filter_map(Result::ok);
    let versions = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    versions.max().map(|version| Path::new(POSTGRES_FOLDER).join(version.to_string()).join("bin"))
}

fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    version_in(&String::from_utf8_lossy(&output.stdout))
}

/// The first word that begins with a digit.
fn version_in(text: &str) -> Option<String> {
    text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit())).map(str::to_owned)
}

/// From the text of passwd(5).
fn ids_of(users: &str, name: &str) -> Option<UserIds> {
    let fields: Vec<&str> = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    Some(UserIds { user: fields.get(2)?.parse().ok()?, group: fields.get(3)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_users_are_read_as_the_system_writes_them() {
        assert_eq!(version_in("etcd Version: 3.4.23\nGit SHA: Not provided\nGo Version: go1.19.8\n").as_deref(), Some("3.4.23"));
        assert_eq!(version_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n").as_deref(), Some("15.18"));
        assert_eq!(version_in("no such file"), None);
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:104:112:,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(ids_of(users, "postgres"), Some(UserIds { user: 104, group: 112 }));
        assert_eq!(ids_of(users, "nobody"), None);
    }
}
