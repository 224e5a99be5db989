//! `tbrm serve`, asked over a socket.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::Place;

/// The command while it serves.
struct Serving {
    process: Child,
    url: String,
    port: u16,
}

impl Serving {
    fn start(place: &Place, line: &str) -> Self {
        let mut command = place.command(&format!("serve --port 0 --json {line}"));
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut said = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut said).expect("UTF-8");
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| {
            let mut why = String::new();
            let _ = process.stderr.take().expect("piped").read_to_string(&mut why);
            panic!("{error}: {said}{why}")
        });
        let url = said["url"].as_str().expect("text").to_owned();
        let port = url.split([':', '/']).find_map(|part| part.parse().ok()).expect("a port");
        Serving { process, url, port }
    }

    /// What comes back for bytes on the wire, in which `HOST` stands for the host that is served.
    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let request = request.replace("HOST", &format!("Host: 127.0.0.1:{}", self.port));
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("UTF-8");
        answer
    }

    /// The status and the body for a path.
    fn get(&self, path: &str) -> (u16, String) {
        let answer = self.raw(&format!("GET {path} HTTP/1.1\r\nHOST\r\n\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A place with a page and, as `run`, what a run leaves.
fn place() -> Place {
    let place = Place::new();
    for folder in ["page/assets", "run/model"] {
        fs::create_dir_all(place.path(folder)).expect("writable");
    }
    place.write("page/index.html", "<title>page</title>");
    place.write("page/assets/main.js", "export {}");
    place.write("run/.tbrm-run", "");
    place.write("run/metrics.jsonl", "{\"step\":1}\n");
    place.write("secret.txt", "secret");
    place
}

#[test]
fn the_page_and_the_run_are_there_and_nothing_else() {
    let place = place();
    let serving = Serving::start(&place, "--page page --run run");
    assert_eq!(serving.url, format!("http://127.0.0.1:{}/?show=run", serving.port));
    assert_eq!(serving.get("/?show=run"), (200, "<title>page</title>".into()));
    assert_eq!(serving.get("/assets/main.js"), (200, "export {}".into()));
    assert_eq!(serving.get("/run/"), (200, r#"["metrics.jsonl","model/"]"#.into()));
    for path in ["/run/../secret.txt", "/../secret.txt", "/%2e%2e/secret.txt", "/run/%2e%2e%2fsecret.txt"] {
        let (status, body) = serving.get(path);
        assert!(status == 404 && !body.contains("secret"), "{path}: {status} {body}");
    }

    // The run grows while it is looked at.
    assert_eq!(serving.get("/run/metrics.jsonl"), (200, "{\"step\":1}\n".into()));
    place.write("run/metrics.jsonl", "{\"step\":1}\n{\"step\":2}\n");
    let rest = serving.raw("GET /run/metrics.jsonl HTTP/1.1\r\nHOST\r\nRange: bytes=11-\r\n\r\n");
    assert!(rest.starts_with("HTTP/1.1 206 ") && rest.ends_with("\r\n\r\n{\"step\":2}\n"), "{rest}");
}

#[test]
fn what_is_not_a_browser_on_this_machine_is_refused() {
    let place = place();
    let serving = Serving::start(&place, "--page page");
    assert_eq!(serving.url, format!("http://127.0.0.1:{}/", serving.port));
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: evil.example:{}\r\n\r\n", serving.port), "403"),
        ("POST /run/config.json HTTP/1.1\r\nHOST\r\nContent-Length: 4\r\n\r\nbody".into(), "405"),
        ("GET / HTTP/1.1\r\n\r\n".into(), "400"),
        ("\u{16}\u{3}\u{1}\r\n\r\n".into(), "400"),
        ("GET /run/metrics.jsonl HTTP/1.1\r\nHOST\r\n\r\n".into(), "404"),
    ] {
        let answer = serving.raw(&request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(!answer.contains("<title>"), "{request}: {answer}");
    }
    // A connection that says nothing keeps no other one waiting.
    let _silent = TcpStream::connect(("127.0.0.1", serving.port)).expect("it listens");
    assert_eq!(serving.get("/").0, 200);
}

#[test]
fn what_cannot_be_served_is_an_error() {
    let place = place();
    let serving = Serving::start(&place, "--page page");
    let taken = format!("serve --page page --port {}", serving.port);
    assert!(place.refused(1, &taken).starts_with(&format!("cannot listen on 127.0.0.1:{}", serving.port)));
    assert_eq!(place.refused(1, "serve --page page --run page"), "page: there is no run");
    assert_eq!(place.refused(1, "serve --page run"), "run: no page is built there: it has no index.html");
}

/// A clean clone has no page; the browser's tests open the one in the binary.
#[test]
fn a_binary_without_the_page_says_how_to_build_it() {
    let place = place();
    if tbrm::serve::PAGE.is_empty() {
        let run = place.run("serve --port 0");
        assert_eq!(run.refusal(1), "this `tbrm` was built without the page");
        assert!(run.stderr.contains("`make web`"), "{}", run.stderr);
    } else {
        assert_eq!(Serving::start(&place, "--quiet").get("/").0, 200);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_as_done() {
    let place = place();
    let mut serving = Serving::start(&place, "--page page");
    let id = serving.process.id().to_string();
    let interrupt = std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill runs");
    assert!(interrupt.success());
    assert_eq!(serving.process.wait().expect("it ends").code(), Some(0));
}
