//! A client's connection that ends when the register revokes the certificate it was opened with.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use kho_replication::{
    connection_places::ConnectionPlace,
    tls::{Revocations, ShownCertificate},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// A TLS stream that fails at its next read or write, and wakes up for it, once its certificate is revoked.
pub struct RevocableStream {
    stream: TlsStream<TcpStream>,
    revoked: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
    /// Its certificate's, given back when the stream is dropped.
    _place: ConnectionPlace,
}

impl RevocableStream {
    pub fn new(stream: TlsStream<TcpStream>, shown: ShownCertificate, revocations: Arc<Revocations>, place: ConnectionPlace) -> Self {
        let revoked = Box::pin(async move {
            revocations.until_revoked(&shown).await;
            tracing::warn!(who = %shown.identity, "a connection was cut: the register revoked its certificate");
        });
        Self { stream, revoked, is_cut: false, _place: place }
    }

    /// An error once the certificate is revoked. The task that reads or writes is woken when it is.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.is_cut = self.is_cut || self.revoked.as_mut().poll(context).is_ready();
        if self.is_cut { Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the certificate was revoked")) } else { Ok(()) }
    }
}

impl AsyncRead for RevocableStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for RevocableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
