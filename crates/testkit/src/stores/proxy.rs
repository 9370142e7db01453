use std::io::{self, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::http::Message;

/// Stands between a client and a server on loopback, and decides the fate of each request. Also a proxy in HTTP's own sense, for whoever
/// has it in `http_proxy`: whatever server is asked for then, the one behind it is meant.
pub struct Proxy {
    address: String,
    state: Arc<State>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Treatment {
    /// The server answers it.
    Passes,
    /// The server answers it, that much later.
    PassesAfter(Duration),
    /// The server never sees it; this is the answer.
    Answered(Message),
    /// The server does it; this is the answer all the same.
    DoneButAnswered(Message),
    /// The server does it, and the connection breaks before the answer comes.
    AnswerLost,
    /// The server answers it, and the connection breaks after so many bytes of the answer's body.
    AnswerCut(usize),
    /// The same, but the connection stays, and nothing more comes.
    AnswerStuck(usize),
    /// Nothing ever comes back.
    Hangs,
}

struct State {
    upstream: String,
    decide: Box<dyn Fn(&Message) -> Treatment + Send + Sync>,
    seen: Mutex<Vec<Message>>,
    stopped: AtomicBool,
}

impl Proxy {
    /// Starts one in front of `upstream` (`127.0.0.1:PORT`). Its threads end when it is dropped.
    pub fn start(
        upstream: &str,
        decide: impl Fn(&Message) -> Treatment + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            decide: Box::new(decide),
            seen: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        spawn(move || {
            for client in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&accepting);
                // A client that goes away is its own affair.
                spawn(move || client.and_then(|client| state.serve(client)).ok());
            }
        });
        Self { address, state }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests since the last call, without their bodies.
    pub fn take_seen(&self) -> Vec<Message> {
        std::mem::take(&mut self.state.seen.lock().expect("nobody panics with it"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(&self.address);
    }
}

impl State {
    fn serve(&self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut to_client = client.try_clone()?;
        let mut from_client = BufReader::new(client);
        let mut server: Option<BufReader<TcpStream>> = None;
        while let Some(request) = Message::read(&mut from_client, false)? {
            self.note(&request);
            let bodiless = request.method() == "HEAD";
            let treatment = (self.decide)(&request);
            let answer = match &treatment {
                Treatment::Answered(answer) => answer.clone(),
                Treatment::Hangs => {
                    self.hang();
                    return Ok(());
                }
                _ => {
                    if let Treatment::PassesAfter(delay) = treatment {
                        sleep(delay);
                    }
                    self.forward(&mut server, &for_server(&request))?
                }
            };
            match treatment {
                Treatment::AnswerLost => return to_client.shutdown(Shutdown::Both),
                Treatment::AnswerCut(length) => {
                    cut(&answer, length).write(&mut to_client, true)?;
                    return to_client.shutdown(Shutdown::Both);
                }
                Treatment::AnswerStuck(length) => {
                    cut(&answer, length).write(&mut to_client, true)?;
                    self.hang();
                    return Ok(());
                }
                Treatment::DoneButAnswered(answer) => answer.write(&mut to_client, bodiless)?,
                _ => answer.write(&mut to_client, bodiless)?,
            }
            if !request.keeps_alive() {
                break;
            }
        }
        Ok(())
    }

    fn note(&self, request: &Message) {
        let mut seen = request.clone();
        seen.body.clear();
        self.seen.lock().expect("nobody panics with it").push(seen);
    }

    /// Over a connection that is kept, or a new one if the server has closed it meanwhile.
    fn forward(
        &self,
        server: &mut Option<BufReader<TcpStream>>,
        request: &Message,
    ) -> io::Result<Message> {
        let bodiless = request.method() == "HEAD";
        if let Some(kept) = server
            && request.write(kept.get_mut(), false).is_ok()
            && let Ok(Some(answer)) = Message::read(kept, bodiless)
        {
            return Ok(answer);
        }
        let stream = TcpStream::connect(&self.upstream)?;
        stream.set_nodelay(true)?;
        let fresh = server.insert(BufReader::new(stream));
        request.write(fresh.get_mut(), false)?;
        let answer = Message::read(fresh, bodiless)?;
        answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn hang(&self) {
        while !self.stopped.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(20));
        }
    }
}

/// What a proxy is asked for with the name of the server, the server is asked for without.
fn for_server(request: &Message) -> Message {
    let mut request = request.clone();
    let path = request.target().strip_prefix("http://");
    if let Some((_, path)) = path.and_then(|rest| rest.split_once('/')) {
        request.start = format!("{} /{path} HTTP/1.1", request.method());
    }
    request
}

/// An answer that declares more than it holds.
fn cut(answer: &Message, length: usize) -> Message {
    let mut cut = answer.clone();
    let declared = ("content-length".to_owned(), answer.body.len().to_string());
    cut.headers
        .retain(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    cut.headers.push(declared);
    cut.body.truncate(length);
    cut
}
