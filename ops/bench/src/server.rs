//! A server of a peer: started here, and ended here by its own process id, however the measurement ends.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to end before it is killed.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for one that first writes out what it holds.
const SHUT_DOWN_TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Lines of a log that say why a server ended.
const LOG_LINES: usize = 15;

/// A running server. Dropping it ends the process and waits for its end.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    log: PathBuf,
    /// What makes it end at once, with all processes of its own.
    end: Signal,
}

impl Server {
    /// Starts `command`; what it says goes to the file `log`.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(name: String, mut command: Command, log: &Path, end: Signal) -> anyhow::Result<Self> {
        let out = File::create(log).with_context(|| format!("{} can't be written", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let child = command.spawn().with_context(|| format!("{name} could not be started"))?;
        Ok(Self { name, child, log: log.into(), end })
    }

    /// # Errors
    /// When it has ended; the message holds the end of its log.
    pub fn ensure_runs(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended with {status}; the end of its log:\n{}", self.name, log_tail(&self.log)),
        }
    }

    /// Ends it by `signal` and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), signal)?;
        let deadline = Instant::now() + SHUT_DOWN_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "{} does not end; the end of its log:\n{}", self.name, log_tail(&self.log));
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended was waited for, and its id may be another's by now.
        let signalled = matches!(self.child.try_wait(), Ok(None)) && kill_process(Pid::from_child(&self.child), self.end).is_ok();
        let deadline = Instant::now() + END_TIMEOUT;
        while signalled && Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        // Nothing more can be done about a process that can't be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log.
pub fn log_tail(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// Ports of 127.0.0.1 that are free now, all different.
///
/// # Errors
/// When there are not so many.
pub fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    // Held until all are chosen, so that no port is given twice.
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_ends_with_its_handle_and_tells_why_it_ended_before() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = dir.path().join("log");
        let start = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Server::start("the server".into(), command, &log, Signal::TERM).expect("starts")
        };
        let mut server = start("exec sleep 600");
        server.ensure_runs().expect("it runs");
        let path = format!("/proc/{}", server.child.id());
        drop(server);
        assert!(!Path::new(&path).exists());

        let mut server = start("echo no room; exit 3");
        let why = loop {
            match server.ensure_runs() {
                Ok(()) => std::thread::sleep(POLL_INTERVAL),
                Err(why) => break why.to_string(),
            }
        };
        assert!(why.contains("no room"), "{why}");
    }

    #[test]
    fn ports_are_all_different() {
        let mut ports = free_ports(8).expect("free");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
