//! Stands between a client and an HTTP server on loopback for `./bench stores`: lets each request wait, and counts them.
//!
//! `relay 127.0.0.1:PORT MICROSECONDS` prints the address where it listens, and then, for each line on standard input, what it has
//! seen since the last one, as JSON.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

const PIECE: usize = 256 * 1024;

/// What was seen: requests by kind, and bytes in both directions.
type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "relay ADDRESS MICROSECONDS";
    let upstream = arguments.next().expect(usage);
    let delay = arguments.next().and_then(|delay| delay.parse().ok());
    let delay = Duration::from_micros(delay.expect(usage));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?)?;
    let counts = Counts::default();
    let counting = Arc::clone(&counts);
    spawn(move || {
        for client in listener.incoming() {
            let (upstream, counts) = (upstream.clone(), Arc::clone(&counting));
            // Who goes away is his own affair.
            spawn(move || client.and_then(|client| serve(client, &upstream, delay, &counts)));
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

fn serve(client: TcpStream, upstream: &str, delay: Duration, counts: &Counts) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // Nobody sends the next request before the answer to the last one came: what comes after an answer begins with a request.
    let answered = Arc::new(AtomicBool::new(true));
    let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
    let (begins, downloaded) = (Arc::clone(&answered), Arc::clone(counts));
    spawn(move || -> io::Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return to.shutdown(Shutdown::Both);
            }
            begins.store(true, Ordering::SeqCst);
            add(&downloaded, "bytes down", length as u64);
            to.write_all(&piece[..length])?;
        }
    });
    let (mut from, mut to) = (client, server);
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return to.shutdown(Shutdown::Both);
        }
        add(counts, "bytes up", length as u64);
        if answered.swap(false, Ordering::SeqCst) {
            add(counts, kind(&piece[..length]), 1);
            sleep(delay);
        }
        to.write_all(&piece[..length])?;
    }
}

fn add(counts: &Counts, kind: &str, count: u64) {
    let mut counts = counts.lock().expect("nobody panics with it");
    *counts.entry(kind.to_owned()).or_default() += count;
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
