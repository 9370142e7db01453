//! As much of HTTP/1.1 as it takes to ask a server on loopback, and to stand between a client and a server.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server that does not answer within this time is broken.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request or a response.
#[derive(Clone, Debug)]
pub struct Message {
    /// `PUT /bucket/object HTTP/1.1`, or `HTTP/1.1 200 OK`.
    pub start: String,
    /// In their order, names as they were sent.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Message {
    /// One with its length declared.
    pub fn new(start: impl Into<String>, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            start: start.into(),
            headers: headers.collect(),
            body: body.to_vec(),
        }
    }

    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The method of a request.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The path and the query of a request.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        let status = self.start.split(' ').nth(1).unwrap_or_default();
        status.parse().unwrap_or_default()
    }

    /// The body, for messages and documents.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the other side will keep the connection after this message.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.header("connection")
            .is_none_or(|value| !value.eq_ignore_ascii_case("close"))
    }

    /// The next message of a connection. `None`: it was closed. `bodiless`: the answer to a HEAD.
    pub(crate) fn read(
        reader: &mut BufReader<impl Read + Write>,
        bodiless: bool,
    ) -> io::Result<Option<Self>> {
        let Some(start) = line(reader)? else {
            return Ok(None);
        };
        let mut message = Self {
            start,
            headers: Vec::new(),
            body: Vec::new(),
        };
        while let Some(header) = line(reader)?.filter(|line| !line.is_empty()) {
            let (name, value) = header.split_once(':').unwrap_or((&header, ""));
            let header = (name.to_owned(), value.trim().to_owned());
            message.headers.push(header);
        }
        if message
            .header("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            reader
                .get_mut()
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if !bodiless {
            message.read_body(reader)?;
        }
        Ok(Some(message))
    }

    fn read_body(&mut self, reader: &mut BufReader<impl Read>) -> io::Result<()> {
        let chunked = self
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        if chunked {
            loop {
                let size = line(reader)?.unwrap_or_default();
                let size = size.split(';').next().unwrap_or_default();
                let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
                let start = self.body.len();
                self.body.resize(start + size, 0);
                reader.read_exact(&mut self.body[start..])?;
                line(reader)?;
                if size == 0 {
                    break;
                }
            }
            self.headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
        } else if let Some(length) = self.header("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            self.body.resize(length, 0);
            reader.read_exact(&mut self.body)?;
        }
        Ok(())
    }

    /// Writes it, with the length of its body declared unless it is the answer to a HEAD.
    pub(crate) fn write(&self, stream: &mut impl Write, bodiless: bool) -> io::Result<()> {
        let mut head = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            if bodiless || !name.eq_ignore_ascii_case("content-length") {
                let _ = write!(head, "{name}: {value}\r\n");
            }
        }
        let declares = !self.body.is_empty() || !matches!(self.method(), "GET" | "HEAD" | "DELETE");
        if !bodiless && declares {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)
    }
}

fn line(reader: &mut BufReader<impl Read>) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Asks `address` one thing over a connection of its own.
pub fn ask(address: &str, request: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = request.clone();
    for (name, value) in [("host", address), ("connection", "close")] {
        if request.header(name).is_none() {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
    }
    request.write(&mut stream, false)?;
    let answer = Message::read(&mut BufReader::new(stream), request.method() == "HEAD")?;
    answer.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
