//! Requests to a server that is busy, slow or gone at times.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tbrm_core::{Error, ErrorKind, Result};
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use super::{pause, wire};

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(20);

/// The most bytes of an answer that are read.
const LARGEST: u64 = 256 << 20;

/// Between two looks at whether to go on waiting.
const LOOK: Duration = Duration::from_millis(50);

/// Where requests go, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// As the command line has it.
    pub(crate) url: String,
    /// The variable that holds the key, for messages.
    pub(crate) key_name: String,
    pub(crate) key: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) connections: usize,
}

/// A server's address, and connections to it.
pub(crate) struct Client {
    server: Server,
    base: String,
    agent: Agent,
    /// Nobody asks before then: the server is busy.
    not_before: Mutex<Instant>,
    retried: AtomicU64,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Any other request would have fared the same.
    Server(Error),
    /// This one did, whatever becomes of others.
    Request(Error),
    /// Nobody waits for it any more.
    GivenUp,
}

/// One try that failed.
struct Trouble {
    what: String,
    help: &'static str,
    again: bool,
    after: Option<Duration>,
    of_server: bool,
}

const CHECK_URL: &str = "check --url and --model, and that the server runs";
const REFUSED: &str = "correct the prompt or the options, or set such prompts aside with --set-aside-failures; --request changes the fields of requests";
const CERTIFICATE: &str =
    "check --url; a certificate of your own must be among the system's (SSL_CERT_FILE on Linux)";
const NONSENSE: &str = "check that --url is an OpenAI-compatible server";

