use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

/// HTTP/2 starts with this many bytes that are no frame.
const PREFACE_BYTES: usize = 24;
const FRAME_HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;

/// Stands before two etcds that get the same requests. The first one is heard, but for one request, whose answer is the second one's: as if a
/// member had lost what it knew, between one answer and the next.
pub(crate) struct Mirror {
    address: String,
}

impl Mirror {
    /// Request number `request` of each connection, from 1, is answered by `second`.
    pub(crate) async fn start(first: String, second: String, request: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let first = TcpStream::connect(&first).await.expect("it listens");
                let second = TcpStream::connect(&second).await.expect("it listens");
                reflect(client, first, second, request);
            }
        });
        Self { address }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A frame as it is on the wire.
struct Frame(Vec<u8>);

impl Frame {
    async fn read(from: &mut OwnedReadHalf) -> io::Result<Self> {
        let mut bytes = vec![0; FRAME_HEAD_BYTES];
        from.read_exact(&mut bytes).await?;
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        bytes.resize(FRAME_HEAD_BYTES + length, 0);
        from.read_exact(&mut bytes[FRAME_HEAD_BYTES..]).await?;
        Ok(Self(bytes))
    }

    fn is_request(&self) -> bool {
        self.0[3] == HEADERS
    }

    fn stream(&self) -> u32 {
        u32::from_be_bytes([self.0[5] & 0x7f, self.0[6], self.0[7], self.0[8]])
    }
}

fn reflect(client: TcpStream, first: TcpStream, second: TcpStream, request: u32) {
    let (from_client, to_client) = client.into_split();
    let (from_first, to_first) = first.into_split();
    let (from_second, to_second) = second.into_split();
    // The stream of the request that the second one answers, once it was made.
    let switched = Arc::new(AtomicU32::new(u32::MAX));
    let to_client = Arc::new(Mutex::new(to_client));
    tokio::spawn(ask(
        from_client,
        [to_first, to_second],
        request,
        Arc::clone(&switched),
    ));
    let (to, stream) = (Arc::clone(&to_client), Arc::clone(&switched));
    tokio::spawn(answer(from_first, to, move |it| {
        it != stream.load(Ordering::SeqCst)
    }));
    tokio::spawn(answer(from_second, to_client, move |it| {
        it == switched.load(Ordering::SeqCst)
    }));
}

async fn ask(
    mut client: OwnedReadHalf,
    mut servers: [OwnedWriteHalf; 2],
    request: u32,
    switched: Arc<AtomicU32>,
) -> io::Result<()> {
    let mut preface = [0; PREFACE_BYTES];
    client.read_exact(&mut preface).await?;
    for server in &mut servers {
        server.write_all(&preface).await?;
    }
    let mut requests = 0;
    loop {
        let frame = Frame::read(&mut client).await?;
        requests += u32::from(frame.is_request());
        if frame.is_request() && requests == request {
            switched.store(frame.stream(), Ordering::SeqCst);
        }
        for server in &mut servers {
            server.write_all(&frame.0).await?;
        }
    }
}

async fn answer(
    mut server: OwnedReadHalf,
    client: Arc<Mutex<OwnedWriteHalf>>,
    is_heard: impl Fn(u32) -> bool,
) -> io::Result<()> {
    loop {
        let frame = Frame::read(&mut server).await?;
        if is_heard(frame.stream()) {
            client.lock().await.write_all(&frame.0).await?;
        }
    }
}
