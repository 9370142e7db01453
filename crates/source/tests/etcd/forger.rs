use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};

/// What is not true in the answers of a [`Forger`].
#[derive(Clone, Copy)]
pub(crate) enum Forgery {
    /// The snapshot lacks its last so many messages, and ends in good order.
    Ends(usize),
    /// All messages of the snapshot but the first are empty.
    Empty,
    /// One bit of the snapshot's message of this number, from its end, is another one.
    Bit(usize),
    /// The member says that it is so many entries behind where it is.
    Behind(u64),
}

/// Stands before an etcd, passes everything on, and forges its statuses or its snapshots.
pub(crate) struct Forger {
    address: String,
}

impl Forger {
    pub(crate) async fn start(server: String, forgery: Forgery) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("it listens");
                tokio::spawn(serve(client, server, forgery));
            }
        });
        Self { address }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }
}

type Failure = Box<dyn Error + Send + Sync>;

async fn serve(client: TcpStream, server: TcpStream, forgery: Forgery) -> Result<(), Failure> {
    let executor = TokioExecutor::new();
    let (sender, connection) = handshake(executor.clone(), TokioIo::new(server)).await?;
    tokio::spawn(connection);
    let answer = service_fn(move |request| answer(sender.clone(), request, forgery));
    let connection = http2::Builder::new(executor).serve_connection(TokioIo::new(client), answer);
    Ok(connection.await?)
}

async fn answer(
    mut sender: SendRequest<Incoming>,
    request: Request<Incoming>,
    forgery: Forgery,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = std::convert::Infallible>>, Failure>
{
    let method = request.uri().path().to_owned();
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let mut messages = messages(&body.to_bytes());
    match (&*method, forgery) {
        ("/etcdserverpb.Maintenance/Status", Forgery::Behind(entries)) => {
            messages = messages.iter().map(|it| behind(it, entries)).collect();
        }
        (_, Forgery::Behind(_)) => {}
        ("/etcdserverpb.Maintenance/Snapshot", forgery) => forge(&mut messages, forgery),
        _ => {}
    }
    let body = Full::new(framed(&messages));
    let body = body.with_trailers(std::future::ready(trailers.map(Ok)));
    Ok(Response::from_parts(head, body))
}

fn forge(messages: &mut Vec<Vec<u8>>, forgery: Forgery) {
    assert!(messages.len() > 10, "a snapshot of many messages");
    let end = messages.len();
    match forgery {
        Forgery::Ends(lacking) => messages.truncate(end - lacking),
        Forgery::Empty => {
            for message in &mut messages[1..] {
                change(message, |piece| piece.blob.clear());
            }
        }
        Forgery::Bit(from_end) => {
            change(&mut messages[end - 1 - from_end], |piece| {
                piece.blob[0] ^= 1;
            });
        }
        Forgery::Behind(_) => {}
    }
}

/// The messages of gRPC in a body: each behind a byte that says that it is not compressed, and its length.
fn messages(mut body: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (message, rest) = rest.split_at(length);
        messages.push(message.to_vec());
        body = rest;
    }
    messages
}

fn framed(messages: &[Vec<u8>]) -> Bytes {
    let framed = messages.iter().flat_map(|message| {
        let length = u32::try_from(message.len()).expect("it was one");
        [&[0][..], &length.to_be_bytes(), message].concat()
    });
    framed.collect()
}

/// A `SnapshotResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Piece {
    #[prost(bytes = "vec", tag = "1")]
    header: Vec<u8>,
    #[prost(uint64, tag = "2")]
    remaining: u64,
    #[prost(bytes = "vec", tag = "3")]
    blob: Vec<u8>,
    #[prost(string, tag = "4")]
    version: String,
}

fn change(message: &mut Vec<u8>, how: impl FnOnce(&mut Piece)) {
    let mut piece = Piece::decode(&**message).expect("a piece of a snapshot");
    how(&mut piece);
    *message = piece.encode_to_vec();
}

/// What is read of a `StatusResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(bytes = "vec", tag = "1")]
    header: Vec<u8>,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(uint64, tag = "4")]
    leader: u64,
    #[prost(uint64, tag = "5")]
    committed: u64,
    #[prost(uint64, tag = "7")]
    applied: u64,
}

fn behind(status: &[u8], entries: u64) -> Vec<u8> {
    let mut status = Status::decode(status).expect("a status");
    for index in [&mut status.committed, &mut status.applied] {
        *index = index.checked_sub(entries).expect("it has as many");
    }
    status.encode_to_vec()
}
