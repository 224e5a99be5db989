use super::*;

const HOST: &str = "Host: 127.0.0.1:8000";

/// The request that these lines make, or the status of the refusal.
fn parsed(line: &str, headers: &[&str]) -> Result<Request, u16> {
    parse(&[&[line], headers].concat().join("\r\n"), 8000).map_err(|refusal| refusal.status)
}

/// The parts of a path that is accepted.
fn path(target: &str) -> Result<Vec<String>, u16> {
    parsed(&format!("GET {target} HTTP/1.1"), &[HOST]).map(|request| request.path)
}

/// What is written for a response of `bytes`, as head and body.
fn written(response: Response, head_only: bool) -> (String, String) {
    let mut out = Vec::new();
    write(&mut out, response, head_only).unwrap();
    let text = String::from_utf8(out).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn a_path_is_names_below_the_root_and_nothing_else() {
    for (target, parts) in [
        ("/", &[][..]),
        ("/a.js?x=/../y", &["a.js"]),
        ("/assets/a%20b.js", &["assets", "a b.js"]),
        ("/run/%C3%A9.json#x", &["run", "é.json"]),
        ("/run/completions/", &["run", "completions"]),
        ("/%252e%252e/a", &["%2e%2e", "a"]),
    ] {
        assert_eq!(path(target), Ok(parts.iter().map(ToString::to_string).collect()), "{target}");
    }
    for target in [
        "/..",
        "/../x",
        "/a/../x",
        "/a/..",
        "/./a",
        "/%2e%2e/x",
        "/%2E./x",
        "/.tbrm-run",
        "/a/.hidden",
        "//etc",
        "/a//b",
        "/..%2fx",
        "/a%2f..%2fx",
        "/a%5C..%5Cx",
        "/a\\..\\x",
        "/c:",
        "/c%3A/x",
        "/a%00",
        "/a%0a",
        "/%ff",
        "/%",
        "/%2",
        "/%zz",
        "/%+1",
    ] {
        assert_eq!(path(target), Err(404), "{target}");
    }
    for target in ["", "x", "http://127.0.0.1:8000/", "*"] {
        assert_eq!(path(target), Err(400), "{target}");
    }
}

#[test]
fn a_name_that_was_made_to_resolve_here_is_refused() {
    let line = "GET / HTTP/1.1";
    for host in ["127.0.0.1:8000", "localhost:8000", "LOCALHOST:8000", " localhost:8000 "] {
        assert!(parsed(line, &[&format!("hOsT:{host}")]).is_ok(), "{host}");
    }
    for host in [
        "evil.example:8000",
        "evil.example",
        "127.0.0.1:80",
        "127.0.0.1",
        "localhost.evil.example:8000",
        "[::1]:8000",
    ] {
        assert_eq!(parsed(line, &[&format!("Host: {host}")]), Err(403), "{host}");
    }
    assert_eq!(parsed(line, &[]), Err(400));
    assert!(is_host("localhost", "localhost", 80) && !is_host("localhost", "localhost", 8000));
}

#[test]
fn only_reading_is_allowed() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", ""] {
        let status = if method.is_empty() { 400 } else { 405 };
        let line = format!("{method} / HTTP/1.1");
        assert_eq!(parsed(line.trim_start(), &[HOST]), Err(status), "{method}");
    }
    for line in ["GET /", "GET / HTTP/2", "GET  / HTTP/1.1", "GET / x HTTP/1.1", ""] {
        assert_eq!(parsed(line, &[HOST]), Err(400), "{line}");
    }
}

#[test]
fn a_range_is_what_follows_a_byte() {
    let from = |range: &str| parsed("GET /m HTTP/1.1", &[HOST, &format!("Range: {range}")]).unwrap().from;
    assert_eq!(from("bytes=17-"), Some(17));
    // Others may be answered in full.
    for range in ["bytes=1-2", "bytes=-5", "bytes=1-,4-", "lines=1-", "bytes=99999999999999999999-"] {
        assert_eq!(from(range), None, "{range}");
    }
    let (head, body) = written(since(Response::text(200, "0123456789"), 7).unwrap(), false);
    assert!(head.starts_with("HTTP/1.1 206 ") && head.contains("Content-Range: bytes 7-9/10\r\n"), "{head}");
    assert_eq!(body, "789");
    for from in [10, u64::MAX] {
        let (head, _) = written(since(Response::text(200, "0123456789"), from).unwrap(), false);
        assert!(
            head.starts_with("HTTP/1.1 416 ") && head.contains("Content-Range: bytes */10\r\n"),
            "{head}"
        );
    }
    assert_eq!(since(Response::not_found(), 0).unwrap().status, 404);
}

#[test]
fn a_head_says_what_the_body_would_be() {
    let (head, body) = written(Response::text(200, "12345"), true);
    assert!(head.contains("Content-Length: 5") && head.contains("nosniff"), "{head}");
    assert_eq!(body, "");
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let endless = [b'x'].repeat(10 * MAX_HEAD);
    assert_eq!(read_head(&mut &endless[..]).unwrap(), None);
    assert_eq!(read_head(&mut &b"GET / HTTP/1.1\r\nHost: x"[..]).unwrap(), None);
    assert_eq!(read_head(&mut &b"GET /\r\n\r\nmore"[..]).unwrap().unwrap(), "GET /");
}
