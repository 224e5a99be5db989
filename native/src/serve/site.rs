//! Which file answers which request: the page at `/`, the run at `/run/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tbrm_core::Result;

use super::PageFile;
use super::http::{Body, Request, Response};
use crate::store::store_error;

/// The page whose files are served.
#[derive(Debug)]
pub(crate) enum Page {
    /// The one in the binary.
    Embedded(&'static [PageFile]),
    /// The one in a folder.
    Folder(Folder),
}

/// A folder whose visible files are served, and nothing that a link in it leads out to.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

/// All that is served. Nothing is ever written.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) page: Page,
    pub(crate) run: Option<Folder>,
}

impl Folder {
    /// # Errors
    /// [`ErrorKind::Store`](tbrm_core::ErrorKind::Store) when there is no such folder.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let real = path.canonicalize().map_err(|error| store_error("cannot open", path, &error))?;
        Ok(Folder(real))
    }

    /// The file or folder at `path`, where it lies in this folder.
    fn find(&self, path: &[String]) -> Option<PathBuf> {
        let real = self.0.join(path.iter().collect::<PathBuf>()).canonicalize().ok()?;
        real.starts_with(&self.0).then_some(real)
    }

    fn file(&self, path: &[String]) -> Option<Body> {
        // Opening first what is no file could wait for ever (a named pipe).
        let path = self.find(path).filter(|path| path.is_file())?;
        let file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        Some(Body::File(file, length))
    }

    /// The names in a folder, in order; those of folders end with `/`.
    fn names(&self, path: &[String]) -> Option<Vec<String>> {
        let entries = fs::read_dir(self.find(path)?).ok()?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'))?;
                Some(if entry.path().is_dir() { name + "/" } else { name })
            })
            .collect();
        names.sort();
        Some(names)
    }
}

impl Site {
    /// The answer to a request.
    pub(crate) fn answer(&self, request: &Request) -> Response {
        let found = match request.path.split_first() {
            Some((first, rest)) if first == "run" => self.of_run(rest, request.folder),
            _ => self.of_page(request),
        };
        found.unwrap_or_else(Response::not_found)
    }

    fn of_page(&self, request: &Request) -> Option<Response> {
        let mut path = request.path.clone();
        if request.folder {
            path.push("index.html".into());
        }
        let body = match &self.page {
            Page::Embedded(files) => {
                let wanted = path.join("/");
                let file = files.iter().find(|file| file.name == wanted)?;
                Body::Bytes(file.bytes.into())
            }
            Page::Folder(folder) => folder.file(&path)?,
        };
        // The page's own policy is in its head, which cannot say who may frame it.
        Some(found(content_type(path.last()?), body, "frame-ancestors 'self'"))
    }

    fn of_run(&self, path: &[String], folder: bool) -> Option<Response> {
        let run = self.run.as_ref()?;
        // Text from a model is in these files: none may run as a script of the page.
        let policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'";
        if folder {
            let names = serde_json::to_vec(&run.names(path)?).ok()?;
            return Some(found("application/json", Body::Bytes(names.into()), policy));
        }
        Some(found(content_type(path.last()?), run.file(path)?, policy))
    }
}

fn found(content_type: &'static str, body: Body, policy: &'static str) -> Response {
    let headers = vec![
        ("Content-Type", content_type.into()),
        ("Content-Security-Policy", policy.into()),
        // The files change with the next build and the next step.
        ("Cache-Control", "no-cache".into()),
    ];
    Response { status: 200, headers, body }
}

/// The media type that a browser needs to be told, above all for scripts and wasm, which it refuses otherwise.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "jsonl" => "application/jsonl; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    static FILES: [PageFile; 2] = [
        PageFile { name: "index.html", bytes: b"<p>" },
        PageFile { name: "assets/core.wasm", bytes: b"\0asm" },
    ];

    /// Status and media type of the answer to a path.
    fn answer(site: &Site, path: &str) -> (u16, String) {
        let parts = path.split('/').filter(|part| !part.is_empty()).map(String::from).collect();
        let response = site.answer(&Request::of(parts, path.is_empty() || path.ends_with('/')));
        let header = response.headers.iter().find(|(name, _)| *name == "Content-Type");
        (response.status, header.map(|(_, value)| value.to_string()).unwrap_or_default())
    }

    #[test]
    fn the_page_has_the_types_that_browsers_insist_on() {
        let site = Site { page: Page::Embedded(&FILES), run: None };
        assert_eq!(answer(&site, ""), (200, "text/html; charset=utf-8".into()));
        assert_eq!(answer(&site, "assets/core.wasm"), (200, "application/wasm".into()));
        for path in ["assets/", "assets", "core.wasm", "run/config.json", "run/"] {
            assert_eq!(answer(&site, path).0, 404, "{path}");
        }
        assert_eq!(content_type("worker-1a2b.js"), "text/javascript; charset=utf-8");
    }

    #[test]
    fn a_run_is_files_and_lists_of_names() {
        let dir = TempDir::new();
        fs::create_dir_all(dir.join("completions")).unwrap();
        for name in ["config.json", "metrics.jsonl", ".tbrm-run", "completions/step_000001.jsonl"] {
            fs::write(dir.join(name), "{}\n").unwrap();
        }
        let site = Site { page: Page::Embedded(&FILES), run: Some(Folder::open(&dir).unwrap()) };
        assert_eq!(answer(&site, "run/config.json"), (200, "application/json".into()));
        let names = site.answer(&Request::of(vec!["run".into()], true));
        let Body::Bytes(names) = names.body else { panic!("not a list") };
        assert_eq!(&*names, br#"["completions/","config.json","metrics.jsonl"]"#);
        for path in ["run/completions", "run/metrics.jsonl/", "run/nothing", "run/config.json/x"] {
            assert_eq!(answer(&site, path).0, 404, "{path}");
        }
        let policy = site.answer(&Request::of(vec!["run".into(), "config.json".into()], false)).headers;
        assert!(policy.iter().any(|(_, value)| value.starts_with("sandbox; default-src 'none'")));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_are_not_followed() {
        let dir = TempDir::new();
        fs::create_dir_all(dir.join("run/completions")).unwrap();
        fs::create_dir_all(dir.join("run-2")).unwrap();
        for name in ["secret.txt", "run/mine.txt", "run-2/theirs.txt"] {
            fs::write(dir.join(name), "text").unwrap();
        }
        for (to, name) in
            [("../secret.txt", "out.txt"), ("mine.txt", "in.txt"), ("../run-2", "other"), ("..", "up")]
        {
            std::os::unix::fs::symlink(to, dir.join("run").join(name)).unwrap();
        }
        let site = Site { page: Page::Embedded(&FILES), run: Some(Folder::open(&dir.join("run")).unwrap()) };
        assert_eq!(answer(&site, "run/in.txt").0, 200);
        for path in ["run/out.txt", "run/other/theirs.txt", "run/other/", "run/up/secret.txt", "run/up/"] {
            assert_eq!(answer(&site, path).0, 404, "{path}");
        }
    }
}