impl Client {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an address that is none.
    pub(crate) fn new(server: Server) -> Result<Client> {
        let base = base(&server.url)?;
        let own = if cfg!(any(windows, target_os = "macos")) {
            TlsProvider::NativeTls
        } else {
            TlsProvider::Rustls
        };
        let tls = TlsConfig::builder().provider(own).root_certs(RootCerts::PlatformVerifier).build();
        let mut config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // The key is for this address alone.
            .max_redirects(0)
            .timeout_global(Some(server.timeout))
            .timeout_connect(Some(CONNECT.min(server.timeout)))
            .max_idle_connections(server.connections)
            .max_idle_connections_per_host(server.connections)
            .user_agent(concat!("tbrm/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&base) {
            config = config.proxy(None);
        }
        Ok(Client {
            agent: config.build().into(),
            base,
            server,
            not_before: Mutex::new(Instant::now()),
            retried: AtomicU64::new(0),
        })
    }

    /// Tries that followed a failed one.
    pub(crate) fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Posts `body` to `path` and reads the answer by `read`, which says what is wrong with one that is none. Waits no
    /// longer between tries once `given_up` says so.
    pub(crate) fn ask<T>(
        &self,
        path: &str,
        body: &Value,
        read: impl Fn(&Value) -> Result<T, String>,
        given_up: &dyn Fn() -> bool,
    ) -> Result<T, Fault> {
        let bytes = body.to_string();
        let mut failed = 0;
        loop {
            self.wait(given_up)?;
            let trouble = match self.try_once(path, bytes.as_bytes(), &read) {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            failed += 1;
            if !trouble.again || failed > self.server.retries {
                return Err(trouble.fault(failed));
            }
            if let Some(after) = trouble.after {
                self.hold(after);
            } else {
                sleep(pause::backoff(failed), given_up)?;
            }
            self.retried.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits as long as the server asked anybody to.
    fn wait(&self, given_up: &dyn Fn() -> bool) -> Result<(), Fault> {
        loop {
            let until = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return if given_up() { Err(Fault::GivenUp) } else { Ok(()) };
            }
            sleep(left, given_up)?;
        }
    }

    fn hold(&self, pause: Duration) {
        let mut until = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(Instant::now() + pause);
    }

    fn try_once<T>(
        &self,
        path: &str,
        body: &[u8],
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<T, Trouble> {
        let url = format!("{}/{path}", self.base);
        let mut request = self.agent.post(&url).content_type("application/json");
        if let Some(key) = &self.server.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let mut response = request.send(body).map_err(|error| self.lost(error))?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let after = header("retry-after").and_then(|value| pause::asked(value, SystemTime::now()));
        let to = header("location").map(str::to_owned);
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(LARGEST).read_to_vec();
        let bytes = bytes.map_err(|error| self.lost(error))?;
        if !(200..300).contains(&status) {
            return Err(self.refused(status, &bytes, after, to));
        }
        let nonsense = |what: String| {
            let what = format!("the server's answer makes no sense: {what}: {}", wire::complaint(&bytes));
            Trouble { what, help: NONSENSE, again: true, after: None, of_server: false }
        };
        let value = serde_json::from_slice(&bytes).map_err(|_| nonsense("it is no JSON".into()))?;
        read(&value).map_err(nonsense)
    }

    /// A status other than 2xx.
    fn refused(&self, status: u16, body: &[u8], after: Option<Duration>, to: Option<String>) -> Trouble {
        let mut said = wire::complaint(body);
        if let Some(key) = &self.server.key {
            said = said.replace(key, "…");
        }
        let mut what = format!("the server answered {status}: {said}");
        let (help, again, of_server) = match status {
            401 | 403 if self.server.key.is_none() => {
                what += &format!("; {} holds no key", self.server.key_name);
                (
                    "put the server's key into an environment variable: TBRM_API_KEY, or the one that --api-key-env names",
                    false,
                    true,
                )
            }
            401 | 403 => ("check the key, and whose it is", false, true),
            300..=399 => {
                what += &to.map_or_else(String::new, |to| format!("; it is at {to}"));
                ("give the address it redirects to as --url", false, true)
            }
            404 | 405 => (CHECK_URL, false, true),
            429 => ("lower --concurrency, or raise --retries", true, true),
            503 => ("wait until the server is ready, lower --concurrency, or raise --retries", true, true),
            408 | 425 | 500..=599 => {
                ("look into the server's log; --set-aside-failures leaves such prompts out", true, false)
            }
            _ => (REFUSED, false, false),
        };
        Trouble { what, help, again, after, of_server }
    }

    /// No answer at all.
    fn lost(&self, error: ureq::Error) -> Trouble {
        let url = &self.base;
        let trouble = |what, help, again, of_server| Trouble { what, help, again, after: None, of_server };
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => trouble(
                format!("cannot reach {url}: no answer in {} s", CONNECT.as_secs()),
                CHECK_URL,
                true,
                true,
            ),
            ureq::Error::Timeout(_) => {
                let what = format!("no answer in {} s", self.server.timeout.as_secs_f64());
                trouble(what, "raise --timeout, or lower --max-new-tokens or --concurrency", true, false)
            }
            // So rustls says what is wrong with a certificate.
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                trouble(format!("cannot talk to {url}: {error}"), CERTIFICATE, false, true)
            }
            ureq::Error::Io(error) if never_connected(&error) => {
                trouble(format!("cannot reach {url}: {error}"), CHECK_URL, true, true)
            }
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => {
                trouble(format!("cannot reach {url}: {error}"), CHECK_URL, true, true)
            }
            ureq::Error::Io(error) => trouble(
                format!("the connection was lost: {error}"),
                "look into the server's log",
                true,
                false,
            ),
            ureq::Error::Protocol(_) => trouble(format!("no HTTP came back: {error}"), NONSENSE, true, true),
            ureq::Error::BodyExceedsLimit(_) => trouble(error.to_string(), NONSENSE, false, false),
            _ => trouble(format!("cannot talk to {url}: {error}"), CERTIFICATE, false, true),
        }
    }
}

impl Trouble {
    fn fault(self, tries: u32) -> Fault {
        let what = if tries > 1 { format!("{}, {tries} times", self.what) } else { self.what };
        let error = Error::new(ErrorKind::Data, what, self.help);
        if self.of_server { Fault::Server(error) } else { Fault::Request(error) }
    }
}

fn never_connected(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Io;
    matches!(
        error.kind(),
        Io::ConnectionRefused
            | Io::HostUnreachable
            | Io::NetworkUnreachable
            | Io::NetworkDown
            | Io::AddrNotAvailable
    )
}

fn sleep(pause: Duration, given_up: &dyn Fn() -> bool) -> Result<(), Fault> {
    let until = Instant::now() + pause;
    loop {
        if given_up() {
            return Err(Fault::GivenUp);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK));
    }
}

/// The address up to `/v1`, whatever of it was given.
fn base(url: &str) -> Result<String> {
    let wrong = || {
        let help = "give an address like http://localhost:8000 or https://host/v1";
        Err(Error::new(ErrorKind::Config, format!("--url {url}: no http or https address"), help))
    };
    let trimmed = url.trim_end_matches('/');
    let trimmed =
        trimmed.strip_suffix("/chat/completions").or(trimmed.strip_suffix("/completions")).unwrap_or(trimmed);
    let Some((scheme, rest)) = trimmed.split_once("://") else { return wrong() };
    let host = rest.split('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_graphic() && !"?#".contains(c);
    if !["http", "https"].contains(&scheme) || host.is_empty() || !rest.chars().all(plain) {
        return wrong();
    }
    if host.contains('@') {
        let help = "put the key into an environment variable: TBRM_API_KEY";
        return Err(Error::new(ErrorKind::Config, "--url: names and passwords do not belong there", help));
    }
    Ok(if rest.contains('/') { trimmed.to_owned() } else { format!("{trimmed}/v1") })
}

/// Whether a request to `base` stays on this machine, where no proxy helps.
fn is_this_machine(base: &str) -> bool {
    let host = base.split_once("://").map_or(base, |(_, rest)| rest);
    ["localhost", "127.", "[::1]"].iter().any(|own| host.starts_with(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed() {
        for (given, want) in [
            ("http://localhost:8000", "http://localhost:8000/v1"),
            ("http://localhost:8000/", "http://localhost:8000/v1"),
            ("https://host/v1", "https://host/v1"),
            ("https://host/v1/", "https://host/v1"),
            ("https://host/api/openai/v1/chat/completions", "https://host/api/openai/v1"),
            ("http://[::1]:80/v1/completions", "http://[::1]:80/v1"),
        ] {
            assert_eq!(base(given).unwrap(), want);
        }
        for wrong in
            ["localhost:8000", "ftp://host", "http://", "http:///v1", "http://ho st", "http://host/v1?key=1"]
        {
            assert!(base(wrong).unwrap_err().what.contains("no http or https address"), "{wrong}");
        }
        let error = base("https://me:secret@host/v1").unwrap_err();
        assert!(!error.what.contains("secret"), "{error}");
    }

    #[test]
    fn a_proxy_is_for_other_machines() {
        for (base, own) in [
            ("http://localhost:8000/v1", true),
            ("http://127.0.0.1:80/v1", true),
            ("http://[::1]/v1", true),
            ("http://host/v1", false),
            ("https://10.0.0.1/v1", false),
        ] {
            assert_eq!(is_this_machine(base), own, "{base}");
        }
    }
}
