//! A client that writes to several nodes in turn.

use std::ops::Range;

use crate::load::Writer;

/// One client over one or more connections.
pub struct InTurn<W> {
    writers: Vec<W>,
    next: usize,
}

impl<W> InTurn<W> {
    /// Over at least one connection.
    pub fn new(writers: Vec<W>) -> Self {
        Self { writers, next: 0 }
    }
}

impl<W: Writer> Writer for InTurn<W> {
    async fn write(&mut self, records: Range<u64>) -> anyhow::Result<()> {
        let place = self.next % self.writers.len();
        self.next += 1;
        self.writers[place].write(records).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Named(usize, Arc<Mutex<Vec<usize>>>);

    impl Writer for Named {
        async fn write(&mut self, _: Range<u64>) -> anyhow::Result<()> {
            self.1.lock().expect("no panic").push(self.0);
            Ok(())
        }
    }

    #[tokio::test]
    async fn every_node_gets_its_turn() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut client = InTurn::new((0..3).map(|name| Named(name, Arc::clone(&written))).collect());
        for record in 0..5 {
            client.write(record..record + 1).await.expect("written");
        }
        assert_eq!(*written.lock().expect("no panic"), [0, 1, 2, 0, 1]);
    }
}
