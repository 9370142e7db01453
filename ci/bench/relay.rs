//! Stands between a client and an HTTP server on loopback for `./bench stores`: lets each request wait, and counts them.
//!
//! `relay 127.0.0.1:PORT MICROSECONDS` prints the address where it listens, and then, for each line on standard input, what it has
//! seen since the last one, as JSON.
//!
//! It shares its processors with what is measured, which a network does not. So it reads the beginnings of requests, and nothing else: bodies
//! and answers stay in the kernel.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
use std::io::{self, BufRead as _, PipeReader, PipeWriter, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{scope, sleep, spawn};
use std::time::Duration;

/// Of a request, to tell its kind by.
const BEGINNING: usize = 16 * 1024;
/// What is in the kernel on its way: as much as Linux gives to whoever asks for it. With the 64 KiB that it gives unasked the relay
/// takes half as much again of the processor.
const PASSAGE: c_int = 1024 * 1024;
/// fcntl.h of Linux.
const F_SETPIPE_SZ: c_int = 1031;

/// What was seen: requests by kind, and bytes in both directions.
type Counts = Mutex<BTreeMap<&'static str, u64>>;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "relay ADDRESS MICROSECONDS";
    let upstream = arguments.next().expect(usage);
    let delay = arguments.next().and_then(|delay| delay.parse().ok());
    let delay = Duration::from_micros(delay.expect(usage));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?)?;
    let counts = Arc::new(Counts::default());
    let counting = Arc::clone(&counts);
    spawn(move || {
        for client in listener.incoming() {
            let (upstream, counts) = (upstream.clone(), Arc::clone(&counting));
            // Who goes away is his own affair.
            spawn(move || client.and_then(|client| serve(&client, &upstream, delay, &counts)));
        }
    });
    for line in io::stdin().lock().lines() {
        line?;
        let seen = std::mem::take(&mut *counts.lock().expect("nobody panics with it"));
        let pairs: Vec<String> = seen
            .iter()
            .map(|(kind, count)| format!("\"{kind}\": {count}"))
            .collect();
        writeln!(stdout, "{{{}}}", pairs.join(", "))?;
    }
    Ok(())
}

/// Passes on what both sides say, until both have said all.
fn serve(client: &TcpStream, upstream: &str, delay: Duration, counts: &Counts) -> io::Result<()> {
    let server = &TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // Nobody sends the next request before the answer to the last one came: what comes after an answer begins with a request.
    let answered = AtomicBool::new(true);
    scope(|scope| {
        scope.spawn(|| end(download(server, client, &answered, counts), server, client));
        end(
            upload(client, server, &answered, delay, counts),
            client,
            server,
        );
    });
    Ok(())
}

fn upload(
    client: &TcpStream,
    server: &TcpStream,
    answered: &AtomicBool,
    delay: Duration,
    counts: &Counts,
) -> io::Result<()> {
    let passage = Passage::new()?;
    let mut beginning = vec![0; BEGINNING];
    // Whether it is a request or what follows of one can be told only when it is there.
    while client.peek(&mut [0])? > 0 {
        if answered.swap(false, Ordering::SeqCst) {
            let length = (&mut &*client).read(&mut beginning)?;
            add(counts, kind(&beginning[..length]), 1);
            add(counts, "bytes up", length as u64);
            sleep(delay);
            (&mut &*server).write_all(&beginning[..length])?;
        } else {
            let length = passage.enter(client)?;
            // Before the last of them is there, and its answer with whoever asks for the count.
            add(counts, "bytes up", length as u64);
            passage.leave(server, length)?;
        }
    }
    Ok(())
}

fn download(
    server: &TcpStream,
    client: &TcpStream,
    answered: &AtomicBool,
    counts: &Counts,
) -> io::Result<()> {
    let passage = Passage::new()?;
    loop {
        let length = passage.enter(server)?;
        if length == 0 {
            return Ok(());
        }
        answered.store(true, Ordering::SeqCst);
        add(counts, "bytes down", length as u64);
        passage.leave(client, length)?;
    }
}

/// Who has said all may still listen; after a failure there is nothing more to say.
fn end(passed: io::Result<()>, from: &TcpStream, to: &TcpStream) {
    // What is shut down already need not be.
    if passed.is_ok() {
        let _ = to.shutdown(Shutdown::Write);
    } else {
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}

/// From one socket to another without a copy in this process.
struct Passage {
    exit: PipeReader,
    entrance: PipeWriter,
}

impl Passage {
    fn new() -> io::Result<Self> {
        let (exit, entrance) = io::pipe()?;
        // SAFETY: the descriptor is open, and a number is what this takes. Where it is refused, the passage is smaller.
        unsafe { fcntl(entrance.as_raw_fd(), F_SETPIPE_SZ, PASSAGE) };
        Ok(Self { exit, entrance })
    }

    /// Waits for bytes, and says how many now stand in the passage, which was empty; none when there will be no more.
    fn enter(&self, from: &TcpStream) -> io::Result<usize> {
        move_bytes(from, &self.entrance, PASSAGE as usize)
    }

    /// Lets so many out, which are in there.
    fn leave(&self, to: &TcpStream, mut length: usize) -> io::Result<()> {
        while length > 0 {
            length -= move_bytes(&self.exit, to, length)?;
        }
        Ok(())
    }
}

// std's `io::copy` splices too, but until the end or for a length that nobody knows here, and no pipe of std's can be made larger.
unsafe extern "C" {
    fn fcntl(file: c_int, command: c_int, ...) -> c_int;
    fn splice(
        from: c_int,
        from_at: *mut i64,
        to: c_int,
        to_at: *mut i64,
        most: usize,
        flags: c_uint,
    ) -> isize;
}

/// Between a pipe and a socket: what is there, at most so much, in the kernel.
fn move_bytes(from: &impl AsRawFd, to: &impl AsRawFd, most: usize) -> io::Result<usize> {
    // SAFETY: both descriptors are open as long as what they are borrowed from, and null is what neither a pipe nor a socket has for a place.
    let moved = unsafe {
        splice(
            from.as_raw_fd(),
            null_mut(),
            to.as_raw_fd(),
            null_mut(),
            most,
            0,
        )
    };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}

fn add(counts: &Counts, kind: &'static str, count: u64) {
    let mut counts = counts.lock().expect("nobody panics with it");
    *counts.entry(kind).or_default() += count;
}

/// As the price lists of object stores tell requests apart.
fn kind(request: &[u8]) -> &'static str {
    let line = request
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.split(' ').next().unwrap_or_default() {
        "DELETE" => "DELETE",
        "POST" if line.contains("?delete") => "DELETE",
        "PUT" | "POST" => "PUT",
        "GET" if line.contains("list-type=") || line.contains("prefix=") => "LIST",
        "GET" | "HEAD" => "GET",
        _ => "other",
    }
}
