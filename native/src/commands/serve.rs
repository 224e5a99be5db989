//! `tbrm serve`: the page on this machine, and the files of a run beside it.

use std::io;
use std::path::Path;
use std::thread;

use serde_json::json;
use tbrm_core::{Error, ErrorKind};

use crate::args::{Common, ServeArgs};
use crate::exit::{Failure, Outcome};
use crate::interrupt;
use crate::serve::{Folder, PAGE, Page, Server, Site};
use crate::store::RunDir;

pub(super) fn run(args: &ServeArgs, common: &Common) -> Result<Outcome, Failure> {
    let page = page(args.page.as_deref())?;
    let run = args.run.as_deref().map(run_folder).transpose()?;
    // Another port would be another origin to the browser, where none of the runs kept in it would be found: so a
    // port that is taken is an error, and no reason to take the next.
    let server = Server::bind(args.port).map_err(|error| cannot_listen(args.port, &error))?;
    let shown = if run.is_some() { "?show=run" } else { "" };
    let url = format!("http://127.0.0.1:{}/{shown}", server.port());
    // Before the address is told: whoever reads it may press Ctrl-C at once.
    let pressed = interrupt::messages()?;
    let site = Site { page, run };
    thread::spawn(move || server.run(move |request| site.answer(request)));
    if common.json {
        super::print(&format!("{}\n", json!({ "url": url })))?;
    } else {
        super::print(&format!("{url}\n"))?;
        if !common.quiet {
            eprintln!("Ctrl-C ends it");
        }
    }
    // The sender is in the handler, which lasts as long as the process.
    let _ = pressed.recv();
    Ok(Outcome::Done)
}

fn page(folder: Option<&Path>) -> Result<Page, Error> {
    let no_page = |what: String| {
        Error::new(
            ErrorKind::Config,
            what,
            "in a clone of the repository, `make web` builds the page and serves it",
        )
    };
    match folder {
        Some(path) if path.join("index.html").is_file() => Ok(Page::Folder(Folder::open(path)?)),
        Some(path) => {
            Err(no_page(format!("{}: no page is built there: it has no index.html", path.display())))
        }
        None if PAGE.is_empty() => Err(no_page("this `tbrm` was built without the page".into())),
        None => Ok(Page::Embedded(PAGE)),
    }
}

fn run_folder(path: &Path) -> Result<Folder, Error> {
    if !RunDir::exists(path) {
        let what = format!("{}: there is no run", path.display());
        return Err(Error::new(
            ErrorKind::Config,
            what,
            "give the directory that was the `--out` of `tbrm train`",
        ));
    }
    Folder::open(path)
}

fn cannot_listen(port: u16, error: &io::Error) -> Error {
    let what = format!("cannot listen on 127.0.0.1:{port}: {error}");
    let help = match error.kind() {
        io::ErrorKind::AddrInUse => "end the program that uses the port, or give another one with `--port`",
        _ => "give another port with `--port`; 0 takes one that is free",
    };
    Error::new(ErrorKind::Config, what, help)
}
