//! A client of one member: puts, alone or in a transaction, over one connection.

use std::ops::Range;

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::messages::{put, transaction};
use crate::{load::Writer, records};

const PUT_PATH: &str = "/etcdserverpb.KV/Put";
const TRANSACTION_PATH: &str = "/etcdserverpb.KV/Txn";

/// See the module.
pub struct EtcdClient {
    grpc: Grpc<Channel>,
}

impl EtcdClient {
    /// Connects to the member at `url`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(url: &str, tls: &ClientTlsConfig) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?
            .tls_config(tls.clone())?
            .connect()
            .await
            .with_context(|| format!("the member at {url} does not answer"))?;
        Ok(Self { grpc: Grpc::new(channel) })
    }

    async fn call(&mut self, path: &'static str, message: Vec<u8>) -> anyhow::Result<()> {
        self.grpc.ready().await?;
        self.grpc.unary(Request::new(message), path.parse()?, EncodedMessages).await.with_context(|| format!("{path} was refused"))?;
        Ok(())
    }
}

impl Writer for EtcdClient {
    async fn write(&mut self, records: Range<u64>) -> anyhow::Result<()> {
        if records.end - records.start == 1 {
            self.call(PUT_PATH, record(records.start)).await
        } else {
            self.call(TRANSACTION_PATH, transaction(records.map(record))).await
        }
    }
}

/// The put of one record.
fn record(number: u64) -> Vec<u8> {
    put(records::key(number).as_bytes(), records::value(number).as_bytes())
}

/// Requests are encoded already, answers are passed over.
struct EncodedMessages;

impl Codec for EncodedMessages {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for EncodedMessages {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for EncodedMessages {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}
