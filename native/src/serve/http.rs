//! As much of HTTP/1.1 as a browser on the same machine needs: GET and HEAD, one request a connection.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The longest request head that is read, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// How long a connection may be silent. Browsers open some ahead of need.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most connections that are served at once.
const MAX_CONNECTIONS: usize = 64;

/// A request for a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The path's parts, decoded: none is empty, hidden, or more than the name of one file or folder.
    pub(crate) path: Vec<String>,
    /// Whether the path ends with `/`.
    pub(crate) folder: bool,
    /// The first byte that is wanted (`Range: bytes=N-`).
    from: Option<u64>,
    /// Whether only the head of the answer is wanted.
    head: bool,
}

#[cfg(test)]
impl Request {
    pub(crate) fn of(path: Vec<String>, folder: bool) -> Self {
        Request { path, folder, from: None, head: false }
    }
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, Cow<'static, str>)>,
    pub(crate) body: Body,
}

/// What an answer carries.
#[derive(Debug)]
pub(crate) enum Body {
    Bytes(Cow<'static, [u8]>),
    /// A file and its length when it was opened: a file that grows is cut there.
    File(File, u64),
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File(_, length) => *length,
        }
    }
}

impl Response {
    /// A short text for a person.
    pub(crate) fn text(status: u16, text: &'static str) -> Self {
        let headers = vec![("Content-Type", "text/plain; charset=utf-8".into())];
        Response { status, headers, body: Body::Bytes(text.as_bytes().into()) }
    }

    pub(crate) fn not_found() -> Self {
        Response::text(404, "There is no such file.\n")
    }
}

/// Answers requests on 127.0.0.1, one thread a connection.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    port: u16,
}

impl Server {
    /// Takes the port; 0 takes one that is free.
    pub(crate) fn bind(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        Ok(Server { listener, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Answers requests as `answer` says, until the process ends.
    pub(crate) fn run(self, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> ! {
        let shared = Arc::new((answer, AtomicUsize::new(0)));
        let port = self.port;
        loop {
            let Ok((stream, _)) = self.listener.accept() else {
                // Out of file handles, most likely: some come free as connections end.
                thread::sleep(Duration::from_millis(100));
                continue;
            };
            if shared.1.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                shared.1.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let theirs = Arc::clone(&shared);
            let started = thread::Builder::new().spawn(move || {
                // A browser that went away is no error of ours.
                let _ = serve(stream, port, &theirs.0);
                theirs.1.fetch_sub(1, Ordering::Relaxed);
            });
            if started.is_err() {
                shared.1.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

fn serve(mut stream: TcpStream, port: u16, answer: &impl Fn(&Request) -> Response) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(head) = read_head(&mut stream)? else { return Ok(()) };
    match parse(&head, port) {
        Ok(request) => {
            let response = match (answer(&request), request.from) {
                (whole, None) => whole,
                (whole, Some(from)) => since(whole, from)?,
            };
            write(&mut stream, response, request.head)?;
        }
        Err(refusal) => write(&mut stream, refusal, false)?,
    }
    stream.shutdown(Shutdown::Write)?;
    // Closing on bytes that were not read would reset the connection and could take the answer with it.
    io::copy(&mut stream.take(1 << 20), &mut io::sink())?;
    Ok(())
}

/// The request's head as text, without the empty line that ends it; `None` where the connection ended first.
fn read_head(stream: &mut impl Read) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut part = [0; 2048];
    loop {
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            head.truncate(end);
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        let count = if head.len() < MAX_HEAD { stream.read(&mut part)? } else { 0 };
        if count == 0 {
            return Ok(None);
        }
        head.extend_from_slice(&part[..count]);
    }
}

/// Reads a request's head.
///
/// # Errors
/// The answer to a request that is refused.
fn parse(head: &str, port: u16) -> Result<Request, Response> {
    let bad = || Response::text(400, "This is not a request that is understood here.\n");
    let mut lines = head.split("\r\n");
    let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let &[method, target, "HTTP/1.1" | "HTTP/1.0"] = &line[..] else { return Err(bad()) };
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |wanted: &str| {
        let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim())
    };
    // A site of another name that resolves to this machine (DNS rebinding) would be let read the run.
    let host = header("Host").ok_or_else(bad)?;
    if !["127.0.0.1", "localhost"].iter().any(|name| is_host(host, name, port)) {
        return Err(Response::text(403, "Open this page as http://127.0.0.1 or http://localhost.\n"));
    }
    if !matches!(method, "GET" | "HEAD") {
        let mut refusal = Response::text(405, "Files are only read here.\n");
        refusal.headers.push(("Allow", "GET, HEAD".into()));
        return Err(refusal);
    }
    let target = target.split(['?', '#']).next().unwrap_or_default();
    let target = target.strip_prefix('/').ok_or_else(bad)?;
    let (inner, folder) = match target.strip_suffix('/') {
        Some(inner) => (inner, true),
        None => (target, target.is_empty()),
    };
    let parts: Option<Vec<String>> =
        if inner.is_empty() { Some(Vec::new()) } else { inner.split('/').map(decode).collect() };
    let path = parts.ok_or_else(Response::not_found)?;
    let from =
        header("Range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    Ok(Request { path, folder, from, head: method == "HEAD" })
}

fn is_host(host: &str, name: &str, port: u16) -> bool {
    // The port is 80 where it is not said.
    host.eq_ignore_ascii_case(&format!("{name}:{port}")) || (port == 80 && host.eq_ignore_ascii_case(name))
}

/// A part of a path without its percent signs; `None` for one that could name anything but a visible file or folder
/// in the folder before it.
fn decode(part: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    let outside = name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', ':']);
    (!outside && !name.contains(char::is_control)).then_some(name)
}

fn write(stream: &mut impl Write, mut response: Response, head_only: bool) -> io::Result<()> {
    let length = response.body.len();
    let reason = match response.status {
        200 => "OK",
        206 => "Partial Content",
        400 => "Bad Request",
        403 => "Forbidden",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        _ => "Not Found",
    };
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", response.status);
    response.headers.push(("X-Content-Type-Options", "nosniff".into()));
    // Other sites may neither read, nor run, nor frame what is here.
    response.headers.push(("Cross-Origin-Resource-Policy", "same-origin".into()));
    response.headers.push(("Connection", "close".into()));
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    if head_only {
        return Ok(());
    }
    match response.body {
        Body::Bytes(bytes) => stream.write_all(&bytes),
        Body::File(file, length) => io::copy(&mut file.take(length), stream).map(drop),
    }
}

/// The answer from byte `from` on, so that a file that grows need not be read again from its beginning.
fn since(mut response: Response, from: u64) -> io::Result<Response> {
    if response.status != 200 {
        return Ok(response);
    }
    let length = response.body.len();
    if from >= length {
        response = Response::text(416, "The file ends before that.\n");
        response.headers.push(("Content-Range", format!("bytes */{length}").into()));
        return Ok(response);
    }
    response.status = 206;
    response.headers.push(("Content-Range", format!("bytes {from}-{}/{length}", length - 1).into()));
    response.body = match response.body {
        // Below the length, which is a usize.
        Body::Bytes(bytes) => Body::Bytes(bytes[from as usize..].to_vec().into()),
        Body::File(mut file, length) => {
            file.seek(SeekFrom::Start(from))?;
            Body::File(file, length - from)
        }
    };
    Ok(response)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
