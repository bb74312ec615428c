//! What went over this machine's loopback interface. Everything that `kho bench` starts speaks over it, and little else does.

use anyhow::Context as _;

const PATH: &str = "/proc/net/dev";

/// Bytes since the machine started, with the headers of IP.
///
/// # Errors
/// When the system does not report it.
pub fn loopback_bytes() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(PATH).with_context(|| format!("{PATH} can't be read"))?;
    parse(&text).with_context(|| format!("{PATH} says nothing about the loopback interface"))
}

/// From the text of `/proc/net/dev`: the first number behind an interface's name counts the bytes received, which on this
/// interface are those sent.
fn parse(text: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.trim().strip_prefix("lo:"))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_s_bytes_are_found_among_the_interfaces() {
        let text = "Inter-|   Receive                \n face |bytes    packets\n  eth0: 77 1 0 0 0 0 0 0 88 2\n    lo: 4711      52    0    0 0 0 0 0 4711 52\n";
        assert_eq!(parse(text), Some(4_711));
        assert_eq!(parse("eth0: 77 1"), None);
        assert!(loopback_bytes().is_ok());
    }
}
